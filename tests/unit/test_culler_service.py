"""The culler's process, and what a hub's configuration says of it."""

import asyncio
import logging
import socket
import time

import pytest
from jupyterhub.app import JupyterHub
from tornado.httpclient import AsyncHTTPClient
from tornado.web import Application
from traitlets.config import PyFileConfigLoader

from cloudjhub.culler import __main__ as culler
from cloudjhub.deploy.provision import hub_files


async def test_a_port_that_somebody_else_has_for_a_moment_is_waited_for(monkeypatch, caplog):
    monkeypatch.setattr(culler, "_LISTEN_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(culler, "_LISTEN_TRIES", 10**9)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        listening = asyncio.ensure_future(culler.listen(Application(), port, "127.0.0.1"))
        deadline = time.monotonic() + 60
        while "not there yet" not in caplog.text:
            assert not listening.done() and time.monotonic() < deadline
            await asyncio.sleep(0.01)
    await asyncio.wait_for(listening, 60)
    answer = await AsyncHTTPClient().fetch(f"http://127.0.0.1:{port}/", raise_error=False)
    assert answer.code == 404


async def test_a_port_that_stays_somebody_elses_ends_the_culler(monkeypatch):
    monkeypatch.setattr(culler, "_LISTEN_PAUSE_SECONDS", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            await asyncio.wait_for(culler.listen(Application(), port, "127.0.0.1"), 60)


@pytest.mark.parametrize(("took", "pauses"), [(0.0, 30.0), (12.0, 18.0), (29.9, 1.0), (95.0, 1.0)])
async def test_a_round_that_takes_long_is_followed_by_the_next_so_much_sooner(
    monkeypatch, caplog, took, pauses
):
    now, paused = [100.0], []

    async def work():
        now[0] += took
        raise RuntimeError("nobody foresaw this")

    async def sleep(seconds):
        paused.append(seconds)
        now[0] += seconds
        if len(paused) == 2:
            raise asyncio.CancelledError

    monkeypatch.setattr(culler, "time", Clock(now))
    monkeypatch.setattr(culler, "asyncio", Sleep(sleep))
    with caplog.at_level(logging.CRITICAL), pytest.raises(asyncio.CancelledError):
        await culler.again_and_again(work, 30.0)
    assert paused == pytest.approx([pauses, pauses])


OWN = """
c.JupyterHub.services = [{"name": "announcements"}]
c.JupyterHub.load_roles = [{"name": "staff"}]
"""


@pytest.mark.parametrize("before", ["", OWN])
@pytest.mark.parametrize("times", [1, 2])
def test_a_configuration_of_several_files_has_one_culler(tmp_path, before, times):
    idle = hub_files.OWN_IDLE_CONFIG
    config = loaded(tmp_path, before, *[idle] * times)
    assert config["services"].count("culler") == config["load_roles"].count("culler") == 1
    assert len(config["services"]) == len(config["load_roles"]) == (2 if before else 1)


def test_a_culler_that_is_appended_afterwards_is_seen_too(tmp_path):
    by_hand = """
from cloudjhub.culler import service as culler
c.JupyterHub.services.append(culler.service())
c.JupyterHub.load_roles.insert(0, culler.role())
"""
    config = loaded(tmp_path, by_hand, hub_files.OWN_IDLE_CONFIG)
    assert config == {"services": ["culler"], "load_roles": ["culler"]}


def loaded(folder, *texts):
    """The names in both lists, by traitlets' own loader, as JupyterHub takes them from it."""
    text = "\n".join(["c = get_config()", *texts])
    (folder / "jupyterhub_config.py").write_text(text)
    config = PyFileConfigLoader("jupyterhub_config.py", str(folder)).load_config()
    hub = JupyterHub(config=config)
    return {
        name: [entry["name"] for entry in getattr(hub, name)] for name in ("services", "load_roles")
    }


class Clock:
    def __init__(self, now):
        self._now = now

    def monotonic(self):
        return self._now[0]


class Sleep:
    def __init__(self, sleep):
        self.sleep = sleep
