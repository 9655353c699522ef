"""One machine without a process of its own: its ports, its volumes, the server that "runs"."""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from cloudjhub.local.machines.standins import notebook
from cloudjhub.local.machines.standins.ports import Port, Server
from cloudjhub.local.machines.standins.records import GuestPlan, Record, RunningServer


class Connection(Protocol):
    """What somebody has open to the machine: an SSH connection, an HTTP transport."""

    def abort(self) -> None: ...


@dataclass
class _Memory:
    """What a machine remembers when it is off."""

    contacts: int = 0
    logins: int = 0
    commands: int = 0
    started: list[RunningServer] = field(default_factory=list)


class Guest:
    """Powered on by being made. ``before``: the same machine as it was until now."""

    def __init__(self, plan: GuestPlan, before: "Guest | None" = None):
        if before:
            before.power_off()
        self.plan = plan
        self.memory = before.memory if before else _Memory()
        self.volumes = set(plan.volumes)
        self.running: RunningServer | None = None
        self.mounted: str | None = None
        self.connections: set[Connection] = set()
        self._asleep: list[Callable[[], None]] | None = None
        self._ports = {"ssh": Port(plan.address, plan.ssh_port, self._serve_ssh)}
        self._ports["ssh"].go_on()

    # -- orders --------------------------------------------------------------------------------

    def power_off(self) -> None:
        for port in self._ports.values():
            port.close()
        self._ports.clear()
        for connection in list(self.connections):
            connection.abort()
        self.running = self.mounted = self._asleep = None

    crash = power_off

    def freeze(self) -> None:
        for port in self._ports.values():
            port.pause()
        self._asleep = self._asleep or []

    def thaw(self) -> None:
        if self._asleep is None:
            return
        waiting, self._asleep = self._asleep, None
        for port in self._ports.values():
            port.go_on()
        for work in waiting:
            work()

    def attach(self, volume_id: str) -> None:
        self.volumes.add(volume_id)

    def detach(self, volume_id: str) -> None:
        self.volumes.discard(volume_id)
        if self.mounted == volume_id:
            self.mounted = None

    def is_mounted(self, volume_id: str) -> bool:
        return self.mounted == volume_id

    def record(self) -> Record:
        return Record(
            instance_id=self.plan.instance_id,
            address=self.plan.address,
            is_on=bool(self._ports),
            contacts=self.memory.contacts,
            logins=self.memory.logins,
            commands=self.memory.commands,
            running=self.running,
            started=self.memory.started,
            mounted=self.mounted,
        )

    # -- what happens inside -------------------------------------------------------------------

    def met(self, connection: Connection) -> None:
        """Somebody has connected, perhaps just before it went off."""
        self.connections.add(connection)
        if not self._ports:
            asyncio.get_running_loop().call_soon(connection.abort)

    def when_awake(self, work: Callable[[], None]) -> None:
        """Now, or when the machine goes on."""
        if self._asleep is None:
            work()
        else:
            self._asleep.append(work)

    def start_server(self, server: RunningServer) -> None:
        """It listens when this returns. Raises OSError where it cannot."""
        self.stop_server()
        self._ports["notebook"] = Port(self.plan.address, server.port, self._serve_notebook)
        self._ports["notebook"].go_on()
        self.running = server
        self.memory.started.append(server)

    def stop_server(self) -> None:
        if port := self._ports.pop("notebook", None):
            port.close()
        self.running = None

    def mount(self, volume_id: str, owner: str) -> str:
        """Returns "formatted", "mounted" or "already" as the real helper does."""
        if self.mounted is not None:
            return "already"
        self.mounted = volume_id
        content = Path(self.plan.volumes_folder) / volume_id / "first-owner"
        if content.exists():
            return "mounted"
        content.parent.mkdir(mode=0o700, exist_ok=True)
        content.write_text(owner)
        return "formatted"

    async def _serve_ssh(self, listening: socket.socket) -> Server:
        # Takes a quarter of a second, once: not for machines that nobody logs in to.
        from cloudjhub.local.machines.standins import ssh

        return await ssh.listen(self, listening)

    async def _serve_notebook(self, listening: socket.socket) -> Any:
        loop = asyncio.get_running_loop()
        return await loop.create_server(partial(notebook.Answering, self), sock=listening)
