"""Machines without a process of their own, for having a thousand of them."""

import threading
from collections.abc import Sequence
from ipaddress import ip_address

from cloudjhub.local.machines.base import AttachedVolume, MachineSpec
from cloudjhub.local.machines.standins.control import StandIns

CONTROL_ACCOUNT = "ubuntu"


class StandInMachine:
    """One that answers SSH and HTTP at its address while it is on, if that is in 127/8.

    ``host`` None: it keeps what it was told and nothing else, and nobody can log in to it.
    """

    def __init__(self, spec: MachineSpec, host: StandIns | None = None):
        self.spec = spec
        self.lock = threading.RLock()
        self._host = host
        self._on = self._alive = False

    def power_on(self, volumes: Sequence[AttachedVolume]) -> None:
        if self._host and ip_address(self.spec.address).is_loopback:
            self._host.order(
                "power_on", self.spec.instance_id, plan=self._plan(self._host, volumes)
            )
        self._on = self._alive = True

    def power_off(self) -> None:
        if self._on:
            self._order("power_off")
        self._on = self._alive = False

    def crash(self) -> None:
        self._order("crash")
        self._alive = False

    def freeze(self) -> None:
        self._order("freeze")

    def thaw(self) -> None:
        self._order("thaw")

    def destroy(self) -> None:
        self._on = self._alive = False
        self._order("destroy")

    def attach(self, volume: AttachedVolume) -> None:
        self._order("attach", volume.id)

    def detach(self, volume_id: str) -> None:
        self._order("detach", volume_id)

    def is_mounted(self, volume_id: str) -> bool:
        return self._on and bool(self._order("is_mounted", volume_id))

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

    def _order(self, verb: str, *arguments: str) -> object:
        return self._host and self._host.order(verb, self.spec.instance_id, *arguments)

    def _plan(self, host: StandIns, volumes: Sequence[AttachedVolume]) -> dict[str, object]:
        return {
            "instance_id": self.spec.instance_id,
            "address": self.spec.address,
            "ssh_port": host.ssh_port,
            "account": CONTROL_ACCOUNT,
            "authorized_key": self.spec.authorized_key,
            "host_key": host.host_key(self.spec.instance_id),
            "volumes_folder": str(self.spec.volumes),
            "volumes": [volume.id for volume in volumes],
        }
