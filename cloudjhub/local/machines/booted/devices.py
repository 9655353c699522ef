"""The names under which a machine finds its volumes, as Nitro instances have them.

A volume is ``/dev/nvme1n1``, or 2 and so on, whatever device it was attached as; it is found by
its id under ``/dev/disk/by-id``, and by the name of its attachment as a link.
https://docs.aws.amazon.com/ebs/latest/userguide/identify-nvme-ebs-device.html
"""

import os
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cloudjhub.local.machines.base import AttachedVolume
from cloudjhub.local.machines.booted.loop_device import LoopDevice
from cloudjhub.local.machines.disk import device_name


@dataclass(frozen=True)
class Shown:
    """A volume as a machine sees it: the ``number`` of its NVMe device, 0 for the root volume."""

    volume: AttachedVolume
    device: LoopDevice
    number: int

    @property
    def node(self) -> str:
        return f"/dev/nvme{self.number}n1"

    @property
    def nodes(self) -> list[str]:
        """Device files. The loop device's own name is where blkid looks for labels."""
        return [self.node, self.device.path]

    @property
    def links(self) -> list[str]:
        """Other names: /dev/sdf is /dev/xvdf where the instance type is Xen's."""
        name = self.volume.device.rpartition("/")[2]
        other = name.replace("xvd", "sd", 1) if name.startswith("xvd") else f"xvd{name[2:]}"
        return [f"/dev/{name}", f"/dev/{other}"] if self.number else []


def first_free(shown: Iterable[Shown]) -> int:
    taken = {one.number for one in shown}
    return next(number for number in range(1, 1000) if number not in taken)


def link_by_id(folder: Path, shown: Shown) -> None:
    """``folder`` is what the machine sees as /dev/disk/by-id."""
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / device_name(shown.volume.id)
    link.unlink(missing_ok=True)
    link.symlink_to(f"../..{shown.node.removeprefix('/dev')}")


def unlink_by_id(folder: Path, volume_id: str) -> None:
    (folder / device_name(volume_id)).unlink(missing_ok=True)


def binds(shown: Shown) -> list[str]:
    """nspawn's arguments that show the volume from the first moment on."""
    return [f"--bind={shown.device.path}:{name}" for name in (*shown.nodes, *shown.links)]


def appear(shown: Shown) -> str:
    """A shell command for a running machine."""
    numbers = f"{os.major(shown.device.number)} {os.minor(shown.device.number)}"
    made = [f"mknod -m 660 {shlex.quote(name)} b {numbers}" for name in shown.nodes]
    linked = [f"ln -sf {shown.node} {shlex.quote(name)}" for name in shown.links]
    return "; ".join(["exec 2>/dev/null", *made, *linked, "true"])


def vanish(shown: Shown) -> str:
    """A shell command for a running machine; whatever has the volume mounted loses it."""
    names = " ".join(map(shlex.quote, (*shown.nodes, *shown.links)))
    numbers = f"{os.major(shown.device.number)}:{os.minor(shown.device.number)}"
    mounted = f"awk '$3 == \"{numbers}\" {{print $5}}' /proc/self/mountinfo"
    return (
        f'exec 2>/dev/null; for place in $({mounted}); do umount -l "$place"; done; '
        f'for name in {names}; do umount "$name"; rm -f "$name"; done; true'
    )
