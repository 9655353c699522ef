"""The test command's suites: side by side, their words kept, nothing left, failures told last."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloudjhub.demo.processes import Process, descendants

#: runs suites whose programs are given as JSON, name -> Python; a file hour* is an hour that passes
RUN = """
import json, sys, time
from pathlib import Path
checkout, folder, programs = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])
sys.path[:0] = [f"{checkout}/scripts", checkout]
import _suites

class Clock:
    sleep = time.sleep
    def monotonic(self):
        return time.monotonic() + 3600 * len(list(folder.glob("hour*")))

_suites.time = Clock()
_suites._LINGER_SECONDS = 0.5
made = [
    _suites.Suite(name, [sys.executable, "-c", text], folder / f"{name}.log")
    for name, text in programs.items()
]
sys.exit(_suites.run(made))
"""
PASSES = "print('===== 3 passed in 0.10s =====')"
FAILS = """
print("FAILED tests/no.py::test_that_prints_such_a_line")
print("=========== short test summary info ============")
print("FAILED tests/a.py::test_b - assert 1 == 2")
print("SKIPPED [1] tests/a.py: not here")
print("ERROR tests/a.py::test_c - RuntimeError")
print("=========== 1 failed, 1 error in 0.10s ===========")
raise SystemExit(1)
"""
TIDIES_UP = """
import time
print("begun", flush=True)
try:
    time.sleep(600)
except KeyboardInterrupt:
    print("tidied up")
    raise SystemExit(2)
"""
IS_DEAF = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n" + TIDIES_UP
#: a program in a session of its own, which outlives the one that started it
LEAVES_ONE = """
import subprocess, sys
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
"""


class Command:
    """One run of suites."""

    def __init__(self, checkout: Path, folder: Path):
        self._checkout = checkout
        self._folder = folder
        self.process: subprocess.Popen[str] | None = None

    def start(self, **programs: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUN, self._checkout, self._folder, json.dumps(programs)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # As a shell's background job has it.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
        )

    def an_hour_passes(self) -> None:
        (self._folder / f"hour{time.monotonic_ns()}").touch()

    def begun(self, *names: str) -> list[Process]:
        """Wait until these suites say so; gives all processes."""
        for name in names:
            self.says(name, "begun")
        return descendants(self.process.pid)

    def says(self, name: str, words: str) -> None:
        """Wait until the suite has said it."""
        deadline = time.monotonic() + 120
        while words not in self.log(name):
            assert time.monotonic() < deadline, f"{name} does not say {words}: {self.log(name)}"
            time.sleep(0.05)

    def log(self, name: str) -> str:
        path = self._folder / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def ended(self, *, hours_pass: bool = False) -> tuple[int, str]:
        """Its exit code and what it printed."""
        deadline = time.monotonic() + 120
        while True:
            if hours_pass:
                self.an_hour_passes()
            try:
                said, _ = self.process.communicate(timeout=1)
            except subprocess.TimeoutExpired:
                assert time.monotonic() < deadline, [path.name for path in self._folder.iterdir()]
            else:
                return self.process.returncode, said


@pytest.fixture
def command(checkout: Path, tmp_path: Path) -> Iterator[Command]:
    made = Command(checkout, tmp_path)
    yield made
    if made.process and made.process.poll() is None:
        made.process.kill()
        made.process.wait()


def test_all_words_are_printed_in_order_and_failures_last(command: Command):
    command.start(first=PASSES, second=FAILS, third=PASSES)
    code, said = command.ended()
    assert code == 1
    places = [said.index(f"# {name} #") for name in ("first", "second", "third")]
    assert places == sorted(places) and places[0] < said.index("3 passed")
    last = said[said.index("= all suites =") :]
    assert [" ".join(line.split()) for line in last.splitlines()[-3:]] == [
        f"second failed; all it said: {command._folder / 'second.log'}",
        "FAILED tests/a.py::test_b - assert 1 == 2",
        "ERROR tests/a.py::test_c - RuntimeError",
    ]
    assert "first" in last and "such_a_line" not in last and "SKIPPED" not in last


def test_when_all_pass_the_result_is_good(command: Command):
    command.start(first=PASSES, second=PASSES)
    code, said = command.ended()
    assert code == 0, said
    assert said.count("3 passed in 0.10s") == 4 and "FAILED" not in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_whoever_ends_it_ends_every_suite(command: Command, number: signal.Signals):
    command.start(first=TIDIES_UP, second=TIDIES_UP)
    processes = command.begun("first", "second")
    assert len(processes) == 2
    os.kill(command.process.pid, number)
    code, said = command.ended()
    assert code == 128 + number
    assert said.count("tidied up") == 2
    assert not any(process.alive for process in processes)


def test_a_killed_command_takes_its_suites_along(command: Command):
    command.start(first=TIDIES_UP)
    processes = command.begun("first")
    command.process.kill()
    deadline = time.monotonic() + 60
    while any(process.alive for process in processes):
        assert time.monotonic() < deadline, processes
        time.sleep(0.05)
    assert "tidied up" in command.log("first")


def test_suites_that_say_nothing_for_long_are_ended(command: Command):
    command.start(polite=TIDIES_UP, deaf=IS_DEAF, fine=PASSES)
    processes = command.begun("polite", "deaf")
    code, said = command.ended(hours_pass=True)
    assert "tidied up" in command.log("polite")
    assert code == 2
    assert said.count("ENDED BECAUSE IT WAS SILENT") == 2
    assert not any(process.alive for process in processes)


def test_what_a_suite_leaves_is_killed_and_a_failure_of_that_suite(command: Command):
    command.start(tidy=PASSES, untidy=f"{LEAVES_ONE}\n{PASSES}")
    code, said = command.ended()
    assert code == 1
    last = said[said.index("= all suites =") :]
    assert re.search(r"^untidy .*; processes left: 1$", last, re.MULTILINE)
    (pid,) = re.findall(r"^LEFT (\d+) .*time.sleep", last, re.MULTILINE)
    assert Process.of(int(pid)) is None
    assert "tidy failed" not in last.replace("untidy", "")


def test_words_of_an_earlier_run_are_nobodys(command: Command):
    (command._folder / "killed.log").write_text("===== 9 passed in 0.10s =====\n")
    command.start(killed="import os; os.kill(os.getpid(), 9)")
    code, said = command.ended()
    assert code == 1 and "9 passed" not in said
    assert "ended without a result of pytest's; ended by SIGKILL" in said
