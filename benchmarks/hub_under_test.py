"""One hub that is measured: with our spawner, with calls of everyone's own, or with none."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import hub_meter
import jupyterhub
import meter_file
import notebook_standin
from bench import running_demo, say
from crowd import Crowd
from questions import Questions, questions, until
from usage import Usage, usage

from cloudjhub.demo.stack import Demo
from cloudjhub.errors import TimedOut
from cloudjhub.local import LocalSettings

METER_FILE = "meter.jsonl"
_LAST_LINES = 20
METER_SECONDS = 60.0  # it writes once a second, but not while the hub's loop is stalled

#: name -> what it is, for people
WAYS = {
    "ours": "ours",
    "unbatched": "ours, one call per user",
    "nothing": "a spawner that does nothing",
}


@dataclass(frozen=True)
class Setup:
    """What hub is wanted. ``server_config`` goes into server_config.json."""

    way: str  # of WAYS
    names: Sequence[str]
    local: LocalSettings
    real: bool = False  # jupyterhub-singleuser on the machines; else a stand-in for it
    hub_lines: tuple[str, ...] = ()
    server_config: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class HubUnderTest:
    """A running hub, its local EC2, and the people who are logged in to it."""

    setup: Setup
    demo: Demo
    crowd: Crowd
    ask: Questions

    @property
    def hub_pid(self) -> int:
        """The hub's process."""
        assert self.demo.hub.pid is not None
        return self.demo.hub.pid

    def usage(self) -> Usage:
        """CPU seconds of all parts until now."""
        assert self.demo.proxy.pid is not None
        return usage(self.hub_pid, self.demo.proxy.pid, (self.crowd.pid,))

    async def lateness(self, began: float, ended: float) -> meter_file.Lateness:
        """How late the hub's loop was between two times (time.monotonic), once that is written.

        Raises TimedOut.
        """
        file = self.demo.folder / METER_FILE
        try:
            await until(partial(_written, file, ended), "the hub's meter", METER_SECONDS)
        except TimedOut as error:
            log = self.demo.hub.program.log.read_text(errors="replace").splitlines()
            words = "\n".join(log[-_LAST_LINES:])
            raise TimedOut(f"{error.message} The hub's last words:\n{words}") from error
        return meter_file.read(file, began, ended)

    def ssh(self) -> "SSH":
        """What SSH servers have seen since the benchmark began."""
        if self.demo.ec2.variant == "standin":
            records = self.demo.ec2.servers()
            logins = sum(record["logins"] for record in records)
            return SSH(logins, sum(record["contacts"] for record in records) - logins)
        machines = [machine for _, machine in self.demo.ec2.machines.on()]
        return SSH(sum(machine.console().count("Accepted publickey") for machine in machines))


@dataclass(frozen=True)
class SSH:
    """Connections that became a login, and those that only heard the server's first word.

    The latter are not counted by real SSH servers: 0.
    """

    logins: int
    probes: int = 0

    def __sub__(self, before: "SSH") -> "SSH":
        return SSH(self.logins - before.logins, self.probes - before.probes)


@asynccontextmanager
async def hub_under_test(setup: Setup) -> AsyncIterator[HubUnderTest]:
    """Everything is started, everybody is logged in; all of it is gone afterwards."""
    async with AsyncExitStack() as exits:
        address = ""
        if setup.way == "nothing":
            address = await exits.enter_async_context(_everybodys_notebook())
        demo = await exits.enter_async_context(
            running_demo(
                lambda folder: _hub_config(setup, folder, address),
                users=tuple(setup.names),
                local=setup.local,
                more_server_config=setup.server_config,
                paces_of_aws=True,
            )
        )
        say(f"{WAYS[setup.way]}: the hub runs; {len(setup.names)} people log in")
        crowd = await exits.enter_async_context(Crowd())
        await crowd.log_in(demo.url, setup.names)
        ask = await exits.enter_async_context(questions(demo))
        yield HubUnderTest(setup, demo, crowd, ask)


async def _written(file: Path, moment: float) -> bool:
    """Whether the meter has written down what was up to then."""
    return meter_file.written_until(file) >= moment


def _hub_config(setup: Setup, folder: Path, notebook_address: str) -> str:
    """What is different from the demo's hub; the text of a file that is loaded last."""
    lines = [
        hub_meter.hub_configuration(folder / METER_FILE),
        "from quick_login import QuickAuthenticator",
        "c.JupyterHub.authenticator_class = QuickAuthenticator",
        *setup.hub_lines,
    ]
    if setup.way == "nothing":
        lines += [
            "from nothing_spawner import NothingSpawner",
            "c.JupyterHub.spawner_class = NothingSpawner",
            f"c.NothingSpawner.address = {notebook_address!r}",
        ]
    if setup.way == "unbatched":
        lines.append("c.InstanceSpawner.batch_limit = 1")
    if not setup.real and setup.local.variant != "standin":
        lines += _notebook_stand_in()
    return "\n".join([*lines, ""])


def _notebook_stand_in() -> list[str]:
    """For machines with real processes: a small one in place of the notebook server."""
    command = [sys.executable, str(Path(notebook_standin.__file__).resolve())]
    environment = {"BENCHMARK_HUB_VERSION": jupyterhub.__version__}
    return [f"c.Spawner.cmd = {command!r}", f"c.Spawner.environment = {environment!r}"]


@asynccontextmanager
async def _everybodys_notebook() -> AsyncIterator[str]:
    """The address of one server that answers for all."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("everybodys_notebook.py")),
        stdin=asyncio.subprocess.PIPE,  # its end is the end of the process
        stdout=asyncio.subprocess.PIPE,
        env=dict(os.environ),
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        port = json.loads(await asyncio.wait_for(process.stdout.readline(), 60))
        yield f"http://127.0.0.1:{port}"
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
