"""Runs several programs side by side, each with a log of its own, and leaves none of them."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from _steps import say

from cloudjhub.demo.processes import descendants

#: how long a suite may say nothing; no test may take so long, as pytest itself ends it before
SILENCE_SECONDS = 1800.0
#: how long a suite that was told to end may take to tidy up
GRACE_SECONDS = 90.0
#: how long what a suite has started may take to end after it
_LINGER_SECONDS = 20.0
_LOOK_SECONDS = 0.2
_NEWS_SECONDS = 60.0
_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# By it a process that is left tells whose it is; descendants inherit it.
_WHOSE = "TEST_SUITE"
# prctl(2): a signal for the child when we are gone; and whoever of our descendants loses their
# parent becomes our child, so that nobody is lost.
_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36
_SUMMARY = re.compile(r"=+ short test summary info =+$")
_COUNTS = re.compile(r"=+ (.*\bin [\d.]+s.*?) =+$")


@dataclass
class Suite:
    """A program and where its words go."""

    name: str
    command: Sequence[str]
    log: Path
    seconds: float = 0.0
    silent: bool = False
    left: list[str] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _began: float = 0.0
    _heard: float = 0.0
    _size: int = 0

    def start(self) -> None:
        """In a session of its own: Ctrl-C in the terminal is passed on, not heard twice."""
        self._began = self._heard = time.monotonic()
        with self.log.open("wb") as words:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=subprocess.STDOUT,
                env={**os.environ, _WHOSE: self.name},
                start_new_session=True,
                preexec_fn=_interruptible,
            )

    @property
    def running(self) -> bool:
        """Whether the program is still there."""
        if self.process is None or self.process.poll() is not None:
            return False
        self.seconds = time.monotonic() - self._began
        return True

    @property
    def hangs(self) -> bool:
        """Whether its log has not grown for long."""
        size, now = self.log.stat().st_size, time.monotonic()
        if size != self._size:
            self._size, self._heard = size, now
        return now - self._heard > SILENCE_SECONDS

    @property
    def result(self) -> int:
        """As an exit code; who hung, was killed or left processes behind has failed."""
        code = self.process.returncode if self.process else 1
        return code if code > 0 else int(code < 0 or self.silent or bool(self.left))

    def kill(self) -> None:
        """The program, and what is left of its group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def words(self) -> str:
        """All that it said."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def last_words(self) -> str:
        """The line that it is at."""
        return "".join(self.words().rstrip().splitlines()[-1:])


class _Signalled(Exception):
    """Somebody wants all to end; holds the signal's number."""


def run(suites: Sequence[Suite]) -> int:
    """Run them all; then print what each said, in their order; gives the first bad result.

    A suite that says nothing for long is ended and has failed. Ctrl-C and SIGTERM end all.
    """
    ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signalled = 0
    for suite in suites:
        suite.log.unlink(missing_ok=True)
    with _handled(_raise_signalled):
        try:
            for suite in suites:
                suite.start()
            _watch(suites)
        except _Signalled as error:
            signalled = error.args[0]
    with _handled(signal.SIG_IGN):  # who is impatient must not keep the suites from tidying up
        end([suite for suite in suites if suite.process])
        _end_orphans(suites)
    for suite in suites:
        print(f"\n{f' {suite.name} ':#^100}\n{suite.words()}", flush=True)
    print(summary(suites), flush=True)
    bad = next((suite.result for suite in suites if suite.result), 0)
    return 128 + signalled if signalled else bad


def _watch(suites: Sequence[Suite]) -> None:
    told = time.monotonic()
    going = list(suites)
    while going:
        time.sleep(_LOOK_SECONDS)
        _reap_orphans(suites)
        for suite in [each for each in going if not each.running]:
            going.remove(suite)
            say(f"{suite.name}: {'FAILED' if suite.result else 'passed'} in {_took(suite)}")
        hung = [each for each in going if each.hangs]
        for suite in hung:
            say(f"{suite.name}: silent for {SILENCE_SECONDS / 60:.0f} minutes, so it is ended")
            suite.silent = True
            going.remove(suite)
        end(hung)
        if time.monotonic() - told > _NEWS_SECONDS:
            told = time.monotonic()
            for suite in going:
                say(f"{suite.name}: {suite.last_words()}")


def end(suites: Sequence[Suite]) -> None:
    """As Ctrl-C does, so that tests tidy up; by force where that takes too long."""
    for suite in [each for each in suites if each.running]:
        suite.process.send_signal(signal.SIGINT)
    deadline = time.monotonic() + GRACE_SECONDS
    while any([suite.running for suite in suites]) and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)
        _reap_orphans(suites)
    for suite in suites:
        suite.kill()


# What is printed last -----------------------------------------------------------------------


def summary(suites: Sequence[Suite]) -> str:
    """Each suite in a line, then every test that failed, so that a log's end has what matters."""
    lines = [f"\n{' all suites ':=^100}"]
    lines += [f"{suite.name:12}{_took(suite):>12}   {_verdict(suite)}" for suite in suites]
    for suite in [each for each in suites if each.result]:
        lines.append(f"{suite.name} failed; all it said: {suite.log}")
        lines += [*failures(suite.words()), *(f"LEFT {process}" for process in suite.left)]
    return "\n".join(lines)


def failures(words: str) -> list[str]:
    """What pytest's short summary says of tests that failed."""
    lines = words.splitlines()
    heads = [number for number, line in enumerate(lines) if _SUMMARY.match(line)]
    told = lines[heads[-1] :] if heads else []
    return [line for line in told if line.startswith(("FAILED ", "ERROR "))]


def _verdict(suite: Suite) -> str:
    counts = [found[1] for line in suite.words().splitlines() if (found := _COUNTS.match(line))]
    said = counts[-1] if counts else "ended without a result of pytest's"
    code = suite.process.returncode if suite.process else 0
    if code < 0:
        said += f"; ended by {signal.Signals(-code).name}"
    if suite.left:
        said += f"; processes left: {len(suite.left)}"
    return f"{said}; ENDED BECAUSE IT WAS SILENT" if suite.silent else said


def _took(suite: Suite) -> str:
    return f"{suite.seconds // 60:.0f} min {suite.seconds % 60:02.0f} s"


# Signals and orphans ------------------------------------------------------------------------


def _interruptible() -> None:
    """In the child: SIGINT works, also where ours is ignored, and comes when we are gone."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0)


def _raise_signalled(number: int, frame: object) -> None:
    raise _Signalled(number)


@contextlib.contextmanager
def _handled(handler: object) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in _ENDS}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)


def _reap_orphans(suites: Sequence[Suite]) -> None:
    """As init does: a zombie looks as if it still ran. The suites' own ends are Popen's to see."""
    ours = {suite.process.pid: suite.process for suite in suites if suite.process}
    look = os.WEXITED | os.WNOHANG | os.WNOWAIT
    with contextlib.suppress(ChildProcessError):
        while found := os.waitid(os.P_ALL, 0, look):
            if found.si_pid in ours:
                ours[found.si_pid].poll()
            else:
                os.waitpid(found.si_pid, 0)


def _end_orphans(suites: Sequence[Suite]) -> None:
    """What the suites left although they have ended is noted and killed.

    A suite that was itself killed could not do better, and a process that does not say whose it is
    is the first one's.
    """
    deadline = time.monotonic() + _LINGER_SECONDS
    while (found := descendants(os.getpid())) and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)
        _reap_orphans(suites)
    by_name = {suite.name: suite for suite in suites}
    for process in found:
        with contextlib.suppress(OSError):
            folder = Path(f"/proc/{process.pid}")
            command = (folder / "cmdline").read_text(errors="replace").replace("\0", " ")
            variables = (folder / "environ").read_text(errors="replace").split("\0")
            names = [each.partition("=")[2] for each in variables if each.startswith(f"{_WHOSE}=")]
            owner = by_name.get("".join(names), suites[0])
            if owner.process and owner.process.returncode >= 0:
                owner.left.append(f"{process.pid} {command[:200]}")
            say(f"left by {owner.name}, so killed: {process.pid} {command[:200]}")
            os.kill(process.pid, signal.SIGKILL)
