"""The README's first command, as a newcomer runs it."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloudjhub.demo.browserless import HubUser
from cloudjhub.demo.processes import Process, descendants
from cloudjhub.demo.stack import MACHINES
from cloudjhub.ports import free_port

COMMAND = [sys.executable, "-m", "cloudjhub.demo"]


class RunningDemo:
    """``scripts/demo`` without the part that installs."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._port = free_port()
        self._output = folder.with_suffix(".out")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it has printed its address."""
        arguments = ["--port", str(self._port), "--state", str(self.folder), "--boot-seconds", "1"]
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [*COMMAND, *arguments], stdout=output, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + 240
        while "cloudJHub runs at" not in self.printed():
            assert self._process.poll() is None, self.printed()
            assert time.monotonic() < deadline, f"waited for the address: {self.printed()}"
            time.sleep(0.05)

    def printed(self) -> str:
        return self._output.read_text()

    @property
    def facts(self) -> dict:
        return json.loads((self.folder / "demo.json").read_text())

    def user(self, name: str) -> HubUser:
        return HubUser(self.facts["url"], name, self.facts["logins"][name])

    def processes(self) -> list[Process]:
        return [Process.of(self._process.pid), *descendants(self._process.pid)]

    def end(self, *signals: signal.Signals) -> int:
        """Send the signals and wait; gives the exit code."""
        for number in signals:
            self._process.send_signal(number)
        return self._process.wait(120)

    def destroy(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(120)


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[RunningDemo]:
    running = RunningDemo(tmp_path / "state")
    yield running
    running.destroy()


async def all_gone(processes: list[Process]) -> None:
    deadline = time.monotonic() + 120
    while left := [process for process in processes if process.alive]:
        assert time.monotonic() < deadline, f"still there: {left}"
        await asyncio.sleep(0.05)


async def open_server(user: HubUser) -> None:
    """Log in, start, open JupyterLab."""
    await user.login()
    await user.start_server()
    await user.open_server()


@pytest.mark.slow
def test_the_check_holds():
    done = subprocess.run(
        [*COMMAND, "--check", "--boot-seconds", "1"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Everything holds" in done.stdout


@pytest.mark.slow
async def test_files_survive_and_processes_do_not(demo: RunningDemo):
    demo.start()
    async with demo.user("ada") as ada:
        await open_server(ada)
        await ada.write_file("note.txt", "kept")
    first = demo.processes()
    assert len(first) >= 5
    # Somebody impatient presses Ctrl-C twice.
    assert demo.end(signal.SIGINT, signal.SIGINT) == 0, demo.printed()
    await all_gone(first)

    demo.start()
    async with demo.user("ada") as ada:
        await open_server(ada)
        assert await ada.read_file("note.txt") == "kept"
    second = demo.processes()
    assert demo.end(signal.SIGKILL) == -signal.SIGKILL
    await all_gone(second)


@pytest.mark.slow
def test_it_ends_although_nobody_reads_what_it_says(tmp_path: Path):
    arguments = ["--port", str(free_port()), "--state", str(tmp_path / "state")]
    process = subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, text=True)
    try:
        assert any("cloudJHub runs at" in line for line in process.stdout)
        process.stdout.close()
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
async def test_what_it_writes_is_private(demo: RunningDemo):
    demo.start()
    assert f"machines {MACHINES[demo.facts['machines']]}" in demo.printed()
    assert demo.folder.stat().st_mode & 0o077 == 0
    passwords = {*demo.facts["logins"].values(), demo.facts["admin_api_token"]}
    commands = [Path(f"/proc/{process.pid}/cmdline").read_bytes() for process in demo.processes()]
    for secret in passwords:
        assert not any(secret.encode() in command for command in commands)
        for log in demo.folder.glob("*.log"):
            assert secret not in log.read_text(errors="replace"), log


def test_a_port_in_use_is_one_sentence(tmp_path: Path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        arguments = ["--port", str(port), "--state", str(tmp_path / "state")]
        done = subprocess.run(
            [*COMMAND, *arguments], capture_output=True, text=True, env={**os.environ}, check=False
        )
    assert done.returncode == 1
    assert done.stderr == f"Port {port} is in use; name another with --port.\n"
    assert done.stdout == ""
