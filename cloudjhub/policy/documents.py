"""The policies a cluster asks for: what its manager may do, and whoever launches it. Pure.

Nothing that carries another cluster's tag, or none, can be changed with either. Resources and
condition keys of each action:
https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html
https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html
"""

from collections.abc import Iterable
from typing import Any

from cloudjhub.naming import (
    DISK_ROLE,
    HOME_MOVE_ROLE,
    HOST_KEY_TAG,
    MANAGER_ROLE,
    MOVING_TAG,
    NAME_TAG,
    OUTDATED_TAG,
    RETIRED_TAG,
    SERVER_TAG,
    SUPERSEDED_TAG,
    USER_TAG,
    WORKER_IMAGE_ROLE,
    WORKER_ROLE,
    key_pair_name,
)
from cloudjhub.policy.operator_rights import operator
from cloudjhub.policy.statements import Place, allow, document, tagged

__all__ = [
    "HUB_TAGS",
    "INLINE_ROLE_LIMIT",
    "MANAGED_LIMIT",
    "Place",
    "manager",
    "operator",
    "trust",
]

#: Characters without white space:
#: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
INLINE_ROLE_LIMIT = 10_240
MANAGED_LIMIT = 6_144

#: the tags that a hub writes and removes in the life of a machine; never those that say whose
#: cluster it is
HUB_TAGS = (
    USER_TAG,
    SERVER_TAG,
    HOST_KEY_TAG,
    RETIRED_TAG,
    OUTDATED_TAG,
    MOVING_TAG,
    SUPERSEDED_TAG,
    NAME_TAG,
)

_LOOKS = (
    "DescribeAddresses",
    "DescribeImages",
    "DescribeInstanceTypes",
    "DescribeInstances",
    "DescribeSnapshots",
    "DescribeSubnets",
    "DescribeVolumes",
)
_QUOTAS = ("GetAWSDefaultServiceQuota", "GetServiceQuota")
_POWER = ("StartInstances", "StopInstances", "TerminateInstances", "GetConsoleOutput")
_MOVES = ("AttachVolume", "DetachVolume")
_TAGS = ("CreateTags", "DeleteTags")


def trust(place: Place) -> dict[str, Any]:
    """Who may assume the manager's role: EC2, for the machine that has it."""
    return document(
        [
            {
                "Effect": "Allow",
                "Principal": {"Service": place.ec2_service},
                "Action": "sts:AssumeRole",
            }
        ]
    )


def manager(
    place: Place, *, subnets: Iterable[str] = ("*",), images: Iterable[str] = ()
) -> dict[str, Any]:
    """What the hub may do: make, change and remove users' machines and their volumes.

    ``subnets``: ids of the subnets machines are launched in. ``images``: ids of AMIs that do not
    carry the cluster's tag and may be launched all the same, such as a CUSTOM_WORKER_AMI.
    """
    machines, disks = place.ec2("instance"), place.ec2("volume")
    ours_machines = tagged("aws:ResourceTag", place.cluster, WORKER_ROLE)
    ours_disks = tagged("aws:ResourceTag", place.cluster, DISK_ROLE)
    own_tags = {
        "ForAllValues:StringEquals": {"aws:TagKeys": list(HUB_TAGS)},
        "Null": {"aws:TagKeys": "false"},
    }
    launched_from = [place.ec2("subnet", subnet) for subnet in subnets]
    launched_from += [place.ec2("image", image) for image in images]
    return document(
        [
            allow("Look", _LOOKS, ["*"]),
            allow("Quotas", _QUOTAS, ["*"], service="servicequotas"),
            *_launch_results(place),
            *_launch_sources(place, launched_from),
            allow("Machines", _POWER, [machines], StringEquals=ours_machines),
            _other_type(machines, ours_machines),
            *_moved_homes(place),
            *_leftovers(place),
            allow("Homes", ["DeleteVolume"], [disks], StringEquals=ours_disks),
            allow("HomeOn", _MOVES, [machines], StringEquals=ours_machines),
            allow("HomeOf", _MOVES, [disks], StringEquals=ours_disks),
            allow("TagMachines", _TAGS, [machines], StringEquals=ours_machines, **own_tags),
            allow("TagHomes", _TAGS, [disks], StringEquals=ours_disks, **own_tags),
        ]
    )


def _other_type(machines: str, ours: dict[str, str]) -> dict[str, Any]:
    """Of a machine's attributes only the type. A call sets one attribute, and AWS names it:
    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/iam-policy-structure.html#attribute-key
    """
    of_type = {"ec2:Attribute/InstanceType": "false"}
    return allow(
        "OtherType", ["ModifyInstanceAttribute"], [machines], StringEquals=ours, Null=of_type
    )


def _moved_homes(place: Place) -> list[dict[str, Any]]:
    """A home goes into another zone by a snapshot of a role of its own: no other can be deleted."""
    disks, snapshots = place.ec2("volume"), place.ec2("snapshot")
    ours_disks = tagged("aws:ResourceTag", place.cluster, DISK_ROLE)
    ours = tagged("aws:ResourceTag", place.cluster, HOME_MOVE_ROLE)
    born = tagged("aws:RequestTag", place.cluster, HOME_MOVE_ROLE)
    born_disk = tagged("aws:RequestTag", place.cluster, DISK_ROLE)
    at_birth = {"ec2:CreateAction": "CreateSnapshot"}
    return [
        allow("CopyHomes", ["CreateSnapshot"], [disks], StringEquals=ours_disks),
        allow("Copies", ["CreateSnapshot"], [snapshots], StringEquals=born),
        allow("BornCopies", ["CreateTags"], [snapshots], StringEquals=born | at_birth),
        allow("FromCopies", ["CreateVolume", "DeleteSnapshot"], [snapshots], StringEquals=ours),
        allow("MovedHomes", ["CreateVolume"], [disks], StringEquals=born_disk),
    ]


def _leftovers(place: Place) -> list[dict[str, Any]]:
    """What the sweep removes besides volumes: what launches and teardowns that broke off left.

    EC2 itself keeps a snapshot that an AMI is made of, and an address that a machine has.
    """
    images = tagged("aws:ResourceTag", place.cluster, WORKER_IMAGE_ROLE)
    managers = tagged("aws:ResourceTag", place.cluster, MANAGER_ROLE)
    snapshots, addresses = place.ec2("snapshot"), place.ec2("elastic-ip")
    return [
        allow("OldImages", ["DeleteSnapshot"], [snapshots], StringEquals=images),
        allow("OldAddresses", ["ReleaseAddress"], [addresses], StringEquals=managers),
    ]


def _launch_results(place: Place) -> list[dict[str, Any]]:
    """What a launch makes: machines and disks of this cluster, tagged as users' at birth."""
    machines, disks = place.ec2("instance"), place.ec2("volume")
    born_machine = tagged("aws:RequestTag", place.cluster, WORKER_ROLE)
    born_disk = tagged("aws:RequestTag", place.cluster, DISK_ROLE)
    at_birth = {"ec2:CreateAction": "RunInstances"}
    disk_at_birth = {"ec2:CreateAction": ["RunInstances", "CreateVolume"]}
    imds = {"ec2:MetadataHttpTokens": "required"}
    return [
        allow(
            "LaunchMachines",
            ["RunInstances"],
            [machines],
            StringEquals=born_machine | imds,
            # A machine with a role would hand the role's rights to its user.
            Null={"ec2:InstanceProfile": "true"},
        ),
        allow("LaunchDisks", ["RunInstances"], [disks], StringEquals=born_disk),
        allow("BornMachines", ["CreateTags"], [machines], StringEquals=born_machine | at_birth),
        allow("BornDisks", ["CreateTags"], [disks], StringEquals=born_disk | disk_at_birth),
    ]


def _launch_sources(place: Place, named: list[str]) -> list[dict[str, Any]]:
    """What a launch starts from: the cluster's own image and group, one key pair, the subnets."""
    key_pair = place.ec2("key-pair", key_pair_name(place.cluster))
    return [
        allow("LaunchFrom", ["RunInstances"], [*named, key_pair, place.ec2("network-interface")]),
        allow(
            "LaunchOurImage",
            ["RunInstances"],
            [place.ec2("image")],
            StringEquals=tagged("aws:ResourceTag", place.cluster),
        ),
        allow(
            "LaunchInGroup",
            ["RunInstances"],
            [place.ec2("security-group")],
            StringEquals=tagged("aws:ResourceTag", place.cluster, WORKER_ROLE),
        ),
    ]
