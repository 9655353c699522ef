"""Rights on the manager's role, and the role's own: what is refused and what is only noted."""

from types import SimpleNamespace
from typing import Any

import pytest
from deploy.looking import error, findings
from deploy.networks import REGION, Account
from deploy.test_check_class import subnet_in

from cloudjhub.account.access import Identity
from cloudjhub.deploy.checks import role_rights
from cloudjhub.deploy.checks.world import World
from cloudjhub.deploy.findings import Finding

ADA = "arn:aws:iam::123456789012:user/ada"


class Simulator:
    """IAM for somebody whose policies hold only where ``keys`` are known; as AWS documents it."""

    def __init__(self, decision: str, keys: tuple[str, ...]):
        self.decision, self.keys = decision, list(keys)

    def pages(self, operation: str, **asked: Any) -> list[dict[str, Any]]:
        assert operation == "simulate_principal_policy"
        return [{"EvaluationResults": [self._said(name) for name in asked["ActionNames"]]}]

    def _said(self, action: str) -> dict[str, Any]:
        # AWS has the keys beside each resource, where resources are named.
        of_resource = {"EvalResourceDecision": self.decision, "MissingContextValues": self.keys}
        return {
            "EvalActionName": action,
            "EvalDecision": self.decision,
            "MissingContextValues": [],
            "ResourceSpecificResults": [of_resource],
        }


def found(account: Account, arn: str, decision: str, *keys: str) -> list[Finding]:
    world = World(account.settings(), SimpleNamespace(iam=Simulator(decision, keys)))  # type: ignore[arg-type]
    world.identity = Identity("123456789012", arn)
    return role_rights.check(world)


@pytest.mark.parametrize("decision", ["implicitDeny", "explicitDeny"])
def test_what_depends_on_the_real_call_is_a_note(account: Account, decision: str):
    notes = found(account, ADA, decision, "aws:MultiFactorAuthPresent", "aws:SourceIp")
    assert {each.level for each in notes} == {"note"}
    assert {"permission iam:CreateRole", "permission iam:PassRole"} <= {e.where for e in notes}
    assert all("aws:MultiFactorAuthPresent, aws:SourceIp" in each.what for each in notes)


@pytest.mark.parametrize("keys", [(), ("ec2:ResourceTag/cloudjhub:cluster",)])
def test_what_depends_on_nothing_of_the_call_is_refused(account: Account, keys: tuple[str, ...]):
    errors = found(account, ADA, "implicitDeny", *keys)
    assert {each.level for each in errors} == {"error"} and "Add iam:" in errors[0].remedy
    assert found(account, ADA, "allowed", *keys) == []


def test_only_the_root_user_passes_unseen(account: Account):
    assert found(account, "arn:aws:iam::123456789012:root", "implicitDeny") == []
    federated = "arn:aws:sts::123456789012:federated-user/bob"
    (note,) = found(account, federated, "implicitDeny")
    assert note.level == "note" and "could not be checked" in note.what and federated in note.what


# -- a role of one's own for the manager


def allowing(account: Account, *actions: str) -> str:
    return account.role_with({"Effect": "Allow", "Action": list(actions), "Resource": "*"})


HUB = [
    *(f"ec2:Describe{kind}" for kind in ("Images", "Instances", "Volumes")),
    *(f"ec2:{verb}Instances" for verb in ("Run", "Start", "Stop", "Terminate")),
    *(f"ec2:{call}" for call in ("GetConsoleOutput", "CreateTags", "DeleteTags")),
    *(f"ec2:{verb}Volume" for verb in ("Attach", "Detach", "Delete")),
]


def test_rights_that_the_hub_can_do_without_are_notes(account: Account):
    """A role for the first version, which asked for no quota, no subnet and no snapshot."""
    found = findings(account, MANAGER_IAM_ROLE=allowing(account, *HUB))
    own = [each for each in found if each.where.startswith("MANAGER_IAM_ROLE")]
    assert {each.level for each in own} == {"note"}
    said = " ".join(each.what for each in own)
    for action in ("DescribeInstanceTypes", "DescribeSubnets", "GetServiceQuota"):
        assert f"does not allow {action}: the hub " in said
    for action in ("DescribeAddresses", "DescribeSnapshots"):
        assert f"does not allow {action}: the sweep " in said
    more = (
        *("ec2:DescribeInstanceTypes", "ec2:DescribeSubnets", "servicequotas:GetServiceQuota"),
        *("ec2:DescribeAddresses", "ec2:DescribeSnapshots"),
    )
    complete = findings(account, MANAGER_IAM_ROLE=allowing(account, *HUB, *more))
    assert not [each for each in complete if each.where.startswith("MANAGER_IAM_ROLE")]


def test_homes_that_may_move_need_snapshots(account: Account):
    subnets = f"{account.private},{subnet_in(account, f'{REGION}b', 231)}"
    moving = {"MOVE_HOMES": "always", "PRIVATE_SUBNET_ID": subnets}
    refused = error(account, MANAGER_IAM_ROLE=allowing(account, *HUB), **moving)
    assert "DescribeSnapshots" in refused.what and "DescribeSubnets" not in refused.what


def test_a_sweep_that_removes_needs_the_rights_to(account: Account):
    also = ("ec2:DescribeAddresses", "ec2:DescribeSnapshots")
    role = allowing(account, *HUB, *also)
    refused = error(account, MANAGER_IAM_ROLE=role, SWEEP="remove")
    assert "DeleteSnapshot, ReleaseAddress" in refused.what
    assert not [
        each
        for each in findings(account, MANAGER_IAM_ROLE=role)
        if each.level == "error" and each.where.startswith("MANAGER_IAM_ROLE")
    ]
