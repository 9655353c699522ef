"""A local EC2 whose machines boot, as tests use it."""

import functools
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from local.clouds import Cloud

from cloudjhub.local import LocalEC2, LocalSettings

#: no stage takes longer than what is really done in it
AT_ONCE = LocalSettings(
    variant="booted",
    pending_seconds=0.0,
    boot_seconds=0.0,
    stopping_seconds=0.0,
    shutting_down_seconds=0.0,
    volume_seconds=0.0,
)
HOME_DEVICE = "/dev/sdf"


@dataclass
class BootedCloud(Cloud):
    """Waits that fail show what the machine printed on its console."""

    patience_seconds: float = 120.0

    def booted(self, **changes: Any) -> str:
        """A new machine that one can log in to."""
        (instance_id,) = self.launch(**changes)
        self.wait_ssh(instance_id)
        return instance_id

    def wait_ssh(self, instance_id: str) -> None:
        try:
            super().wait_ssh(instance_id)
        except AssertionError as error:
            console = self.ec2.machines.get(instance_id).console()
            raise AssertionError(f"{error}; its console:\n{console[-8000:]}") from error

    def stop(self, instance_id: str) -> None:
        self.api.stop_instances(InstanceIds=[instance_id])
        self.wait_state(instance_id, "stopped")

    def start(self, instance_id: str) -> None:
        self.api.start_instances(InstanceIds=[instance_id])
        self.wait_ssh(instance_id)

    def terminate(self, *instance_ids: str) -> None:
        self.api.terminate_instances(InstanceIds=list(instance_ids))
        for instance_id in instance_ids:
            self.wait_state(instance_id, "terminated")

    def reason(self, instance_id: str) -> str:
        return self.instance(instance_id)["StateReason"]["Code"]

    def inside(self, instance_id: str, script: str) -> str:
        """What a shell script of root prints on the machine; not over the network."""
        return self.ec2.machines.get(instance_id).run(["sh", "-ec", script])

    def power(self, instance_id: str, verb: str) -> None:
        """``reboot`` or ``poweroff`` from inside; the machine may go before the command answers."""
        with suppress(subprocess.CalledProcessError):
            self.inside(instance_id, f"systemctl --no-block {verb}")

    def boot_id(self, instance_id: str) -> str:
        """Changes with each boot; the kernel's own id is the host's."""
        return self.inside(instance_id, "systemctl show --property=UserspaceTimestampMonotonic")

    def new_volume(self, **changes: Any) -> str:
        zone = f"{self.config['REGION']}a"
        request = {"AvailabilityZone": zone, "Size": 1, "VolumeType": "gp3"} | changes
        volume_id = self.api.create_volume(**request)["VolumeId"]
        self.wait_volume(volume_id, "available")
        return volume_id

    def attach(self, volume_id: str, instance_id: str, device: str = HOME_DEVICE) -> None:
        self.api.attach_volume(VolumeId=volume_id, InstanceId=instance_id, Device=device)
        self.wait_attached(volume_id)

    def detach(self, volume_id: str, **options: Any) -> None:
        self.api.detach_volume(VolumeId=volume_id, **options)
        self.wait_volume(volume_id, "available")

    def image(self, image_id: str) -> dict[str, Any]:
        return self.api.describe_images(ImageIds=[image_id])["Images"][0]

    def made_image(self, instance_id: str, name: str, **options: Any) -> str:
        request = {"InstanceId": instance_id, "Name": name} | options
        image_id = self.api.create_image(**request)["ImageId"]
        self.wait(f"{image_id} made", lambda: self.image(image_id)["State"] != "pending")
        assert self.image(image_id)["State"] == "available"
        return image_id


def need_root() -> None:
    """Skips where this computer lets nobody boot machines, such as in most containers."""
    if os.geteuid() != 0:
        pytest.skip("machines that boot need root")
    if refused := _refused():
        pytest.skip(f"root may not boot machines here: {refused}")


@functools.cache
def _refused() -> str:
    """What root is not allowed to here; "" for nothing that matters."""
    for command in (
        ["unshare", "--net", "--mount", "--pid", "--fork", "mount", "-t", "tmpfs", "none", "/mnt"],
        ["losetup", "--find"],
        ["nft", "list", "tables"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return f"{' '.join(command)}: {done.stderr.strip()}"
    return ""


@contextmanager
def running_cloud(state: Path, settings: LocalSettings = AT_ONCE) -> Iterator[BootedCloud]:
    """A local EC2 that ends with the block."""
    with LocalEC2(state, settings) as ec2:
        yield BootedCloud(ec2)
