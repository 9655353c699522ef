"""moto's instances, volumes and images with what EC2 knows about them besides."""

from typing import Any

from moto.ec2.models.amis import Ami
from moto.ec2.models.elastic_block_store import Snapshot, Volume
from moto.ec2.models.instances import Instance, StateReason

STATE_CODES = {
    "pending": 0,
    "running": 16,
    "shutting-down": 32,
    "terminated": 48,
    "stopping": 64,
    "stopped": 80,
}


class _QuickTags:
    """Tags by id. moto looks through all tags of all resources, for every resource listed."""

    def get_tags(self) -> list[dict[str, str]]:
        tags = self.ec2_backend.tags.get(self.id, {})  # type: ignore[attr-defined]
        return [{"key": key, "value": value} for key, value in list(tags.items())]


class LocalInstance(_QuickTags, Instance):
    """Becomes one after moto has made it: see :func:`adopt_instance`.

    ``generation`` counts changes of course; what was scheduled in an earlier one is void.
    """

    generation: int
    hibernated: bool
    booted: bool
    impaired: bool
    #: Unix time until which listings do not know it yet
    hidden_until: float

    def set_state(self, name: str) -> None:
        self._state.name = name
        self._state.code = STATE_CODES[name]

    def set_reason(self, code: str, message: str, transition: str = "") -> None:
        """StateReason and StateTransitionReason; both empty while it runs."""
        self.state_reason = StateReason(f"{code}: {message}" if code else "", code)
        self._reason = transition

    @property
    def root_volume_id(self) -> str | None:
        root = self.block_device_mapping.get(self.root_device_name)
        return root.volume_id if root else None

    @property
    def data_volume_ids(self) -> list[str]:
        """Attached volumes other than the root volume."""
        return [
            block.volume_id
            for name, block in list(self.block_device_mapping.items())
            if name != self.root_device_name and block.status in ("attaching", "attached")
        ]

    @property
    def hibernation_configured(self) -> bool:
        return bool((self.hibernation_options or {}).get("Configured"))

    @property
    def private_ip(self) -> str | None:
        return self.nics[0].private_ip_address if self.nics else None

    @property
    def private_ip_address(self) -> str | None:
        return self.private_ip

    @property
    def private_dns_name(self) -> str:
        return super().private_dns_name if self.nics else ""

    @property
    def public_ip(self) -> str | None:
        return self.nics[0].public_ip if self.nics else None

    @property
    def public_ip_address(self) -> str | None:
        return self.public_ip

    @property
    def instance_status(self) -> dict[str, Any]:
        if self.state != "running":
            return {"Status": "not-applicable"}
        if self.impaired:
            return {
                "Status": "impaired",
                "Details": [{"Name": "reachability", "Status": "failed"}],
            }
        word = ("passed", "ok") if self.booted else ("initializing", "initializing")
        return {"Status": word[1], "Details": [{"Name": "reachability", "Status": word[0]}]}


class LocalVolume(_QuickTags, Volume):
    """Becomes one after moto has made it: see :func:`adopt_volume`."""

    creating: bool

    @property
    def status(self) -> str:
        return "creating" if self.creating else super().status

    def set_attachment(self, status: str) -> None:
        """attaching, attached, busy or detaching, in the volume's and the instance's listing."""
        assert self.attachment is not None
        self.attachment.status = status
        block = self.attachment.instance.block_device_mapping.get(self.attachment.device)
        if block is not None:
            block.status = status


class LocalAmi(Ami):
    """An image whose root device is as large as it says. ``snapshot_size_gib`` sets it."""

    snapshot_size_gib: int

    @property
    def block_device_mappings(self) -> list[dict[str, Any]]:
        return [
            {
                "DeviceName": self.root_device_name,
                "Ebs": {
                    "SnapshotId": self.ebs_snapshot.id,
                    "VolumeSize": self.snapshot_size_gib,
                    "DeleteOnTermination": True,
                    "VolumeType": "gp3",
                    "Encrypted": False,
                },
            }
        ]


def adopt_instance(instance: Instance) -> LocalInstance:
    """Changes the class of what moto made: its constructor call cannot be replaced."""
    instance.__class__ = LocalInstance
    instance.generation = 0
    instance.hibernated = False
    instance.booted = False
    instance.impaired = False
    instance.hidden_until = 0.0
    instance.hibernation_options = instance.hibernation_options or {"Configured": False}
    for nic in instance.nics.values():
        # EC2's default for interfaces made with the instance; moto would keep their addresses.
        nic.delete_on_termination = True
    if instance.nics:
        # Also those that came with an interface, and the VPC's own where none was named.
        instance.security_groups = list(instance.nics[0].group_set)
    return instance


def adopt_volume(volume: Volume) -> LocalVolume:
    volume.__class__ = LocalVolume
    volume.creating = False
    return volume


def adopt_image(image: Ami, size_gib: int, root_device_name: str = "/dev/sda1") -> LocalAmi:
    image.__class__ = LocalAmi
    image.snapshot_size_gib = size_gib
    image.root_device_name = root_device_name
    image.root_device_type = "ebs"
    image.virtualization_type = image.virtualization_type or "hvm"
    image.architecture = image.architecture or "x86_64"
    image.hypervisor = image.hypervisor or "xen"
    image.ebs_snapshot.size_gib = size_gib
    return image


class LocalSnapshot(_QuickTags, Snapshot):
    """A snapshot that stays as large as its volume was, in ``size_gib``."""

    size_gib: int
    of_volume_id: str

    @property
    def volume_size(self) -> int:
        return self.size_gib

    @property
    def volume_id(self) -> str:
        return self.of_volume_id

    @property
    def progress(self) -> str:
        return "100%" if self.status == "completed" else "0%"


def adopt_snapshot(snapshot: Snapshot) -> LocalSnapshot:
    snapshot.__class__ = LocalSnapshot
    snapshot.size_gib = int(snapshot.volume.size)
    snapshot.of_volume_id = snapshot.volume.id
    return snapshot
