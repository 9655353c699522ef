"""What EC2 says, as frozen values. No boto3 object goes further than cloudjhub.ec2."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any, NamedTuple

HOME_DEVICE = "/dev/sdf"

#: Code of the state reason of a machine that was stopped with its memory on its disk; one whose
#: hibernation failed was shut down and has another.
#: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/hibernating-instances.html
_HIBERNATED = "Client.UserInitiatedHibernate"
_MOMENT = re.compile(r"\((\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (?:GMT|UTC)\)")

Tags = dict[str, str]


class Kind(NamedTuple):
    """What Amazon has or has not: a type in a zone ("" where the zone is not known)."""

    instance_type: str
    zone: str


@dataclass(frozen=True)
class Instance:
    """One EC2 instance as a listing showed it."""

    id: str
    state: str  # pending, running, stopping, stopped, shutting-down, terminated
    instance_type: str = ""
    zone: str = ""
    image_id: str = ""
    private_ip: str | None = None  # None once terminated
    launched_at: datetime | None = None
    state_reason: str = ""  # "Code: message"; "" where EC2 gives none
    tags: Tags = field(default_factory=dict)
    volumes: Mapping[str, str] = field(default_factory=dict)  # device name -> volume id
    hibernation_configured: bool = False  # since its launch, and for ever
    stopped_at: datetime | None = None  # None while it runs, or where EC2 gives none

    @property
    def hibernated(self) -> bool:
        """Whether it wakes up at its next start instead of booting.

        While it is stopping this is what it is about to do, and may still fail.
        """
        return self.state in ("stopping", "stopped") and self.state_reason.startswith(_HIBERNATED)

    @property
    def home_volume_id(self) -> str | None:
        """Volume at the home device; None while EC2 lists none there."""
        return self.volumes.get(HOME_DEVICE)

    def with_tags(self, changes: Mapping[str, str | None]) -> "Instance":
        """The same with tags set, or removed where the value is None."""
        merged = {**self.tags, **changes}
        return replace(
            self, tags={key: value for key, value in merged.items() if value is not None}
        )


@dataclass(frozen=True)
class Volume:
    """One EBS volume."""

    id: str
    state: str  # creating, available, in-use, deleting, deleted, error
    zone: str
    size_gib: int
    created_at: datetime | None = None
    attached_to: str | None = None  # instance id
    snapshot_id: str = ""  # what it was made from; "" for a blank volume, never for a root disk
    tags: Tags = field(default_factory=dict)


@dataclass(frozen=True)
class Snapshot:
    """One EBS snapshot."""

    id: str
    state: str  # pending, completed, error
    volume_id: str
    progress: str = ""  # such as "40%"
    tags: Tags = field(default_factory=dict)


@dataclass(frozen=True)
class Image:
    """What a launch must know of an AMI."""

    id: str
    state: str
    root_device: str
    root_gib: int


def instance_from(raw: Mapping[str, Any]) -> Instance:
    """From one entry of Reservations[].Instances[]."""
    reason = raw.get("StateReason") or {}
    code, message = reason.get("Code", ""), reason.get("Message", "")
    return Instance(
        id=raw["InstanceId"],
        state=raw["State"]["Name"],
        instance_type=raw.get("InstanceType", ""),
        zone=raw.get("Placement", {}).get("AvailabilityZone", ""),
        image_id=raw.get("ImageId", ""),
        private_ip=raw.get("PrivateIpAddress"),
        launched_at=raw.get("LaunchTime"),
        state_reason=message if message.startswith(code) else f"{code}: {message}",
        tags=tags_from(raw),
        volumes={
            mapping["DeviceName"]: mapping["Ebs"]["VolumeId"]
            for mapping in raw.get("BlockDeviceMappings", [])
            if mapping.get("Ebs", {}).get("VolumeId")
        },
        hibernation_configured=bool(raw.get("HibernationOptions", {}).get("Configured")),
        stopped_at=_moment(raw.get("StateTransitionReason") or ""),
    )


def _moment(transition: str) -> datetime | None:
    """Of "User initiated (2026-11-23 18:40:00 GMT)"; None of what has no such moment."""
    found = _MOMENT.search(transition)
    if found is None:
        return None
    return datetime.strptime(found[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=timezone.utc)


def volume_from(raw: Mapping[str, Any]) -> Volume:
    """From one entry of Volumes[]."""
    attachments = [
        entry for entry in raw.get("Attachments", []) if entry.get("State") != "detached"
    ]
    return Volume(
        id=raw["VolumeId"],
        state=raw["State"],
        zone=raw["AvailabilityZone"],
        size_gib=raw["Size"],
        created_at=raw.get("CreateTime"),
        attached_to=attachments[0]["InstanceId"] if attachments else None,
        snapshot_id=raw.get("SnapshotId") or "",
        tags=tags_from(raw),
    )


def snapshot_from(raw: Mapping[str, Any]) -> Snapshot:
    """From one entry of Snapshots[], or the answer of CreateSnapshot."""
    return Snapshot(
        id=raw["SnapshotId"],
        state=raw["State"],
        volume_id=raw.get("VolumeId", ""),
        progress=raw.get("Progress", ""),
        tags=tags_from(raw),
    )


def image_from(raw: Mapping[str, Any]) -> Image:
    """From one entry of Images[]."""
    root = raw.get("RootDeviceName") or "/dev/sda1"
    sizes = {
        mapping.get("DeviceName"): mapping.get("Ebs", {}).get("VolumeSize", 0)
        for mapping in raw.get("BlockDeviceMappings", [])
    }
    return Image(raw["ImageId"], raw.get("State", "available"), root, sizes.get(root) or 0)


def tags_from(raw: Mapping[str, Any]) -> Tags:
    """Tags as a plain dictionary."""
    return {entry["Key"]: entry["Value"] for entry in raw.get("Tags", [])}


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as EC2 wants them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]
