"""What an operator may not do is found before a launch, on an EC2 that enforces policies."""

import json
from typing import Any

import pytest
from deploy.looking import findings
from deploy.networks import Account
from local import identities
from local.identities import allow, user_with

from cloudjhub.deploy import launch
from cloudjhub.deploy.findings import errors_among
from cloudjhub.naming import role_tags
from cloudjhub.policy import documents

OPERATOR = documents.operator(identities.place("class1"))


def found_as(account: Account, *policies: dict[str, Any]) -> list[tuple[str, str]]:
    """Level and place of what is found with these policies alone, without the usual notes."""
    key = user_with(account, *policies)  # type: ignore[arg-type]
    return [
        (each.level, each.where)
        for each in findings(account, AWS_ACCESS_KEY_ID=key)
        if each.where.split()[0] not in ("BASE_AMI", "HTTPS", "USERLIST", "quota")
    ]


def denied(*actions: str) -> dict[str, Any]:
    statement = {"Effect": "Deny", "Action": list(actions), "Resource": "*"}
    return {"Version": "2012-10-17", "Statement": [statement]}


def test_the_operators_policy_is_enough_to_check(account: Account):
    # Without a security group of ours, EC2 takes the default one, which the policy refuses.
    assert found_as(account, OPERATOR) == [("note", "permission ec2:RunInstances")]


def test_without_them_a_missing_permission_is_told_from_the_missing_group(account: Account):
    refused = found_as(account, OPERATOR, denied("ec2:RunInstances"))
    assert refused == [("error", "permission ec2:RunInstances")]


def test_who_may_not_decode_refusals_is_told_that_it_was_not_tried(account: Account):
    refusing = denied("ec2:RunInstances", "sts:DecodeAuthorizationMessage")
    key = user_with(account, OPERATOR, refusing)  # type: ignore[arg-type]
    (found,) = [
        each
        for each in findings(account, AWS_ACCESS_KEY_ID=key)
        if each.where == "permission ec2:RunInstances"
    ]
    assert found.level == "note" and "cannot be tried" in found.what


def test_with_the_clusters_groups_launching_is_tried(account: Account):
    made = account.api.create_security_group(
        GroupName="cloudjhub-class1-manager",
        Description="ours",
        VpcId=account.vpc,
        TagSpecifications=[
            {
                "ResourceType": "security-group",
                "Tags": [
                    {"Key": key, "Value": value}
                    for key, value in role_tags("class1", "manager").items()
                ],
            }
        ],
    )["GroupId"]
    try:
        assert found_as(account, OPERATOR) == []
        refused = found_as(account, OPERATOR, denied("ec2:RunInstances"))
        assert refused == [("error", "permission ec2:RunInstances")]
    finally:
        account.api.delete_security_group(GroupId=made)


@pytest.mark.parametrize(
    "action", ["CreateSecurityGroup", "AllocateAddress", "ImportKeyPair", "CreateTags"]
)
def test_a_missing_permission_to_make_things_is_named(account: Account, action: str):
    errors = [
        where
        for level, where in found_as(account, OPERATOR, denied(f"ec2:{action}"))
        if level == "error"
    ]
    if action == "CreateTags":  # needed for each of them, and for machines
        assert len(errors) == 4
    else:
        assert errors == [f"permission ec2:{action}"]


def test_who_may_not_even_look_is_told_what_to_allow(account: Account):
    key = user_with(account, allow("sts:GetCallerIdentity"))  # type: ignore[arg-type]
    errors = errors_among(findings(account, AWS_ACCESS_KEY_ID=key))
    assert any("You are not allowed to call DescribeImages." in each.what for each in errors)
    assert any("Add DescribeSubnets to your policy" in each.remedy for each in errors)


def test_nobody_is_launched_for_with_unknown_credentials(
    account: Account, capsys: pytest.CaptureFixture[str]
):
    assert launch.main(account.arguments(AWS_ACCESS_KEY_ID="AKIAUNKNOWN")) == 2
    assert "AWS does not accept these credentials." in capsys.readouterr().err


# -- the manager's role: no dry runs there, so IAM's simulator is asked

_SIMULATOR = "permissions on the manager's role"


@pytest.mark.parametrize(
    "action",
    [
        "CreateRole",
        "PutRolePolicy",
        "PassRole",
        "CreateInstanceProfile",
        "AddRoleToInstanceProfile",
        "TagRole",
    ],
)
def test_a_missing_permission_on_the_role_is_named(account: Account, action: str):
    errors = [
        where
        for level, where in found_as(account, OPERATOR, denied(f"iam:{action}"))
        if level == "error"
    ]
    assert errors == [f"permission iam:{action}"]


def test_rights_on_another_clusters_role_are_none_on_this_one(account: Account):
    # Everything but IAM is allowed by the first.
    other = documents.operator(identities.place("class2"))
    errors = {
        where
        for level, where in found_as(account, allow("ec2:*", "sts:*", "servicequotas:*"), other)
        if level == "error"
    }
    assert errors >= {"permission iam:CreateRole", "permission iam:PassRole"}
    assert not any("ec2:" in where for where in errors)


def test_a_role_passed_to_other_services_only_is_found(account: Account):
    elsewhere = {
        "Effect": "Deny",
        "Action": "iam:PassRole",
        "Resource": "*",
        "Condition": {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}},
    }
    policy = {"Version": "2012-10-17", "Statement": [elsewhere]}
    errors = [where for level, where in found_as(account, OPERATOR, policy) if level == "error"]
    assert errors == ["permission iam:PassRole"]


def test_who_may_not_simulate_is_told_that_it_could_not_be_checked(account: Account):
    key = user_with(account, OPERATOR, denied("iam:SimulatePrincipalPolicy"))  # type: ignore[arg-type]
    (found,) = [
        each for each in findings(account, AWS_ACCESS_KEY_ID=key) if each.where == _SIMULATOR
    ]
    assert found.level == "note" and "could not be checked" in found.what
    assert "iam:SimulatePrincipalPolicy on arn:aws:iam::" in found.remedy


def test_a_role_of_ones_own_is_only_passed(account: Account):
    name = account.role_with({"Effect": "Allow", "Action": "ec2:*", "Resource": "*"})
    own = documents.operator(identities.place("class1"), own_profile=name)
    for policies, expected in (
        ((own,), set()),
        ((own, denied("iam:PassRole")), {"permission iam:PassRole"}),
    ):
        key = user_with(account, *policies)  # type: ignore[arg-type]
        found = errors_among(findings(account, AWS_ACCESS_KEY_ID=key, MANAGER_IAM_ROLE=name))
        assert {each.where for each in found} == expected


def test_an_operator_with_a_role_is_told_too(account: Account):
    """The session's ARN is not the role's, which the simulator wants."""
    trust = documents.trust(identities.place("class1"))
    may = allow("iam:SimulatePrincipalPolicy", "iam:GetRole")["Statement"]
    identities.make_role(
        account,  # type: ignore[arg-type]
        "operators",
        trust,
        {**OPERATOR, "Statement": [*OPERATOR["Statement"], *may]},
    )
    key = identities.role_key(account, "i-0123456789abcdef0", "operators")  # type: ignore[arg-type]
    found = findings(account, AWS_ACCESS_KEY_ID=key)
    assert _SIMULATOR not in {each.where for each in found}
    iam = account.client("iam")
    iam.put_role_policy(
        RoleName="operators",
        PolicyName="less",
        PolicyDocument=json.dumps(denied("iam:CreateRole")),
    )
    errors = errors_among(findings(account, AWS_ACCESS_KEY_ID=key))
    assert [each.where for each in errors] == ["permission iam:CreateRole"]
