"""``scripts/demo --check``: does by itself what a newcomer would, and says what holds."""

import asyncio
import shutil
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path

from cloudjhub.demo.browserless import HubUser
from cloudjhub.demo.folder import DemoError
from cloudjhub.demo.processes import Process
from cloudjhub.demo.stack import Demo, DemoSettings
from cloudjhub.ec2 import EC2
from cloudjhub.ec2_values import Instance
from cloudjhub.errors import CloudJHubError, TimedOut
from cloudjhub.local import LocalSettings
from cloudjhub.naming import Owner, is_owned_by

_NOTE = "what ada wrote"
_TAIL_LINES = 40


class Newcomer:
    """Two people who try everything once. Each step raises when it does not hold."""

    def __init__(self, demo: Demo):
        self.demo = demo
        self.ada, self.grace = (
            HubUser(demo.url, name, demo.password(name)) for name in ("ada", "grace")
        )
        config = demo.server_config
        self._ec2 = EC2(
            cluster=config["CLUSTER_NAME"],
            region=config["REGION"],
            endpoint_url=config["EC2_ENDPOINT_URL"],
        )
        self._first_machine = ""
        self._kernel_id = ""

    async def close(self) -> None:
        """Leave the hub."""
        await self.ada.close()
        await self.grace.close()

    async def log_in(self) -> None:
        """Both people fill in the login form."""
        await asyncio.gather(self.ada.login(), self.grace.login())

    async def start(self) -> None:
        """Both start their servers at the same time and open JupyterLab."""
        await asyncio.gather(self.ada.start_server(), self.grace.start_server())
        await asyncio.gather(self.ada.open_server(), self.grace.open_server())
        machines = [await self.machine(user) for user in (self.ada, self.grace)]
        _hold(machines[0].id != machines[1].id, "ada and grace share a machine")
        _hold(all(machine.state == "running" for machine in machines), f"states: {machines}")
        self._first_machine = machines[0].id

    async def compute(self) -> None:
        """Both run code in a kernel; grace's stays."""
        kernels = await asyncio.gather(self.ada.start_kernel(), self.grace.start_kernel())
        for kernel, number in zip(kernels, (6, 7), strict=True):
            printed = await kernel.run(f"answer = {number} * 7\nprint(answer)")
            _hold(printed.strip() == str(number * 7), f"the kernel printed {printed!r}")
            await kernel.close()
        self._kernel_id = kernels[1].id

    async def write(self) -> None:
        """ada saves a file."""
        await self.ada.write_file("note.txt", _NOTE)
        await self._has_note()

    async def stop(self) -> None:
        """ada stops her server; her machine is off."""
        await self.ada.stop_server()
        await _until(self._ada_is_stopped, "ada's instance is stopped")

    async def start_again(self) -> None:
        """ada starts again: the same machine, the same file."""
        await self.ada.start_server()
        await self.ada.open_server()
        machine = await self.machine(self.ada)
        _hold(machine.id == self._first_machine, f"{machine.id} is not {self._first_machine}")
        await self._has_note()

    async def lose_the_hub(self) -> None:
        """The hub is killed; both servers and grace's variable are still there."""
        before = self.demo.hub.pid
        await self.demo.hub.crash()
        await _until(self._hub_is_back(before), "the hub is back")
        for user in (self.ada, self.grace):
            await _until(self._server_ready(user), f"the server of {user.name} is ready")
        kernel = await self.grace.kernel(self._kernel_id)
        printed = await kernel.run("print(answer)")
        await kernel.close()
        _hold(printed.strip() == "49", f"grace's kernel printed {printed!r}, not 49")

    async def lose_the_machine(self) -> None:
        """ada's machine is terminated behind the hub's back; her home comes back on a new one."""
        await asyncio.to_thread(self._ec2.terminate, [self._first_machine])
        await _until(self._server_gone(self.ada), "the hub notices that ada's machine is gone")
        await self.ada.start_server()
        await self.ada.open_server()
        machine = await self.machine(self.ada)
        _hold(machine.id != self._first_machine, "ada was given the terminated machine")
        await self._has_note()

    async def machine(self, user: HubUser) -> Instance:
        """The one instance that EC2 lists for the user, terminated ones aside."""
        listed = await asyncio.to_thread(self._ec2.instances)
        mine = [
            instance
            for instance in listed
            if is_owned_by(instance.tags, Owner(user.name)) and instance.state != "terminated"
        ]
        _hold(len(mine) == 1, f"{user.name} has {len(mine)} machines: {mine}")
        return mine[0]

    async def _has_note(self) -> None:
        text = await self.ada.read_file("note.txt")
        _hold(text == _NOTE, f"ada's file holds {text!r}")

    async def _ada_is_stopped(self) -> bool:
        return (await self.machine(self.ada)).state == "stopped"

    def _hub_is_back(self, before: int | None) -> Callable[[], Awaitable[bool]]:
        async def back() -> bool:
            if self.demo.hub.pid in (None, before):
                return False
            await self.demo.hub.ready()
            return True

        return back

    def _server_ready(self, user: HubUser) -> Callable[[], Awaitable[bool]]:
        async def ready() -> bool:
            server = await user.server()
            return server is not None and bool(server["ready"])

        return ready

    def _server_gone(self, user: HubUser) -> Callable[[], Awaitable[bool]]:
        async def gone() -> bool:
            return await user.server() is None

        return gone


STEPS = (
    ("ada and grace log in", Newcomer.log_in),
    ("each gets a machine with JupyterLab", Newcomer.start),
    ("each runs code in a kernel", Newcomer.compute),
    ("ada writes a file", Newcomer.write),
    ("ada stops: her machine is stopped", Newcomer.stop),
    ("ada starts again: same machine, same file", Newcomer.start_again),
    ("the hub is killed: servers and variables survive", Newcomer.lose_the_hub),
    ("ada's machine is terminated: a new one, the old home", Newcomer.lose_the_machine),
)


async def check(local: LocalSettings, folder: Path | None = None) -> int:
    """Run every step in a folder of its own; 0 when all hold. Nothing is left behind."""
    parent = Path(tempfile.mkdtemp(prefix="cloudjhub-check-")) if folder is None else folder
    began = time.monotonic()
    try:
        await _run(DemoSettings(folder=parent, port=0, local=local))
    except Exception as error:
        _print_logs(parent)
        if not isinstance(error, CloudJHubError):
            traceback.print_exc()
        print(f"\nThe check FAILED: {error}", flush=True)
        return 1
    finally:
        if folder is None:
            shutil.rmtree(parent, ignore_errors=True)
    print(f"Everything holds ({time.monotonic() - began:.1f} s).", flush=True)
    return 0


async def _run(settings: DemoSettings) -> None:
    started: list[Process] = []
    async with Demo(settings, say=lambda text: print(f"   ok  {text}", flush=True)) as demo:
        newcomer = Newcomer(demo)
        try:
            for text, work in STEPS:
                await _step(text, work(newcomer))
            started = demo.processes()
        finally:
            await newcomer.close()
            await _step("everything is removed", demo.stop())
    left = [process for process in started if process.alive]
    _hold(len(started) > 4 and not left, f"of {len(started)} processes these still run: {left}")


async def _step(text: str, work: Awaitable[None]) -> None:
    began = time.monotonic()
    try:
        await work
    except BaseException:
        print(f" FAIL  {text} ({time.monotonic() - began:.1f} s)", flush=True)
        raise
    print(f"   ok  {text} ({time.monotonic() - began:.1f} s)", flush=True)


def _hold(truth: bool, otherwise: str) -> None:
    if not truth:
        raise DemoError(f"{otherwise}.")


async def _until(
    condition: Callable[[], Awaitable[bool]], what: str, deadline_seconds: float = 120
) -> None:
    deadline = time.monotonic() + deadline_seconds
    while not await condition():
        if time.monotonic() > deadline:
            raise TimedOut(f"Waited {deadline_seconds:.0f} s until {what}.")
        await asyncio.sleep(0.1)


def _print_logs(folder: Path) -> None:
    for log in sorted(folder.glob("*.log")):
        tail = log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
        if tail:
            print(f"\n--- the end of {log.name}", *tail, sep="\n", flush=True)
