"""One look at a machine, with a Jupyter Server as far as it is asked."""

import asyncio
import json
import logging
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import pytest
from unit.work_terms import TERMS

from cloudjhub.worker.idle import looker
from cloudjhub.worker.idle.hub import Hub, terms_from
from cloudjhub.worker.idle.looker import KEY, STATE_FILE, Looker

LONG_AGO = datetime.now(timezone.utc) - timedelta(hours=5)


class _Kernels:
    """A kernel manager; Jupyter Server has some whose answers must be awaited."""

    def __init__(self):
        self.models = []

    def list_kernels(self):
        return self.models


class _Sessions:
    async def list_sessions(self):
        return [{"path": "week1/sums.ipynb", "kernel": {"id": "k1"}}, {"path": "x", "kernel": None}]


class _Reports:
    begun = 0

    def begin(self):
        self.begun += 1


class _NoProcesses:
    """A machine of which no process is seen: the tests' own computer is busy."""

    cpu_seconds = None

    def look(self):
        pass

    def sessions(self, account):
        return []


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setattr(looker.processes, "here", _NoProcesses)
    monkeypatch.setenv("PATH", str(tmp_path))
    settings = {
        "kernel_manager": _Kernels(),
        "session_manager": _Sessions(),
        "started": LONG_AGO,
    }
    web_app = SimpleNamespace(settings=settings, last_activity=lambda: LONG_AGO)
    log = logging.getLogger("looked at")
    return SimpleNamespace(web_app=web_app, runtime_dir=str(tmp_path), log=log)


def _kernel(state):
    return {"id": "k1", "name": "python3", "execution_state": state}


async def test_a_busy_kernel_is_work_by_the_name_of_its_notebook(server, tmp_path):
    made = Looker(server, Hub(None, {}), reports := _Reports())
    made.work.last_work -= 100
    begun = made.work.last_work
    server.web_app.settings["kernel_manager"].models = [_kernel("idle")]
    await made.look()
    written = json.loads((tmp_path / STATE_FILE).read_text())
    assert written["signs"] == [] and written["last_work"] == begun
    assert written["limit_seconds"] is None and written["hub_heard"] == 0

    made.hub.terms = terms_from(TERMS)
    server.web_app.settings["kernel_manager"].models = [_kernel("busy")]
    await made.look()
    written = json.loads((tmp_path / STATE_FILE).read_text())
    assert written["signs"] == [{"kind": "kernel", "what": "week1/sums.ipynb"}]
    assert written["last_work"] == written["written"] > begun
    assert written["limit_seconds"] == 3600
    assert server.web_app.settings[KEY].timestamp() == pytest.approx(written["last_work"], abs=1e-3)
    assert made.forecast()["state"] == "working"
    assert reports.begun == 2


async def test_a_disk_that_is_full_hides_no_work(server):
    server.runtime_dir = "/proc/nowhere"
    made = Looker(server, Hub(None, {}))
    server.web_app.settings["kernel_manager"].models = [_kernel("busy")]
    await made.look()
    assert [sign.kind for sign in made.work.signs] == ["kernel"]


async def test_a_machine_that_cannot_be_seen_into_counts_as_working(server, caplog):
    made = Looker(server, Hub(None, {}), reports := _Reports())
    server.web_app.settings["kernel_manager"].models = None
    looks = asyncio.create_task(made.look_on())
    before = datetime.now(timezone.utc)
    while KEY not in server.web_app.settings:
        await asyncio.sleep(0)
    looks.cancel()
    assert server.web_app.settings[KEY] >= before
    assert reports.begun == 1
    assert "so it is assumed" in caplog.text
    made._see_nothing(TypeError("the same"))
    made._see_nothing(TypeError("the same"))
    assert caplog.text.count("so it is assumed") == 2


async def test_the_admins_limit_bounds_for_how_long_a_machine_is_kept(server):
    made = Looker(server, Hub(None, {}))
    made.keep(3600)
    assert not made.work.kept_until > made.forecast()["now"], "the hub has not said that it may"
    made.hub.terms = terms_from(TERMS)
    made.keep(100 * 3600)
    now = made.forecast()["now"]
    assert made.work.kept_until <= now + 7200
    assert made.work.kept_until > now
    made.keep(0)
    assert made.work.kept_until == 0


@pytest.mark.parametrize(("timeout", "usual"), [(None, 15.0), (40, 10.0), (0, 120.0)])
async def test_machines_that_began_together_do_not_go_on_asking_together(
    server, monkeypatch, timeout, usual
):
    hub = Hub(None, {})
    if timeout is not None:
        hub.terms = terms_from({**TERMS, "timeout_seconds": timeout})
    pauses = []

    class _Slept(Exception):
        pass

    async def sleep(seconds):
        pauses.append(seconds)
        raise _Slept

    monkeypatch.setattr(looker.asyncio, "sleep", sleep)
    for _ in range(20):
        with pytest.raises(_Slept):
            await Looker(server, hub).ask_on()
    assert len(set(pauses)) > 1
    assert all(0.9 * usual <= pause <= 1.1 * usual for pause in pauses)
