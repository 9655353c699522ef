"""How signs of work are found on a machine, and what users and the hub are told of them."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from cloudjhub.worker.idle import acts, gpu, reports
from cloudjhub.worker.idle.forecast import forecast
from cloudjhub.worker.idle.hub import Hub, Terms, terms_from
from cloudjhub.worker.idle.processes import Processes
from cloudjhub.worker.idle.work import Seen, Work

TERMS = {
    "timeout_seconds": 3600,
    "action": "stop",
    "keep_seconds": 7200,
    "max_age_seconds": 0,
    "quiet_until": None,
    "busy_cpu_percent": 50,
    "busy_gpu_percent": 10,
    "busy_minutes": 5,
}


@pytest.mark.parametrize(
    ("method", "path", "kind", "status", "act"),
    [
        # What an open JupyterLab asks for by itself, as measured.
        ("GET", "api/kernels", None, 200, False),
        ("GET", "api/sessions", None, 200, False),
        ("GET", "api/terminals", None, 200, False),
        ("GET", "api/contents", None, 200, False),
        ("GET", "api/contents/lessons", None, 200, False),
        ("GET", "lab/api/workspaces", None, 200, False),
        ("PUT", "lab/api/workspaces/default", None, 204, False),
        ("GET", "cloudjhub/idle", None, 200, False),
        # What somebody does.
        ("GET", "api/contents/a.ipynb", "notebook", 200, True),
        ("GET", "api/contents/a.txt", "file", 200, True),
        ("PUT", "api/contents/a.ipynb", None, 200, True),
        ("POST", "api/sessions", None, 201, True),
        ("DELETE", "api/terminals/1", None, 204, True),
        ("POST", "cloudjhub/keep", None, 200, True),
        # A full disk: JupyterLab tries again for ever.
        ("PUT", "api/contents/a.ipynb", None, 500, False),
    ],
)
def test_what_somebody_does_is_told_from_what_a_page_does(method, path, kind, status, act):
    assert acts.is_act(method, path, kind, status) is act


BROWSER = "text/html,application/xhtml+xml,*/*;q=0.8"


@pytest.mark.parametrize(
    ("method", "accepts", "status", "visit"),
    [
        ("GET", BROWSER, 200, True),
        ("GET", BROWSER, 302, False),  # to the login
        ("GET", BROWSER, 404, False),
        ("GET", "*/*", 200, False),  # a script of the page
        ("HEAD", BROWSER, 200, False),
    ],
)
def test_who_opens_a_page_is_there(method, accepts, status, visit):
    assert acts.is_visit(method, accepts, status) is visit


@pytest.fixture
def shell() -> Iterator[subprocess.Popen]:
    """A shell that runs what it reads."""
    with subprocess.Popen(["sh"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as made:
        yield made
        made.kill()


def _tell(shell, line):
    """Have the shell begin something and say so; gives the first line of its answer."""
    shell.stdin.write(line + "\n")
    shell.stdin.flush()
    return shell.stdout.readline().strip()


def test_a_terminal_works_while_a_program_runs_in_it(shell):
    processes = Processes()
    _tell(shell, "echo ready")
    processes.look()
    assert processes.programs(shell.pid) == []
    program = int(_tell(shell, "sleep 600 & echo $!"))
    processes.look()
    assert processes.programs(shell.pid) == ["sleep"]
    # Ctrl-Z: a signal sent to one process is not there the moment the sender goes on.
    os.kill(program, signal.SIGSTOP)
    _until(lambda: _state(program) == "T")
    processes.look()
    assert processes.programs(shell.pid) == []
    os.kill(program, signal.SIGKILL)


def test_a_shell_in_a_shell_is_no_program_but_what_runs_in_it_is(shell):
    processes = Processes()
    inner = int(_tell(shell, "sh -c 'echo $$; while read line; do eval \"$line\"; done; exit'"))
    processes.look()
    assert inner in {each.pid for each in processes._children[shell.pid]}
    assert processes.programs(shell.pid) == []
    program = int(_tell(shell, "sleep 600 & echo $!"))
    processes.look()
    assert processes.programs(shell.pid) == ["sleep"]
    os.kill(program, signal.SIGKILL)


def _state(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def _until(holds):
    """Wait for what another process does."""
    for _ in range(600):
        if holds():
            return
        subprocess.run(["sleep", "0.05"], check=True)
    raise AssertionError("Waited in vain.")


BURN = "import time\nwhile time.process_time() < 0.5: pass"


def test_processor_time_counts_what_has_ended_too():
    mark = f"WORK_TEST={os.getpid()}"
    environment = dict([mark.split("=")], PATH=os.environ["PATH"])
    keeper = subprocess.Popen(
        ["sh", "-c", f'read line; "{sys.executable}" -c "$BURN"; echo burnt; read line'],
        env={**environment, "BURN": BURN},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        processes = Processes(mark)
        processes.look()
        assert processes.cpu_seconds == 0.0
        assert _tell(keeper, "burn") == "burnt"
        processes.look()
        assert processes.cpu_seconds >= 0.45
    finally:
        keeper.communicate("end\n")


def _fake_proc(folder, sessions):
    """A /proc of sshd processes: {pid: (title, age in seconds)}."""
    (folder / "uptime").write_text("1000.0 0.0\n")
    ticks = os.sysconf("SC_CLK_TCK")
    for pid, (title, age) in sessions.items():
        (folder / str(pid)).mkdir()
        fields = ["S", "1"] + ["0"] * 17 + [str(int((1000 - age) * ticks))] + ["0"] * 20
        (folder / str(pid) / "stat").write_text(f"{pid} (sshd) {' '.join(fields)}\n")
        (folder / str(pid) / "cmdline").write_bytes(title.encode() + b"\0")
    return str(folder)


def test_ssh_sessions_are_those_of_people(tmp_path):
    titles = {
        10: ("sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups", 900),
        11: ("sshd: ada [priv]", 900),
        12: ("sshd: ada@pts/0", 900),
        13: ("sshd-session: jupyter@notty", 900),
        14: ("sshd: ubuntu@notty", 900),  # the hub's
        15: ("sshd: grace@pts/1", 5),
    }
    processes = Processes(proc=_fake_proc(tmp_path, titles))
    processes.look()
    assert sorted(processes.sessions("jupyter")) == ["ada", "jupyter"]
    assert sorted(processes.sessions("jupyter", 0.0)) == ["ada", "grace", "jupyter"]


@pytest.mark.parametrize(
    ("text", "percent"),
    [("3\n97\n", 97.0), ("0\n", 0.0), ("[N/A]\n12\n", 12.0), ("[N/A]\n", None), ("", None)],
)
def test_the_busiest_gpu_counts(text, percent):
    assert gpu.busiest(text) == percent


async def test_gpus_are_asked_of_nvidia_smi(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert await gpu.percent() is None
    program = tmp_path / "nvidia-smi"
    program.write_text(f'#!/bin/sh\n[ "$1" = "{gpu.COMMAND[0]}" ] && echo 4 && echo 61\n')
    program.chmod(0o755)
    assert await gpu.percent() == 61.0
    program.write_text("#!/bin/sh\nwhile :; do :; done\n")
    monkeypatch.setattr(gpu, "SECONDS", 0.2)
    assert await gpu.percent() is None


@pytest.mark.parametrize(
    ("activity", "told", "told_at", "due"),
    [
        (1000.0, 0.0, 0.0, True),  # nothing was told yet
        (1000.0, 400.0, 400.0, True),  # back after a pause
        (1000.0, 990.0, 990.0, False),  # at work, and told of it
        (1000.0, 940.0, 940.0, True),  # at work for an interval
        (900.0, 900.0, 905.0, False),  # idle: the hub knows
        (900.0, 880.0, 885.0, True),  # the last of it
    ],
)
def test_the_hub_is_told_what_is_new_and_not_twice(activity, told, told_at, due):
    assert reports.is_due(activity, told, told_at, 1000.0, 60.0) is due


class _App:
    """JupyterHub's part of a server, as far as it tells the hub."""

    def __init__(self):
        self.told = 0
        self.fails = False

    async def notify_activity(self):
        if self.fails:
            raise TimeoutError("Failed to notify Hub of activity")
        self.told += 1


async def test_what_jupyterhub_tells_by_the_clock_is_told_only_if_new():
    from datetime import datetime, timedelta, timezone

    app, hub = _App(), Hub(None, {})
    moment = datetime.now(timezone.utc) - timedelta(hours=1)
    web_app = SimpleNamespace(last_activity=lambda: moment)
    told = reports.Reports(app, web_app, hub)
    await app.notify_activity()
    await app.notify_activity()
    assert app.told == 1 and hub.heard
    told._told_at -= 61.0
    await app.notify_activity()
    assert app.told == 1
    moment += timedelta(minutes=30)
    app.fails, hub.heard = True, 0.0
    with pytest.raises(TimeoutError):
        await app.notify_activity()
    assert not hub.heard
    app.fails = False
    told.begin()
    await asyncio.wait_for(told._telling, 30)
    assert app.told == 2 and hub.heard
    hub.terms = terms_from({**TERMS, "timeout_seconds": 30})
    assert told.interval() == 10.0


def test_terms_are_what_the_hub_answers():
    terms = terms_from({**TERMS, "quiet_until": "2026-11-23T18:00:00Z"})
    assert terms == Terms(3600.0, "stop", 7200.0, 0.0, 1795456800.0, 50.0, 10.0, 5.0)
    assert terms_from(TERMS).quiet_until is None
    for broken in ({}, {**TERMS, "busy_minutes": None}, {**TERMS, "keep_seconds": "soon"}):
        with pytest.raises((KeyError, TypeError, ValueError)):
            terms_from(broken)


def _forecast(now, *, look=None, kept=0.0, terms=TERMS, started=0.0):
    """What is shown of a machine that began to work at 0."""
    work = Work(0.0, gap_seconds=1e9)
    work.keep(kept)
    work.look(now, look or Seen())
    return forecast(work, terms_from(terms) if terms else None, started, now)


def test_users_are_told_when_it_stops():
    idle = _forecast(600.0)
    assert (idle["state"], idle["stops_at"], idle["ends_at"]) == ("idle", 3600.0, None)
    assert (idle["action"], idle["keep_seconds"], idle["signs"]) == ("stop", 7200.0, [])


def test_users_are_told_why_it_does_not_stop():
    works = _forecast(600.0, look=Seen(kernels=("a.ipynb",)), kept=900.0)
    assert (works["state"], works["stops_at"]) == ("working", None)
    assert works["signs"][0] == {"kind": "kernel", "what": "a.ipynb"}
    kept = _forecast(600.0, kept=900.0)
    assert (kept["state"], kept["stops_at"], kept["kept_until"]) == ("kept", None, 900.0)
    assert _forecast(900.0, kept=900.0)["kept_until"] is None
    never = _forecast(600.0, terms={**TERMS, "timeout_seconds": 0})
    assert (never["state"], never["stops_at"]) == ("never", None)
    unknown = _forecast(600.0, terms=None)
    assert (unknown["state"], unknown["stops_at"], unknown["keep_seconds"]) == ("unknown", None, 0)


def test_the_end_of_quiet_hours_and_of_a_servers_age_are_counted_in():
    quiet = {**TERMS, "quiet_until": "1970-01-01T02:00:00+00:00"}
    assert _forecast(600.0, terms=quiet)["stops_at"] == 7200.0
    aged = {**TERMS, "max_age_seconds": 3000}
    idle = _forecast(600.0, terms=aged, started=100.0)
    assert (idle["stops_at"], idle["ends_at"]) == (3100.0, 3100.0)
    works = _forecast(600.0, look=Seen(kernels=("a",)), terms=aged)
    assert (works["state"], works["stops_at"], works["ends_at"]) == ("working", 3000.0, 3000.0)
    both = _forecast(600.0, terms={**quiet, "max_age_seconds": 60})
    assert both["ends_at"] == 7200.0
