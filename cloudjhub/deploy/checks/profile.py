"""Whether the manager's own instance profile exists and lets the hub do its work."""

from cloudjhub.account import access
from cloudjhub.deploy import hub_calls
from cloudjhub.deploy.checks.world import World
from cloudjhub.deploy.findings import Finding, note
from cloudjhub.deploy.requests import profile_name
from cloudjhub.errors import EC2Error
from cloudjhub.policy import evaluate
from cloudjhub.policy.values import UnsupportedPolicy

_POLICY = "docs/install.md shows the whole policy; leave MANAGER_IAM_ROLE empty to have it made."


def check(world: World) -> list[Finding]:
    """Nothing to check where the launch makes one."""
    if not world.settings.manager_iam_role:
        return []
    name = profile_name(world.settings)
    where = f"MANAGER_IAM_ROLE {name}"
    try:
        found = access.profile(world.clients.iam, name)
    except EC2Error as error:
        return [note(f"cannot be looked at: {error.message}", where, error.remedy)]
    if found is None:
        remedy = "Name an instance profile (not only a role), or leave it empty to have one made."
        return [Finding("there is no such instance profile.", where, remedy)]
    if not found.roles:
        return [Finding("the instance profile holds no role.", where, "Add the role to it.")]
    return _suffices(world, found.roles[0], where)


def _suffices(world: World, role: str, where: str) -> list[Finding]:
    try:
        documents = access.policies(world.clients.iam, role)
        refused = _refused(world, documents)
    except EC2Error as error:
        return [note(f"its policies cannot be read: {error.message}", where, error.remedy)]
    except UnsupportedPolicy as error:
        what = f"nobody here can tell whether its policy suffices: {error.message}"
        return [note(what, where, _POLICY)]
    useful = hub_calls.useful(world.settings)
    needed = sorted(action for action in refused if action not in useful)
    findings = [
        note(f"its role {role} does not allow {action}: {useful[action]}.", where, _POLICY)
        for action in sorted(set(refused) - set(needed))
    ]
    if needed:
        what = f"its role {role} does not allow the hub {', '.join(needed)}."
        findings.append(Finding(what, where, _POLICY))
    return findings


def _refused(world: World, documents: list[dict[str, object]]) -> list[str]:
    return [
        action
        for action, requests in hub_calls.requests(world.settings, world.place).items()
        if not all(each.allowed for each in evaluate.decide_all(documents, requests))
    ]
