"""A single-user server's own start-up: started once more by hand, where it runs, and timed."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bench import notebook_answer

from cloudjhub.demo.folder import write_private
from cloudjhub.ports import free_port

# Runs where the server shall run. The plan comes from a file, since it holds the server's token.
# The clock is the one of the whole computer.
_LAUNCH = """
import json, subprocess, sys, time
with open(sys.argv[1]) as file:
    plan = json.load(file)
null = subprocess.DEVNULL
began = time.monotonic()
server = subprocess.Popen(
    plan["command"], env=plan["environment"], cwd=plan["folder"],
    stdin=null, stdout=null, stderr=null, start_new_session=True,
)
print(json.dumps([began, server.pid]))
"""
_END = f"import os, sys; os.killpg(int(sys.argv[1]), {int(signal.SIGKILL)})"

Inside = Callable[[Sequence[str]], str]  # runs a command where the server runs; gives its output


@dataclass(frozen=True)
class Server:
    """A single-user server that runs, as its process shows it."""

    command: list[str]
    environment: dict[str, str]
    began: float  # time.monotonic

    @property
    def prefix(self) -> str:
        """The path below which it answers, with slashes at both ends."""
        return self.environment["JUPYTERHUB_SERVICE_PREFIX"]

    @property
    def host(self) -> str:
        """The address on which it listens."""
        return urlsplit(self.environment["JUPYTERHUB_SERVICE_URL"]).hostname or ""


def server_among(pids: Iterable[int], user: str) -> Server:
    """The user's server among some processes of this computer. Raises LookupError."""
    for pid in pids:
        process = Path("/proc", str(pid))
        try:
            pairs = (process / "environ").read_text().rstrip("\0").split("\0")
            command = (process / "cmdline").read_text().rstrip("\0").split("\0")
        except OSError:
            continue
        environment = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        if environment.get("JUPYTERHUB_USER") == user:
            return Server(command, environment, _began(pid))
    raise LookupError(f"No process runs the server of {user}.")


def _began(pid: int) -> float:
    """When a process was made, as time.monotonic() tells the time; in steps of 10 ms."""
    ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[19])
    since_boot = ticks / os.sysconf("SC_CLK_TCK")
    return since_boot - time.clock_gettime(time.CLOCK_BOOTTIME) + time.monotonic()


async def seconds_by_hand(server: Server, inside: Inside, scratch: Path) -> float:
    """From the launch of one more such server on another port until it answers HTTP.

    ``scratch`` is a folder that the server's account can read. The server ends afterwards.
    """
    port = free_port()
    plan = scratch / "by_hand.json"
    url = f"http://{server.host}:{port}{server.prefix}"
    write_private(
        plan,
        json.dumps(
            {
                "command": server.command,
                "environment": {**server.environment, "JUPYTERHUB_SERVICE_URL": url},
                "folder": server.environment["HOME"],
            }
        ),
    )
    answer = asyncio.create_task(notebook_answer(server.host, port, server.prefix))
    try:
        launched = await asyncio.to_thread(inside, [sys.executable, "-c", _LAUNCH, str(plan)])
        began, pid = json.loads(launched)
        try:
            return await answer - began
        finally:
            await asyncio.to_thread(inside, [sys.executable, "-c", _END, str(pid)])
    finally:
        answer.cancel()
        plan.unlink()
