"""A process that the demo started, and that never outlives it."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# The kernel sends the program SIGTERM when the demo ends without a word (PR_SET_PDEATHSIG = 1).
_DIES_WITH_PARENT = (
    "import ctypes, os, signal, sys;"
    "ctypes.CDLL(None).prctl(1, signal.SIGTERM);"
    "os.getppid() == int(sys.argv[1]) or sys.exit(1);"
    "os.execvp(sys.argv[2], sys.argv[2:])"
)


@dataclass(frozen=True)
class Program:
    """What is to run: command, environment, working folder, log file."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    log: Path


class Child:
    """One running program in a process group of its own."""

    def __init__(self, program: Program, process: asyncio.subprocess.Process):
        self.program = program
        self._process = process

    @classmethod
    async def start(cls, program: Program) -> "Child":
        """Start the program; its output is appended to its log."""
        wrapper = [sys.executable, "-I", "-c", _DIES_WITH_PARENT, str(os.getpid())]
        log = os.open(program.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            process = await asyncio.create_subprocess_exec(
                *wrapper,
                *program.command,
                env=dict(program.environment),
                cwd=program.folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C in the terminal is the demo's to hear, not its children's.
                start_new_session=True,
            )
        finally:
            os.close(log)
        return cls(program, process)

    @property
    def pid(self) -> int:
        """The program's process id, which is its group's too."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the program itself is still there."""
        return self._process.returncode is None

    async def ended(self) -> int:
        """Wait for the program's end; gives its exit code, negative for a signal."""
        return await self._process.wait()

    async def stop(self, patience_seconds: float = 8) -> None:
        """End the program and whatever it left in its group: politely, then not."""
        if self.running:
            self._signal(signal.SIGTERM)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._process.wait(), patience_seconds)
        self._signal(signal.SIGKILL)
        await self._process.wait()

    def kill(self) -> None:
        """End the program as a crash does, without a chance to tidy up."""
        if self.running:
            self._process.send_signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        # A pid is not given to another while a member of the group with its number lives.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of the program's log."""
        with contextlib.suppress(OSError):
            return "\n".join(self.program.log.read_text(errors="replace").splitlines()[-lines:])
        return ""
