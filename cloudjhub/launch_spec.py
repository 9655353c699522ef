"""What kind of machine to launch, and the RunInstances arguments for it. Pure."""

import hashlib
from collections.abc import Mapping
from dataclasses import astuple, dataclass, replace
from typing import Any

from cloudjhub.config import ClusterConfig
from cloudjhub.ec2_values import HOME_DEVICE, Image, Kind, tag_list
from cloudjhub.errors import ConfigError
from cloudjhub.naming import (
    CLUSTER_TAG,
    DISK_ROLE,
    ROLE_TAG,
    SERVER_OWNER_TAG,
    SHAPE_TAG,
    WORKER_ROLE,
)


@dataclass(frozen=True)
class LaunchSpec:
    """Machines of one spec are interchangeable until they are given to someone."""

    cluster: str
    image_id: str
    instance_type: str
    subnet_id: str
    security_groups: tuple[str, ...]
    key_name: str
    root_device: str
    root_gib: int
    home_gib: int  # 0: born without a home volume
    server_owner: str
    zone: str = ""  # the subnet's, as far as it is known; the subnet decides
    hibernates: bool = False  # as far as Amazon lets machines of this type and AMI

    @property
    def shape(self) -> str:
        """Short hash, kept in the machine's cloudjhub:shape tag; equal for equal specs."""
        *values, _zone, hibernates = astuple(self)
        if hibernates:
            values.append("hibernates")
        return hashlib.sha256(repr(tuple(values)).encode()).hexdigest()[:16]

    @property
    def kind(self) -> Kind:
        """What Amazon must have for it."""
        return Kind(self.instance_type, self.zone)


def launch_spec(
    config: ClusterConfig, image: Image, *, instance_type: str | None = None, with_home: bool = True
) -> LaunchSpec:
    """The cluster's kind of machine.

    Raises ConfigError where the AMI is not ready or its root disk larger than the configured one.
    """
    if image.state != "available":
        raise ConfigError(
            [f"WORKER_AMI: {image.id}: is {image.state}; wait until it is available."]
        )
    if config.root_disk_gib < image.root_gib:
        raise ConfigError(
            [
                f"WORKER_EBS_SIZE: {config.root_disk_gib}: is smaller than the root disk of "
                f"{image.id}; make it {image.root_gib} or more."
            ]
        )
    return LaunchSpec(
        cluster=config.cluster_name,
        image_id=image.id,
        instance_type=instance_type or config.worker_instance_type,
        subnet_id=config.subnet_id,
        security_groups=config.worker_security_groups,
        key_name=config.key_name,
        root_device=image.root_device,
        root_gib=config.root_disk_gib,
        home_gib=config.home_disk_gib if with_home else 0,
        server_owner=config.server_owner,
        hibernates=config.idle_action == "hibernate",
    )


def launch_kinds(
    config: ClusterConfig,
    image: Image,
    zones: Mapping[str, str],
    *,
    instance_type: str | None = None,
) -> tuple[LaunchSpec, ...]:
    """What to launch, best first: every type in the first subnet, then in the next one.

    ``zones``: zone of each subnet, as far as it is known. ``instance_type``: what the user chose;
    who chose a type that is not in WORKER_INSTANCE_TYPE gets no other. Raises ConfigError.
    """
    first = launch_spec(config, image, instance_type=instance_type)
    types = first_of(first.instance_type, config.worker_instance_types)
    return tuple(
        replace(first, instance_type=kind, subnet_id=subnet, zone=zones.get(subnet, ""))
        for subnet in config.subnet_ids
        for kind in types
    )


def first_of(chosen: str, types: tuple[str, ...]) -> tuple[str, ...]:
    """The chosen type, then the others where it is one of these."""
    return (chosen, *(each for each in types if each != chosen and chosen in types))


def types_to_start(config: ClusterConfig, present: str) -> tuple[str, ...]:
    """The types that a stopped machine may start as, best first; ``present``: what it is now.

    One of WORKER_INSTANCE_TYPE goes back to the first of them. A type that users choose for
    themselves stays; one that the configuration does not know any more is tried first.
    """
    types = config.worker_instance_types
    if present in config.worker_instance_type_choices:
        return first_of(present, types)
    return types if present in types else (present, *types)


def run_arguments(
    spec: LaunchSpec, *, count: int, client_token: str, may_hibernate: bool = True
) -> dict[str, Any]:
    """RunInstances for 1 to ``count`` machines that belong to nobody yet.

    ``may_hibernate``: False where Amazon refuses machines of this spec that can hibernate. They are
    of the same shape, as it is what the configuration asks for.
    """
    hibernates = spec.hibernates and may_hibernate
    return {
        **({"HibernationOptions": {"Configured": True}} if hibernates else {}),
        "ImageId": spec.image_id,
        "InstanceType": spec.instance_type,
        "MinCount": 1,
        "MaxCount": count,
        "ClientToken": client_token,
        "SubnetId": spec.subnet_id,
        "SecurityGroupIds": list(spec.security_groups),
        "KeyName": spec.key_name,
        "BlockDeviceMappings": _disks(spec),
        "InstanceInitiatedShutdownBehavior": "stop",
        "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
        "TagSpecifications": [
            {"ResourceType": "instance", "Tags": tag_list(_tags(spec, WORKER_ROLE))},
            # EC2 takes one list for all volumes of the call, root disks included. What makes a
            # volume a home is its owner's tags, and only a home ever gets those.
            {"ResourceType": "volume", "Tags": tag_list(_tags(spec, DISK_ROLE))},
        ],
    }


def _tags(spec: LaunchSpec, role: str) -> dict[str, str]:
    tags = {CLUSTER_TAG: spec.cluster, ROLE_TAG: role, SHAPE_TAG: spec.shape}
    if spec.server_owner:
        tags[SERVER_OWNER_TAG] = spec.server_owner
    return tags


def _disks(spec: LaunchSpec) -> list[dict[str, Any]]:
    disks = [_disk(spec.root_device, spec.root_gib, delete_on_termination=True)]
    if spec.home_gib:
        disks.append(_disk(HOME_DEVICE, spec.home_gib, delete_on_termination=False))
    return disks


def _disk(device: str, size_gib: int, *, delete_on_termination: bool) -> dict[str, Any]:
    return {
        "DeviceName": device,
        "Ebs": {
            "VolumeSize": size_gib,
            "VolumeType": "gp3",
            "Encrypted": True,
            "DeleteOnTermination": delete_on_termination,
        },
    }
