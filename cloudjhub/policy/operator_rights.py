"""What whoever launches a cluster may do: one list of calls for each way they are limited. Pure."""

from typing import Any

from cloudjhub.naming import MANAGER_ROLE, resource_name
from cloudjhub.policy.statements import Place, allow, document, tagged

_BORN = (
    "elastic-ip",
    "image",
    "instance",
    "key-pair",
    "network-interface",
    "security-group",
    "snapshot",
    "volume",
)
_OPERATOR_CREATES = (
    "AllocateAddress",
    "CreateImage",
    "CreateSecurityGroup",
    "CreateSnapshot",
    "CreateVolume",
    "ImportKeyPair",
)
_OPERATOR_LOOKS = (
    "DescribeAddresses",
    "DescribeAvailabilityZones",
    "DescribeImages",
    "DescribeInstanceStatus",
    "DescribeInstanceTypeOfferings",
    "DescribeInstanceTypes",
    "DescribeInstances",
    "DescribeInternetGateways",
    "DescribeKeyPairs",
    "DescribeNatGateways",
    "DescribeNetworkInterfaces",
    "DescribeRegions",
    "DescribeRouteTables",
    "DescribeSecurityGroupRules",
    "DescribeSecurityGroups",
    "DescribeSnapshots",
    "DescribeSubnets",
    "DescribeTags",
    "DescribeVolumes",
    "DescribeVpcs",
    "GetEbsDefaultKmsKeyId",
)
_OPERATOR_CHANGES = (
    "AssociateAddress",
    "AttachVolume",
    "AuthorizeSecurityGroupEgress",
    "AuthorizeSecurityGroupIngress",
    "CreateImage",
    "CreateSnapshot",
    "CreateTags",
    "CreateVolume",
    "DeleteKeyPair",
    "DeleteSecurityGroup",
    "DeleteSnapshot",
    "DeleteTags",
    "DeleteVolume",
    "DeregisterImage",
    "DetachVolume",
    "DisassociateAddress",
    "GetConsoleOutput",
    "ModifyInstanceAttribute",
    "ModifyInstanceMetadataOptions",
    "RebootInstances",
    "ReleaseAddress",
    "RevokeSecurityGroupEgress",
    "RevokeSecurityGroupIngress",
    "StartInstances",
    "StopInstances",
    "TerminateInstances",
)
_WHO_CALLS = ("DecodeAuthorizationMessage", "GetCallerIdentity")
_QUOTA_CALLS = ("GetAWSDefaultServiceQuota", "GetServiceQuota")
_ROLE_LOOKS = ("GetRole", "GetRolePolicy", "ListAttachedRolePolicies", "ListRolePolicies")
_ROLE_CALLS = (
    "CreateRole",
    "DeleteRole",
    "DeleteRolePolicy",
    "DetachRolePolicy",
    "GetRole",
    "GetRolePolicy",
    "ListAttachedRolePolicies",
    "ListInstanceProfilesForRole",
    "ListRolePolicies",
    "PutRolePolicy",
    "TagRole",
    "UpdateAssumeRolePolicy",
)
_PROFILE_CALLS = (
    "AddRoleToInstanceProfile",
    "CreateInstanceProfile",
    "DeleteInstanceProfile",
    "GetInstanceProfile",
    "RemoveRoleFromInstanceProfile",
    "TagInstanceProfile",
)


def operator(place: Place, *, own_profile: str = "") -> dict[str, Any]:
    """What launching, looking after and removing one cluster takes.

    ``own_profile``: the cluster's MANAGER_IAM_ROLE, an instance profile that exists and holds a
    role of the same name. Then no role can be made or changed, only that one be read and passed.
    """
    born = [place.ec2(kind) for kind in _BORN]
    requested = tagged("aws:RequestTag", place.cluster)
    ours = tagged("aws:ResourceTag", place.cluster)
    return document(
        [
            allow("Look", _OPERATOR_LOOKS, ["*"]),
            allow("Create", _OPERATOR_CREATES, born, StringEquals=requested),
            allow(
                "Launch",
                ["RunInstances"],
                [place.ec2("instance"), place.ec2("volume")],
                StringEquals=requested,
                # Volumes have no such key; machines always have.
                StringEqualsIfExists={"ec2:MetadataHttpTokens": "required"},
            ),
            allow(
                "TagAtBirth",
                ["CreateTags"],
                born,
                StringEquals=requested | {"ec2:CreateAction": ["RunInstances", *_OPERATOR_CREATES]},
            ),
            *_operator_sources(place, ours),
            allow("Change", _OPERATOR_CHANGES, ["*"], StringEquals=ours),
            *(_own_role(place, own_profile) if own_profile else _made_role(place)),
            allow("WhoAsks", _WHO_CALLS, ["*"], service="sts"),
            # Of oneself. Roles have no variable for that: who has one is told what was not checked.
            allow(
                "MayI",
                ["SimulatePrincipalPolicy"],
                [place.iam("user", "${aws:username}")],
                service="iam",
            ),
            allow("Quotas", _QUOTA_CALLS, ["*"], service="servicequotas"),
        ]
    )


def _operator_sources(place: Place, ours: dict[str, str]) -> list[dict[str, Any]]:
    """What is used by what is made, and cannot carry the tag or need not."""
    kinds = ("image", "key-pair", "network-interface", "subnet")
    return [
        allow("LaunchFrom", ["RunInstances"], [place.ec2(kind) for kind in kinds]),
        allow("LaunchInGroup", ["RunInstances"], [place.ec2("security-group")], StringEquals=ours),
        allow("GroupInVpc", ["CreateSecurityGroup"], [place.ec2("vpc")]),
        allow(
            "RulesOfGroups",
            ["AuthorizeSecurityGroupEgress", "AuthorizeSecurityGroupIngress"],
            [place.ec2("security-group-rule")],
        ),
    ]


def _made_role(place: Place) -> list[dict[str, Any]]:
    """The manager's role and instance profile, by name: made, passed to EC2, removed."""
    name = resource_name(place.cluster, MANAGER_ROLE)
    return [
        allow("Role", _ROLE_CALLS, [place.iam("role", name)], service="iam"),
        allow("Profile", _PROFILE_CALLS, [place.iam("instance-profile", name)], service="iam"),
        _passing(place, name),
    ]


def _own_role(place: Place, name: str) -> list[dict[str, Any]]:
    """A role that somebody else made: read by checks, passed to EC2."""
    profile = place.iam("instance-profile", name)
    # Amazon's own policies belong to the account "aws".
    policies = f"arn:{place.partition}:iam::*:policy/*"
    return [
        allow("Profile", ["GetInstanceProfile"], [profile], service="iam"),
        allow("Role", _ROLE_LOOKS, [place.iam("role", name)], service="iam"),
        allow("Policies", ["GetPolicy", "GetPolicyVersion"], [policies], service="iam"),
        _passing(place, name),
    ]


def _passing(place: Place, role: str) -> dict[str, Any]:
    return allow(
        "PassRole",
        ["PassRole"],
        [place.iam("role", role)],
        service="iam",
        StringEquals={"iam:PassedToService": place.ec2_service},
    )
