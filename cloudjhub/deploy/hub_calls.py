"""The calls that a running hub makes, as a policy has to allow them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cloudjhub.deploy.settings import Settings
from cloudjhub.launch_spec import LaunchSpec, run_arguments
from cloudjhub.naming import (
    DISK_ROLE,
    WORKER_IMAGE_ROLE,
    WORKER_ROLE,
    Owner,
    key_pair_name,
    owner_tags,
    role_tags,
)
from cloudjhub.policy import ec2_requests
from cloudjhub.policy.evaluate import Request
from cloudjhub.policy.requests import Call, Known
from cloudjhub.policy.statements import Place

_INSTANCE, _VOLUME, _GROUP = "i-00000000", "vol-00000000", "sg-00000000"
_IMAGE = "ami-00000000"


@dataclass(frozen=True)
class _Cluster:
    """What exists as far as these calls are concerned: one of each, with the cluster's tags."""

    name: str

    def find(self, kind: str, name: str) -> Known | None:
        roles = {_INSTANCE: WORKER_ROLE, _VOLUME: DISK_ROLE, _GROUP: WORKER_ROLE}
        roles[_IMAGE] = WORKER_IMAGE_ROLE
        role = roles.get(name)
        return Known(name, role_tags(self.name, role)) if role else None

    def role_of_profile(self, name_or_arn: str) -> str | None:
        """Users' machines have none."""
        return None


def requests(settings: Settings, place: Place) -> dict[str, list[Request]]:
    """Action -> what is authorized for it when this cluster's hub calls it."""
    cluster = _Cluster(settings.cluster_name)
    return {
        action: ec2_requests.requests(Call("ec2", action, parameters, place, {}, cluster))
        for action, parameters in _calls(settings).items()
    }


def _calls(settings: Settings) -> Mapping[str, dict[str, Any]]:
    tags = [{"Key": key, "Value": value} for key, value in owner_tags(Owner("ada")).items()]
    one, disk = {"InstanceIds": [_INSTANCE]}, {"VolumeId": _VOLUME, "InstanceId": _INSTANCE}
    return {
        "DescribeImages": {"ImageIds": [_IMAGE]},
        "DescribeInstances": {},
        "DescribeVolumes": {},
        "RunInstances": run_arguments(_spec(settings), count=1, client_token="-"),
        "StartInstances": one,
        "StopInstances": one,
        "TerminateInstances": one,
        "GetConsoleOutput": {"InstanceId": _INSTANCE},
        "CreateTags": {"Resources": [_INSTANCE, _VOLUME], "Tags": tags},
        "DeleteTags": {"Resources": [_INSTANCE], "Tags": tags},
        "AttachVolume": disk,
        "DetachVolume": disk,
        "DeleteVolume": {"VolumeId": _VOLUME},
    }


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
    )
