"""Machines without a process, for measuring what a thousand of them cost everybody else."""

import threading
from collections.abc import Sequence

from cloudjhub.local.machines.base import AttachedVolume, MachineSpec


class StandInMachine:
    """Keeps what it was told and nothing else; nobody can log in to it."""

    def __init__(self, spec: MachineSpec):
        self.spec = spec
        self.lock = threading.RLock()
        self._on = self._alive = False
        self._volumes: set[str] = set()

    def power_on(self, volumes: Sequence[AttachedVolume]) -> None:
        self._on = self._alive = True
        self._volumes = {volume.id for volume in volumes}

    def power_off(self) -> None:
        self._on = False

    def crash(self) -> None:
        self._alive = False

    def freeze(self) -> None:
        pass

    def thaw(self) -> None:
        pass

    def destroy(self) -> None:
        self._on = False

    def attach(self, volume: AttachedVolume) -> None:
        self._volumes.add(volume.id)

    def detach(self, volume_id: str) -> None:
        self._volumes.discard(volume_id)

    def is_mounted(self, volume_id: str) -> bool:
        return False

    def snapshot(self, volume_id: str, snapshot_id: str) -> None:
        pass

    def is_on(self) -> bool:
        return self._on

    def is_alive(self) -> bool:
        return self._on and self._alive

    def wants_reboot(self) -> bool:
        return False

    def console(self) -> str:
        return ""

    def pids(self) -> list[int]:
        return []

    def run(self, command: Sequence[str], *, timeout_seconds: float = 60.0) -> str:
        raise NotImplementedError("a stand-in machine runs nothing")
