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

#: how long a suite that was told to end may take to tidy up
GRACE_SECONDS = 90.0
_LOOK_SECONDS = 0.2
_NEWS_SECONDS = 60.0
_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
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
    began: float = 0.0
    seconds: float = 0.0
    overdue: bool = False
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> None:
        """In a session of its own: Ctrl-C in the terminal is passed on, not heard twice."""
        self.began = time.monotonic()
        with self.log.open("wb") as words:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_interruptible,
            )

    @property
    def running(self) -> bool:
        """Whether the program is still there."""
        if self.process is None or self.process.poll() is not None:
            return False
        self.seconds = time.monotonic() - self.began
        return True

    @property
    def result(self) -> int:
        """As an exit code; a suite that was ended at its deadline has failed."""
        code = self.process.returncode if self.process else 1
        return 1 if code < 0 or (self.overdue and not code) else code

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


def run(suites: Sequence[Suite], deadline_seconds: float) -> int:
    """Run them all; then print what each said, in their order; gives the first bad result.

    A suite that is not over at the deadline is ended and has failed. Ctrl-C and SIGTERM end all.
    """
    ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signalled = 0
    with _handled(_raise_signalled):
        try:
            for suite in suites:
                suite.start()
            _watch(suites, deadline_seconds)
        except _Signalled as error:
            signalled = error.args[0]
    with _handled(signal.SIG_IGN):  # who is impatient must not keep the suites from tidying up
        end([suite for suite in suites if suite.process])
        _end_orphans()
    for suite in suites:
        print(f"\n{f' {suite.name} ':#^100}\n{suite.words()}", flush=True)
    print(summary(suites), flush=True)
    bad = next((suite.result for suite in suites if suite.result), 0)
    return 128 + signalled if signalled else bad


def _watch(suites: Sequence[Suite], deadline_seconds: float) -> None:
    began = told = time.monotonic()
    going = list(suites)
    while going and time.monotonic() - began < deadline_seconds:
        time.sleep(_LOOK_SECONDS)
        _reap_orphans(suites)
        for suite in [each for each in going if not each.running]:
            going.remove(suite)
            say(f"{suite.name}: {'FAILED' if suite.result else 'passed'} in {_took(suite)}")
        if time.monotonic() - told > _NEWS_SECONDS:
            told = time.monotonic()
            for suite in going:
                say(f"{suite.name}: {suite.last_words()}")
    for suite in going:
        suite.overdue = True
        say(f"{suite.name}: not over in {deadline_seconds / 60:.0f} minutes, so it is ended")


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
    for suite in suites:
        if suite.result:
            lines += [f"{suite.name} failed; all it said: {suite.log}", *failures(suite.words())]
    return "\n".join(lines)


def failures(words: str) -> list[str]:
    """What pytest's short summary says of tests that failed."""
    lines = words.splitlines()
    heads = [number for number, line in enumerate(lines) if _SUMMARY.match(line)]
    told = lines[heads[-1] :] if heads else []
    return [line for line in told if line.startswith(("FAILED ", "ERROR "))]


def _verdict(suite: Suite) -> str:
    counts = [found[1] for line in suite.words().splitlines() if (found := _COUNTS.match(line))]
    said = counts[-1] if counts else f"ended with {suite.result} and without a result of pytest's"
    return f"{said}; ENDED AT THE DEADLINE" if suite.overdue else said


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


def _end_orphans() -> None:
    """What the suites left although they have ended is named and killed."""
    for process in descendants(os.getpid()):
        with contextlib.suppress(OSError):
            command = Path(f"/proc/{process.pid}/cmdline").read_text().replace("\0", " ")
            say(f"left by the tests, so killed: {process.pid} {command[:200]}")
            os.kill(process.pid, signal.SIGKILL)
