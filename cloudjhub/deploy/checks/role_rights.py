"""Whether AWS would let the operator make the manager's role, and give it to a machine.

IAM has no dry runs, so its simulator is asked. It takes a right of its own, which the operator's
policy has for users but cannot name for roles.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from cloudjhub.account import access, simulation
from cloudjhub.account.simulation import Refusal
from cloudjhub.deploy.checks.world import World
from cloudjhub.deploy.findings import Finding, note
from cloudjhub.deploy.requests import profile_name
from cloudjhub.errors import EC2Error
from cloudjhub.naming import MANAGER_ROLE, role_tags

_WHERE = "permissions on the manager's role"
_POLICY = "docs/install.md has the operator's policy."
_ROLE = ("iam:CreateRole", "iam:TagRole", "iam:PutRolePolicy")
_PROFILE = (
    "iam:CreateInstanceProfile",
    "iam:TagInstanceProfile",
    "iam:GetInstanceProfile",
    "iam:AddRoleToInstanceProfile",
)


@dataclass(frozen=True)
class _Calls:
    """Actions on one resource."""

    actions: tuple[str, ...]
    resource: str
    context: dict[str, str] = field(default_factory=dict)


def check(world: World) -> list[Finding]:
    iam = world.clients.iam
    who = simulation.source_arn(iam, world.identity)
    if not who:
        return _without_a_policy(world.identity.arn)
    findings: list[Finding] = []
    try:
        for calls in _wanted(world):
            refused = simulation.refused_actions(
                iam, who, calls.actions, calls.resource, calls.context
            )
            findings += [_refused(each, calls.resource) for each in refused]
    except EC2Error as error:
        what = f"could not be checked before they are used: {error.message}"
        return [note(what, _WHERE, f"Allow iam:SimulatePrincipalPolicy on {who}. {_POLICY}")]
    return findings


def _wanted(world: World) -> Iterator[_Calls]:
    """What a launch calls. Tags go with what is made."""
    name, place = profile_name(world.settings), world.place
    to_ec2 = {"iam:PassedToService": place.ec2_service}
    if world.settings.manager_iam_role:
        found = access.profile(world.clients.iam, name)
        for role in found.role_arns if found else ():
            yield _Calls(("iam:PassRole",), role, to_ec2)
        return
    tags = role_tags(world.settings.cluster_name, MANAGER_ROLE)
    born = {f"aws:RequestTag/{key}": value for key, value in tags.items()}
    role = place.iam("role", name)
    yield _Calls(_ROLE, role, born)
    yield _Calls(_PROFILE, place.iam("instance-profile", name), born)
    yield _Calls(("iam:PassRole",), role, to_ec2)


def _refused(refusal: Refusal, resource: str) -> Finding:
    where, action = f"permission {refusal.action}", refusal.action
    if refusal.depends_on:
        keys = ", ".join(refusal.depends_on)
        what = f"could not be checked before it is used: your policies depend on {keys}."
        return note(what, where, f"The launch says it if {action} is refused. {_POLICY}")
    what = f"your policies do not allow it on {resource}."
    return Finding(what, where, f"Add {action} to your policy. {_POLICY}")


def _without_a_policy(arn: str) -> list[Finding]:
    """The root user may do everything; of a federated user IAM's simulator knows nothing."""
    if arn.endswith(":root"):
        return []
    what = f"could not be checked before they are used: IAM's simulator does not know {arn}."
    return [note(what, _WHERE, f"Use a user or a role of IAM to have it checked. {_POLICY}")]
