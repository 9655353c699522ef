"""How signs of work are found on a machine."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from cloudjhub.worker.idle import acts, gpu
from cloudjhub.worker.idle.processes import Processes


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


class _Contents:
    """A contents manager as far as it calls whoever wants to know what was saved."""

    def register_post_save_hook(self, hook):
        self.saved = hook


def test_visits_and_saves_are_activities_of_the_server(monkeypatch):
    from jupyter_server.base.handlers import APIHandler

    monkeypatch.setattr(APIHandler, "update_api_activity", _count)
    logged, contents = [], _Contents()
    settings = {"log_function": logged.append, "contents_manager": contents}
    acts.only_acts_count(settings)
    for path, method, counts in [
        ("/user/ada/api/kernels", "GET", 0),
        ("/user/ada/lab/api/workspaces/default", "PUT", 0),
        ("/user/ada/api/contents/a.ipynb", "PUT", 1),
    ]:
        handler = _handler(method, path)
        APIHandler.update_api_activity(handler)
        assert handler.counted == counts
    for accepts, known in [("*/*", "ada"), (BROWSER, None)]:
        settings["log_function"](_handler("GET", "/user/ada/lab", accepts, known))
    assert len(logged) == 2 and acts.VISIT_KEY not in settings
    settings["log_function"](_handler("GET", "/user/ada/lab", BROWSER))
    assert settings.pop(acts.VISIT_KEY)
    contents.saved(os_path="a.ipynb", model={}, contents_manager=contents)
    assert settings[acts.VISIT_KEY]


def _count(handler):
    handler.counted += 1


def _handler(method, path, accepts="*/*", known="ada"):
    """A request that was answered with 200."""
    return SimpleNamespace(
        request=SimpleNamespace(method=method, path=path, headers={"Accept": accepts}),
        base_url="/user/ada/",
        get_query_argument=lambda name, default: default,
        get_status=lambda: 200,
        counted=0,
        _jupyter_current_user=known,
    )


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
    program = _begin(shell, "sleep 600")
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
    program = _begin(shell, "sleep 600")
    processes.look()
    assert processes.programs(shell.pid) == ["sleep"]
    os.kill(program, signal.SIGKILL)


def _begin(shell, command):
    """Have the shell run it in the background; gives its pid once it has left the shell behind."""
    pid = int(_tell(shell, f"{command} & echo $!"))
    _until(lambda: Path(f"/proc/{pid}/comm").read_text().strip() == command.split()[0])
    return pid


def _state(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def _until(holds):
    """Wait for what another process does."""
    for _ in range(2400):
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
