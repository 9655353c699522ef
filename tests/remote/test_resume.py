"""Whether a server of before still serves, asked over a real SSH session."""

import json
import os
import signal
from dataclasses import replace

import pytest
from remote.servers import TOKEN, answering, plan_for

from cloudjhub import notebook
from cloudjhub.errors import NotebookError
from cloudjhub.remote_values import Output

STATE = {"ok": True, "running": True, "pid": 7, "log_tail": "", "home": "already", "seconds": {}}


@pytest.fixture
def session(machine):
    with machine.connect() as session:
        yield session
        notebook.stop(session)


@pytest.mark.slow
def test_a_server_that_runs_is_left_alone_and_shows_its_token(machine, session, wait_for):
    plan = plan_for(machine)
    pid = notebook.start(session, plan).pid
    answering(machine, plan, wait_for)
    other_token = {**plan.environment, "JUPYTERHUB_API_TOKEN": "that of another start"}
    assert notebook.resume(session, replace(plan, environment=other_token)) == TOKEN
    assert notebook.status(session).pid == pid
    other_hub = {**plan.environment, "JUPYTERHUB_API_URL": "http://127.0.0.9:1/hub/api"}
    assert notebook.resume(session, replace(plan, environment=other_hub)) is None
    assert notebook.resume(session, replace(plan, home_volume_id="vol-1")) is None
    assert notebook.status(session).pid == pid
    os.kill(pid, signal.SIGKILL)
    wait_for("the server to be gone", lambda: not notebook.status(session).running)
    assert notebook.resume(session, plan) is None


def test_a_machine_that_never_had_one_has_none(fresh_machine):
    with fresh_machine.connect() as session:
        assert notebook.resume(session, plan_for(fresh_machine)) is None


class Saying:
    """A session with a machine that answers so."""

    def __init__(self, answer):
        self.text = f"{notebook.MARKER}{json.dumps(answer)}\n"

    def run(self, command, *, stdin, timeout_seconds):
        return Output(0, self.text)


@pytest.mark.parametrize(
    ("answer", "token"),
    [
        ({**STATE, "token": "abc"}, "abc"),
        ({**STATE, "token": "abc", "running": False}, None),
        ({**STATE, "token": "abc", "home": "root-disk"}, None),
        ({**STATE, "token": ["abc"]}, None),
        (STATE, None),
    ],
)
def test_only_a_whole_answer_counts(answer, token):
    plan = notebook.NotebookPlan((), {}, "jupyter", 8888, "vol-1")
    assert notebook.resume(Saying(answer), plan) == token


def test_an_answer_that_makes_no_sense_is_not_shown_since_it_may_hold_the_token():
    plan = notebook.NotebookPlan((), {}, "jupyter", 8888, None)
    with pytest.raises(NotebookError) as caught:
        notebook.resume(Saying({"ok": True, "token": "abcdef"}), plan)
    assert caught.value.log_tail == "" and "abcdef" not in str(caught.value)
    assert caught.value.__suppress_context__
