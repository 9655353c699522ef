"""What every kind of machine can do."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class AttachedVolume:
    """A volume and the name it is attached as, such as /dev/sdf. ``snapshot_id`` may be ""."""

    id: str
    device: str = ""
    gib: int = 0
    snapshot_id: str = ""


@dataclass(frozen=True)
class MachineSpec:
    """What a machine is made from.

    ``folder`` is the machine's own and holds its disk; ``volumes`` is where every volume has
    a folder named after its id. ``authorized_key`` is one line in OpenSSH's format, or "".
    ``mac``, ``root`` and the limits, of which 0 is none, are heeded by machines that boot.
    """

    instance_id: str
    address: str
    hostname: str
    authorized_key: str
    folder: Path
    volumes: Path
    mac: str = ""
    root: AttachedVolume = AttachedVolume("")
    memory_mib: int = 0
    vcpus: int = 0


class Machine(Protocol):
    """One machine. Its methods block, and are called by one thread at a time: hold ``lock``.

    All of them can be repeated: power off what is off, attach what is attached.
    """

    spec: MachineSpec
    lock: threading.RLock

    def power_on(self, volumes: Sequence[AttachedVolume]) -> None:
        """Boots with exactly these volumes attached. Returns before its sshd answers."""

    def power_off(self) -> None:
        """Every process of the machine is gone afterwards; its disk stays."""

    def crash(self) -> None:
        """Every process is killed, and nobody powered it off: it is on, but not alive."""

    def freeze(self) -> None:
        """Stops every process where it is, keeping its memory."""

    def thaw(self) -> None:
        """Lets frozen processes go on."""

    def destroy(self) -> None:
        """Powers off and removes the disk. Volumes stay."""

    def attach(self, volume: AttachedVolume) -> None:
        """Shows the volume under /dev/disk/by-id, also while the machine runs."""

    def detach(self, volume_id: str) -> None:
        """Takes the volume away, whether mounted or not."""

    def is_mounted(self, volume_id: str) -> bool:
        """Whether the running machine has the volume mounted."""

    def snapshot(self, volume_id: str, snapshot_id: str) -> None:
        """Copies a volume as it is at one moment. Only machines that boot have disks to copy."""

    def is_on(self) -> bool:
        """Whether it was powered on and nobody powered it off since (it may have died)."""

    def is_alive(self) -> bool:
        """Whether its first process still runs."""

    def wants_reboot(self) -> bool:
        """Whether it ended by itself in order to boot again."""

    def console(self) -> str:
        """What it printed since it was made, the latest 64 KiB."""

    def pids(self) -> list[int]:
        """Its processes as this computer numbers them, the first one first."""

    def run(self, command: Sequence[str], *, timeout_seconds: float = 60.0) -> str:
        """Runs a command inside, without SSH, as a test sees it; returns what it printed.

        Raises subprocess.CalledProcessError if the command fails.
        """
