"""What the benchmarks share: a hub that leaves nothing behind, its conditions, probes, tables."""

import asyncio
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cloudjhub
from cloudjhub.demo.hub_files import clean_environment
from cloudjhub.demo.processes import Process, descendants
from cloudjhub.demo.stack import Demo, DemoSettings
from cloudjhub.errors import CloudJHubError, TimedOut

PROBE_SECONDS = 0.01
MOST_BUSY = 0.15  # share of the cores that others may use while something is measured
PATIENCE_SECONDS = 20.0


def run(work: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """Run a benchmark to its end, also on SIGTERM; gives its exit code.

    The local EC2 lives in this process: nothing of the caller's AWS account, hub or web proxy
    may reach it.
    """
    environment = clean_environment(os.environ)
    os.environ.clear()
    os.environ.update(environment)
    try:
        code = asyncio.run(_until_the_end(work))
        _nothing_left(descendants(os.getpid()))
    except (CloudJHubError, LeftBehind) as error:
        print(error, file=sys.stderr)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("Ended before the result; everything that was started is gone.", file=sys.stderr)
        return 130
    return code


async def _until_the_end(work: Callable[[], Coroutine[Any, Any, int]]) -> int:
    task = asyncio.ensure_future(work())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task


class LeftBehind(Exception):
    """Processes of the benchmark's hub outlived it."""


@asynccontextmanager
async def running_demo(configure: Callable[[Path], str], **settings: Any) -> AsyncIterator[Demo]:
    """A hub with its proxy and local EC2 in a folder of its own; all of it is gone afterwards.

    ``configure`` gives the hub's additional configuration, told the folder. Raises LeftBehind,
    with the pids, if a process is not gone.
    """
    folder = Path(tempfile.mkdtemp(prefix="cloudjhub-benchmark-"))
    started: list[Process] = []
    more = {"port": 0, "more_config": configure(folder), **settings}
    try:
        async with Demo(DemoSettings(folder=folder, **more)) as demo:
            try:
                yield demo
            finally:
                started = _processes(demo)
        _nothing_left(started)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _processes(demo: Demo) -> list[Process]:
    """The processes of this hub, its proxy and its machines; another demo's are not among them."""
    parts = [pid for pid in (demo.hub.pid, demo.proxy.pid) if pid]
    below = [process for pid in parts for process in descendants(pid)]
    pids = [pid for _, machine in demo.ec2.machines.on() for pid in machine.pids()]
    return below + [process for pid in parts + pids if (process := Process.of(pid))]


def _nothing_left(started: Iterable[Process]) -> None:
    left = [process.pid for process in started if process.alive]
    if left:
        raise LeftBehind(f"These processes still run after the benchmark: {left}")


# Conditions -----------------------------------------------------------------------------------


def conditions(**more: object) -> dict[str, object]:
    """When, where and with what a benchmark runs."""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "cores": f"{len(os.sched_getaffinity(0))} ({_processor()}), {_memory_gib():.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "cloudjhub": _checkout(),
        "python": platform.python_version(),
        "proxy": f"configurable-http-proxy {_said_by('configurable-http-proxy', '--version')}",
        **{name: version(name) for name in ("jupyterhub", "jupyter_server", "jupyterlab")},
        "load (1, 5, 15 min)": " ".join(f"{load:.1f}" for load in os.getloadavg()),
        **more,
    }


def as_lines(said: Mapping[str, object]) -> str:
    """Conditions for the eye."""
    return "\n".join(f"{name + ':':24}{value}" for name, value in said.items())


def as_sentence(said: Mapping[str, object]) -> str:
    """Conditions for a README."""
    bare = ("date", "cloudjhub", "proxy", "system")
    parts = [str(value) if name in bare else f"{name} {value}" for name, value in said.items()]
    return ", ".join(parts) + "."


def _processor() -> str:
    """As the kernel names it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def _checkout() -> str:
    """The version, and the commit where git knows one."""
    commit = _said_by("git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD")
    return f"{cloudjhub.__version__} {commit}".strip()


def _said_by(*command: str) -> str:
    """What a command prints; "" where there is no such command or it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


async def quiet_cores(patience_seconds: float = PATIENCE_SECONDS) -> float:
    """Wait a while for others to leave the cores alone; gives the share that is still busy."""
    deadline = time.monotonic() + patience_seconds
    while True:
        before = cpu_ticks()
        await asyncio.sleep(1.0)
        busy = busy_since(before)
        if busy <= MOST_BUSY or time.monotonic() > deadline:
            return busy


def busy_since(before: tuple[int, int]) -> float:
    """Share of the cores that was used since ``cpu_ticks()`` gave this."""
    total, idle = (now - then for now, then in zip(cpu_ticks(), before, strict=True))
    return 1 - idle / max(total, 1)


def cpu_ticks() -> tuple[int, int]:
    """All ticks of all cores since boot, and the idle ones (proc(5), /proc/stat)."""
    ticks = [int(field) for field in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
    return sum(ticks), ticks[3] + ticks[4]


def say(text: str) -> None:
    """What is done now."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


# Probes ---------------------------------------------------------------------------------------


async def first_answer(
    host: str, port: int, *, asking: bytes = b"", begins: bytes, deadline_seconds: float = 120
) -> float:
    """When (time.monotonic) the first bytes came from a port that is tried every 10 ms.

    Raises TimedOut.
    """
    try:
        return await asyncio.wait_for(_first_answer(host, port, asking, begins), deadline_seconds)
    except asyncio.TimeoutError:
        raise TimedOut(f"{host}:{port} said nothing in {deadline_seconds:.0f} s.") from None


async def _first_answer(host: str, port: int, asking: bytes, begins: bytes) -> float:
    while True:
        try:
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(asking)
                if (await reader.read(64)).startswith(begins):
                    return time.monotonic()
            finally:
                writer.close()
        except OSError:
            pass  # nobody listens yet
        await asyncio.sleep(PROBE_SECONDS)


async def notebook_answer(host: str, port: int, prefix: str) -> float:
    """When (time.monotonic) a single-user server first answers ``GET <prefix>api``."""
    asking = f"GET {prefix}api HTTP/1.0\r\nHost: {host}\r\n\r\n".encode()
    return await first_answer(host, port, asking=asking, begins=b"HTTP/")


# Tables ---------------------------------------------------------------------------------------


def table(rows: Sequence[Sequence[object]]) -> str:
    """Rows as aligned text: the first row is the head, the first column is left-aligned."""
    texts = [[f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in r] for r in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in texts
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def markdown_table(rows: Sequence[Sequence[object]]) -> str:
    """Rows for a Markdown file; the first is the head."""
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])
