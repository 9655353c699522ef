"""Starting, watching and stopping a notebook server on a machine, over a real SSH session."""

import json
import os
import socket
import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from remote.servers import STAND_IN, TOKEN, alive, answering, plan_for

from cloudjhub import notebook
from cloudjhub.errors import NotebookError
from cloudjhub.worker import notebook_helper


@pytest.fixture
def session(machine):
    with machine.connect() as session:
        yield session
        notebook.stop(session)


@contextmanager
def watched_long():
    """A server that ends as soon as it was started is seen, however slow this computer is."""
    usual = f"WATCH_SECONDS = {notebook_helper.WATCH_SECONDS}"
    helper = notebook.helper_bytes()
    sources = json.loads(helper.partition(b"\n")[2])
    assert usual in sources["notebook_helper"]
    longer = sources["notebook_helper"].replace(usual, "WATCH_SECONDS = 60.0")
    payload = json.dumps({**sources, "notebook_helper": longer}).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(notebook, "helper_bytes", lambda: b"%d\n%s" % (len(payload), payload))
        yield


def test_server_runs_with_the_plans_environment_and_little_else(machine, session, wait_for):
    plan = plan_for(machine)
    state = notebook.start(session, plan)
    assert state.running
    assert state.home == "root-disk"
    assert set(state.seconds) == {"prepare", "stop", "extension", "home", "launch"}
    said = answering(machine, plan, wait_for)
    environment = said["environment"]
    assert plan.environment.items() <= environment.items()
    assert environment["HOME"] == said["folder"] == str(machine.root / "home/jupyter")
    assert environment["USER"] == environment["LOGNAME"] == "jupyter"
    assert environment["JUPYTER_RUNTIME_DIR"] == str(machine.root / "run/cloudjhub/runtime")
    assert environment["LOCALEC2_ID"] == machine.ident
    for stranger in ("SSH_CONNECTION", "STRAY", "MACHINE_PATH", "SSH_ORIGINAL_COMMAND"):
        assert stranger not in environment


@pytest.mark.slow
def test_server_outlives_its_session(machine, wait_for):
    plan = plan_for(machine)
    with machine.connect() as session:
        pid = notebook.start(session, plan).pid
    answering(machine, plan, wait_for)
    with machine.connect() as session:
        state = notebook.status(session)
        assert (state.running, state.pid) == (True, pid)
        assert "serving" in state.log_tail
        notebook.stop(session)


@pytest.mark.slow
def test_second_start_ends_the_first_server(machine, session, wait_for):
    plan = plan_for(machine)
    first = notebook.start(session, plan)
    answering(machine, plan, wait_for)
    again = replace(plan, environment={**plan.environment, "RUN": "second"})
    second = notebook.start(session, again)
    assert second.pid != first.pid
    assert not alive({first.pid})
    assert answering(machine, plan, wait_for)["environment"]["RUN"] == "second"


@pytest.mark.parametrize("mode", ["serve", pytest.param("stubborn", marks=pytest.mark.slow)])
def test_stop_ends_kernels_in_sessions_of_their_own(machine, session, wait_for, mode):
    plan = plan_for(machine, mode)
    before = machine.pids()
    notebook.start(session, plan)
    answering(machine, plan, wait_for)
    children = wait_for("server and two kernels", lambda: _three(machine.pids() - before))
    notebook.stop(session)
    assert not alive(children)
    assert not notebook.status(session).running


def _three(pids: set[int]) -> set[int] | None:
    return pids if len(pids) >= 3 else None


@pytest.mark.slow
def test_stop_without_a_server_is_fine(fresh_machine):
    with fresh_machine.connect() as session:
        notebook.stop(session)
        notebook.stop(session)
        assert not notebook.status(session).running


def test_death_at_the_start_shows_the_last_words_without_secrets(machine, session):
    with watched_long(), pytest.raises(NotebookError) as caught:
        notebook.start(session, plan_for(machine, "die"))
    assert "ended as soon as" in str(caught.value)
    assert "last words of the server" in caught.value.log_tail
    assert "the token is [hidden]" in caught.value.log_tail
    assert TOKEN not in caught.value.log_tail + str(caught.value)


@pytest.mark.slow
def test_death_later_is_seen_by_status(machine, session, wait_for):
    plan = plan_for(machine)
    state = notebook.start(session, plan)
    answering(machine, plan, wait_for)
    os.kill(state.pid, 9)
    after = wait_for(
        "the end of the server", lambda: _if(not (s := notebook.status(session)).running, s)
    )
    assert after.pid is None
    assert "the token is [hidden]" in after.log_tail


def _if(condition, value):
    return value if condition else None


@pytest.mark.slow
def test_recycled_pid_is_not_taken_for_the_server(machine, session, wait_for):
    """The recorded number now belongs to a stranger: neither reported nor killed."""
    notebook.start(session, plan_for(machine))
    notebook.stop(session)
    file = machine.root / "run/cloudjhub/private/notebook.json"
    record = json.loads(file.read_text())
    file.write_text(json.dumps({**record, "pid": os.getpid()}))
    assert not notebook.status(session).running
    notebook.stop(session)  # would end this very test


def test_secrets_are_in_no_command_line_log_or_answer(machine, session, wait_for):
    plan = plan_for(machine)
    lines: list[str] = []
    state = notebook.start(session, plan)
    answering(machine, plan, wait_for)
    for pid in machine.pids():
        lines.append(Path(f"/proc/{pid}/cmdline").read_text())
    assert any(STAND_IN in line for line in lines)
    assert TOKEN not in "".join(lines)
    assert TOKEN not in machine.log()
    assert TOKEN not in str(state) + str(notebook.status(session)) + str(plan)
    assert TOKEN not in notebook.command_line()


@pytest.mark.slow
def test_files_are_for_their_owner_only(machine, session):
    notebook.start(session, plan_for(machine))
    run = machine.root / "run/cloudjhub"
    modes = {
        name: oct(stat.S_IMODE((run / name).stat().st_mode))
        for name in ("private", "runtime", "private/notebook.env", "notebook.log", "lock")
    }
    assert modes == {
        "private": "0o700",
        "runtime": "0o700",
        "private/notebook.env": "0o600",
        "notebook.log": "0o600",
        "lock": "0o600",
    }


@pytest.mark.slow
def test_planted_link_does_not_catch_the_secrets(machine, session):
    notebook.start(session, plan_for(machine))
    file, trap = machine.root / "run/cloudjhub/private/notebook.env", machine.root / "trap"
    file.unlink()
    trap.touch()
    file.symlink_to(trap)
    notebook.start(session, plan_for(machine))
    assert trap.read_text() == ""


@pytest.mark.slow
def test_log_starts_anew_with_every_server(machine, session, wait_for):
    with watched_long(), pytest.raises(NotebookError):
        notebook.start(session, plan_for(machine, "die"))
    plan = plan_for(machine)
    notebook.start(session, plan)
    answering(machine, plan, wait_for)
    assert "last words" not in notebook.status(session).log_tail


@pytest.mark.slow
def test_port_of_somebody_else_is_named(machine, session):
    plan = plan_for(machine)
    with (
        socket.create_server((machine.target.host, plan.port)),
        pytest.raises(NotebookError, match=f"Port {plan.port} .* taken"),
    ):
        notebook.start(session, plan)


def test_missing_program_is_named(machine, session):
    with pytest.raises(NotebookError, match="worker AMI lacks no-such-server"):
        notebook.start(session, plan_for(machine, command=("no-such-server",)))


def test_unusable_variable_is_named(machine, session):
    for name, value in (("with-dash", "x"), ("1ST", "x"), ("BELL", "\a"), ("NUL", "\0")):
        with pytest.raises(NotebookError, match=f"environment variable '{name}'"):
            notebook.start(session, plan_for(machine, environment={name: value}))


@pytest.mark.slow
def test_noise_of_login_shells_does_not_matter(fresh_machine):
    noise = 'Welcome!\n{"ok": false}\ncloudjhub-answer: of course\nno newline at the end'
    (fresh_machine.root / "noise").write_text(noise)
    with fresh_machine.connect() as session:
        assert notebook.start(session, plan_for(fresh_machine)).running
        notebook.stop(session)


@pytest.mark.slow
def test_starts_that_meet_leave_one_server(fresh_machine):
    plan = plan_for(fresh_machine)

    def start(_: int) -> int | None:
        with fresh_machine.connect(timeout_seconds=60) as session:
            return notebook.start(session, plan).pid

    with ThreadPoolExecutor(3) as pool:
        pids = list(pool.map(start, range(3)))
    assert len(set(pids)) == 3
    with fresh_machine.connect() as session:
        assert alive(set(pids)) == {notebook.status(session).pid}
        notebook.stop(session)


def test_unusable_run_folder_is_named(fresh_machine):
    (fresh_machine.root / "run").write_text("not a folder")
    with fresh_machine.connect() as session, pytest.raises(NotebookError, match="run"):
        notebook.start(session, plan_for(fresh_machine))
