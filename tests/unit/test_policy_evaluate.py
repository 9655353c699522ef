"""Statements: what applies, and who wins."""

from typing import Any

import pytest

from cloudjhub.policy.evaluate import Request, decide, decide_all, within
from cloudjhub.policy.values import UnsupportedPolicy

MACHINE = "arn:aws:ec2:us-east-1:123456789012:instance/i-1"


def policy(*statements: dict[str, Any], version: str = "2012-10-17") -> dict[str, Any]:
    return {"Version": version, "Statement": list(statements)}


def allow(action: Any = "ec2:*", resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def reason(*policies: dict[str, Any], action: str = "ec2:StopInstances", on: str = MACHINE) -> str:
    return decide(policies, Request(action, on, {"aws:username": "ann"})).reason


def test_nothing_is_allowed_by_itself():
    assert reason() == "implicit"
    assert reason(policy(allow("s3:*"))) == "implicit"


def test_a_deny_anywhere_wins():
    deny = policy(allow("ec2:Stop*") | {"Effect": "Deny"})
    assert reason(policy(allow()), deny) == "explicit"
    assert reason(deny, policy(allow()), action="ec2:StartInstances") == "allowed"


def test_the_deciding_statement_is_named():
    decision = decide(
        [policy(allow("s3:*", Sid="Buckets"), allow(Sid="Machines"))],
        Request("ec2:StopInstances", MACHINE),
    )
    assert (decision.allowed, decision.statement) == (True, "Machines")
    assert decide([policy(allow())], Request("ec2:StopInstances", MACHINE)).statement == "#0"


@pytest.mark.parametrize(
    ("actions", "expected"),
    [
        ("*", "allowed"),
        ("ec2:stopinstances", "allowed"),
        (["s3:Get*", "ec2:*Instances"], "allowed"),
        ("ec2:St?pInstances", "allowed"),
        ("ec2:Stop", "implicit"),
    ],
)
def test_actions(actions: Any, expected: str):
    assert reason(policy(allow(actions))) == expected


def test_not_action_and_not_resource():
    but_start = {"Effect": "Allow", "NotAction": "ec2:Start*", "Resource": "*"}
    assert reason(policy(but_start)) == "allowed"
    assert reason(policy(but_start), action="ec2:StartInstances") == "implicit"
    elsewhere = {"Effect": "Deny", "Action": "*", "NotResource": "arn:aws:ec2:us-east-1:*"}
    assert reason(policy(allow(), elsewhere)) == "allowed"
    assert reason(policy(allow(), elsewhere), on=MACHINE.replace("us-", "eu-")) == "explicit"


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        (MACHINE, "allowed"),
        ("arn:aws:ec2:us-east-1:123456789012:instance/*", "allowed"),
        ("arn:aws:ec2:*:*:instance/i-?", "allowed"),
        ("arn:aws:ec2:*", "allowed"),  # at the end of a part, a star passes colons
        ("arn:aws:ec2:us*1:instance/i-1", "implicit"),  # elsewhere it does not
        ("arn:aws:ec2:us-east-1:123456789012:Instance/i-1", "implicit"),
        (["arn:aws:s3:::x", "*"], "allowed"),
        ("arn:aws:ec2:us-east-1:123456789012:instance/${aws:username, 'i-1'}", "implicit"),
        ("arn:aws:ec2:us-east-1:123456789012:instance/${aws:none, 'i-1'}", "allowed"),
        ("arn:aws:ec2:us-east-1:123456789012:instance/${aws:none}", "implicit"),
    ],
)
def test_resources(resource: Any, expected: str):
    assert reason(policy(allow(resource=resource))) == expected


def test_what_is_made_is_only_matched_by_a_pattern():
    made = "arn:aws:ec2:us-east-1:123456789012:instance/*"
    assert reason(policy(allow(resource=made)), on=made) == "allowed"
    assert reason(policy(allow(resource=MACHINE)), on=made) == "implicit"


def test_a_boundary_takes_away_and_gives_nothing():
    boundary = policy(allow("ec2:Stop*"), allow("s3:*"))
    inside, outside = Request("ec2:StopInstances", MACHINE), Request("ec2:StartInstances", MACHINE)
    allowed = decide_all([policy(allow())], [inside, outside])
    assert [d.reason for d in within(boundary, allowed)] == ["allowed", "boundary"]
    nothing = decide_all([], [inside])
    assert [d.reason for d in within(boundary, nothing)] == ["implicit"]
    deny = policy(allow() | {"Effect": "Deny"})
    assert [d.reason for d in within(deny, allowed)] == ["explicit", "explicit"]


def test_one_statement_needs_no_list():
    assert reason({"Version": "2012-10-17", "Statement": allow()}) == "allowed"


@pytest.mark.parametrize(
    "unreadable",
    [
        policy(allow(Principal="*")),
        policy(allow(NotAction="s3:*")),
        policy({"Effect": "Allow", "Action": "*"}),
        policy(allow() | {"Effect": "allow"}),
        policy(allow(), version="2027-01-01"),
        # Also where the statement is about another action: a policy is understood whole.
        policy(allow("s3:*", Condition={"StringIs": {"aws:username": "ann"}})),
    ],
)
def test_what_is_not_understood_is_not_guessed(unreadable: dict[str, Any]):
    with pytest.raises(UnsupportedPolicy):
        reason(policy(allow()), unreadable)
