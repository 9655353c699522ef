"""AMIs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cloudjhub.account.filters import matching, of_cluster, tag_specification
from cloudjhub.aws import Service
from cloudjhub.ec2_values import Tags, image_from, tags_from
from cloudjhub.naming import WORKER_IMAGE_ROLE


@dataclass(frozen=True)
class MachineImage:
    """One AMI, with what decides whether a machine type can boot it."""

    id: str
    name: str
    state: str  # pending, available, failed, ...
    architecture: str  # x86_64 or arm64
    virtualization: str  # hvm or paravirtual
    ena: bool | None  # None where AWS does not say
    root_device: str
    root_gib: int
    description: str = ""
    owner_id: str = ""  # the account that published it
    reason: str = ""  # why it failed
    created_at: str = ""
    tags: Tags = field(default_factory=dict)


def image(ec2: Service, image_id: str) -> MachineImage | None:
    """None where there is none, or none that this account may see."""
    # A distribution's image of last year is deprecated, and works.
    answer = ec2.ask(
        "describe_images", Filters=[matching("image-id", image_id)], IncludeDeprecated=True
    )
    return next((_image(raw) for raw in answer["Images"]), None)


def worker_images(ec2: Service, cluster: str) -> list[MachineImage]:
    """The AMIs that launches of this cluster have made, newest first."""
    filters = of_cluster(cluster, WORKER_IMAGE_ROLE)
    answer = ec2.ask("describe_images", Owners=["self"], Filters=filters)
    found = [_image(raw) for raw in answer["Images"]]
    return sorted(found, key=lambda each: (each.created_at, each.id), reverse=True)


def create(ec2: Service, instance_id: str, name: str, tags: dict[str, str]) -> str:
    """Begin an AMI of a machine's disk; EC2 reboots the machine for it. The AMI's id."""
    return ec2.ask("create_image", **create_arguments(instance_id, name, tags))["ImageId"]


def create_arguments(instance_id: str, name: str, tags: dict[str, str]) -> dict[str, Any]:
    """CreateImage of one machine. Pure."""
    return {
        "InstanceId": instance_id,
        "Name": name,
        "Description": "A machine of a cloudJHub user",
        "TagSpecifications": [tag_specification(kind, tags) for kind in ("image", "snapshot")],
    }


def deregister(ec2: Service, image_id: str) -> None:
    """No machine is launched from it any more."""
    ec2.ask("deregister_image", ImageId=image_id)


def _image(raw: Mapping[str, Any]) -> MachineImage:
    known = image_from(raw)
    return MachineImage(
        id=known.id,
        name=raw.get("Name", ""),
        state=known.state,
        architecture=raw.get("Architecture", ""),
        virtualization=raw.get("VirtualizationType", ""),
        ena=raw.get("EnaSupport"),
        root_device=known.root_device,
        root_gib=known.root_gib,
        description=raw.get("Description") or "",
        owner_id=raw.get("OwnerId", ""),
        reason=(raw.get("StateReason") or {}).get("Message", ""),
        created_at=raw.get("CreationDate", ""),
        tags=tags_from(raw),
    )
