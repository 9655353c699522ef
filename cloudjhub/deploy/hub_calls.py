"""The calls that a running hub makes, as a policy has to allow them. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from cloudjhub.account.filters import tag_specification
from cloudjhub.account.quotas import STANDARD
from cloudjhub.deploy.settings import Settings
from cloudjhub.ec2_values import tag_list
from cloudjhub.launch_spec import LaunchSpec, run_arguments
from cloudjhub.naming import (
    DISK_ROLE,
    HOME_MOVE_ROLE,
    MANAGER_ROLE,
    WORKER_IMAGE_ROLE,
    WORKER_ROLE,
    Owner,
    key_pair_name,
    owner_tags,
    role_tags,
)
from cloudjhub.policy import ec2_requests, iam_requests
from cloudjhub.policy.evaluate import Request
from cloudjhub.policy.requests import Call, Known
from cloudjhub.policy.statements import Place

_INSTANCE, _VOLUME, _GROUP = "i-00000000", "vol-00000000", "sg-00000000"
_IMAGE, _SNAPSHOT = "ami-00000000", "snap-00000000"
_OLD_SNAPSHOT, _ADDRESS = "snap-0000000a", "eipalloc-00000000"


@dataclass(frozen=True)
class _Cluster:
    """What exists as far as these calls are concerned: one of each, with the cluster's tags."""

    name: str

    def find(self, kind: str, name: str) -> Known | None:
        roles = {_INSTANCE: WORKER_ROLE, _VOLUME: DISK_ROLE, _GROUP: WORKER_ROLE}
        roles |= {_IMAGE: WORKER_IMAGE_ROLE, _SNAPSHOT: HOME_MOVE_ROLE}
        roles |= {_OLD_SNAPSHOT: WORKER_IMAGE_ROLE, _ADDRESS: MANAGER_ROLE}
        role = roles.get(name)
        return Known(name, role_tags(self.name, role)) if role else None

    def role_of_profile(self, name_or_arn: str) -> str | None:
        """Users' machines have none."""
        return None


_LISTED = ("Addresses", "Images", "InstanceTypes", "Instances", "Snapshots", "Subnets", "Volumes")

_USEFUL = {
    "DescribeAddresses": "the sweep does not find addresses that nobody uses",
    "DescribeInstanceTypes": "the hub cannot compare machines with the account's quota",
    "DescribeSnapshots": "the sweep does not find snapshots that nobody needs",
    "DescribeSubnets": "the hub takes zones from the machines there are",
    "GetServiceQuota": "the hub does not know the account's quota before Amazon refuses a machine",
}


def useful(settings: Settings) -> dict[str, str]:
    """What the hub goes on without, and what it then lacks."""
    needed = {"DescribeSnapshots"} if _may_move(settings) else set()
    return {action: lack for action, lack in _USEFUL.items() if action not in needed}


def requests(settings: Settings, place: Place) -> dict[str, list[Request]]:
    """Action -> what is authorized for it when this cluster's hub calls it."""
    cluster = _Cluster(settings.cluster_name)
    found: dict[str, list[Request]] = {}
    for action, parameters in _calls(settings):
        call = Call("ec2", action, parameters, place, {}, cluster)
        found.setdefault(action, []).extend(ec2_requests.requests(call))
    quota = {"ServiceCode": "ec2", "QuotaCode": STANDARD}
    call = Call("servicequotas", "GetServiceQuota", quota, place, {}, cluster)
    found["GetServiceQuota"] = iam_requests.service_quotas(call)
    return found


def _calls(settings: Settings) -> Iterator[tuple[str, dict[str, Any]]]:
    tags = tag_list(owner_tags(Owner("ada")))
    one, disk = {"InstanceIds": [_INSTANCE]}, {"VolumeId": _VOLUME, "InstanceId": _INSTANCE}
    for kind in _LISTED:
        yield f"Describe{kind}", {}
    for subnet in settings.private_subnet_ids:
        spec = replace(_spec(settings), subnet_id=subnet)
        yield "RunInstances", run_arguments(spec, count=1, client_token="-")
    for action in ("StartInstances", "StopInstances", "TerminateInstances"):
        yield action, one
    yield "GetConsoleOutput", {"InstanceId": _INSTANCE}
    yield "CreateTags", {"Resources": [_INSTANCE, _VOLUME], "Tags": tags}
    yield "DeleteTags", {"Resources": [_INSTANCE], "Tags": tags}
    yield "AttachVolume", disk
    yield "DetachVolume", disk
    yield "DeleteVolume", {"VolumeId": _VOLUME}
    if settings.sweep == "remove":
        yield "DeleteSnapshot", {"SnapshotId": _OLD_SNAPSHOT}
        yield "ReleaseAddress", {"AllocationId": _ADDRESS}
    if len(settings.worker_instance_types) > 1:
        other = {"Value": settings.worker_instance_types[1]}
        yield "ModifyInstanceAttribute", {"InstanceId": _INSTANCE, "InstanceType": other}
    if _may_move(settings):
        yield from _moving(settings)


def _may_move(settings: Settings) -> bool:
    return len(settings.private_subnet_ids) > 1 and settings.move_homes != "never"


def _moving(settings: Settings) -> Iterator[tuple[str, dict[str, Any]]]:
    """A home into another zone."""
    cluster = settings.cluster_name
    copied = [tag_specification("snapshot", role_tags(cluster, HOME_MOVE_ROLE))]
    yield "CreateSnapshot", {"VolumeId": _VOLUME, "TagSpecifications": copied}
    made = [tag_specification("volume", role_tags(cluster, DISK_ROLE))]
    yield "CreateVolume", {"SnapshotId": _SNAPSHOT, "TagSpecifications": made}
    yield "DeleteSnapshot", {"SnapshotId": _SNAPSHOT}


def _spec(settings: Settings) -> LaunchSpec:
    return LaunchSpec(
        cluster=settings.cluster_name,
        image_id=settings.custom_worker_ami or _IMAGE,
        instance_type=settings.worker_instance_type,
        subnet_id=settings.private_subnet_id,
        security_groups=(_GROUP,),
        key_name=key_pair_name(settings.cluster_name),
        root_device="/dev/sda1",
        root_gib=settings.root_disk_gib,
        home_gib=settings.home_disk_gib,
        server_owner=settings.server_owner,
        hibernates=settings.idle_action == "hibernate",
    )
