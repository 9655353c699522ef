"""What begins with the hub: after it listens, and in no other process that reads its settings."""

import asyncio
import json
from types import SimpleNamespace

import pytest

from cloudjhub import cluster as cluster_module
from cloudjhub import hub_start
from cloudjhub.cluster import Cluster, ClusterSettings
from cloudjhub.errors import ConfigError


class NoQuota:
    """Asks nobody."""

    def __init__(self, config):
        pass

    async def aclose(self):
        pass


class Hub(SimpleNamespace):
    """As much of JupyterHub as is looked at."""

    def __init__(self, **changes):
        super().__init__(subapp=None, made=0, errors=[], **changes)
        self._start_future = asyncio.get_running_loop().create_future()
        self.spawner_class = self.spawner
        self.spawner.__func__.cluster = True

    def spawner(self, parent):
        assert parent is self
        return SimpleNamespace(cluster=self)

    async def fleet(self):
        self.made += 1
        if self.errors:
            raise self.errors.pop(0)


@pytest.fixture
async def hub(monkeypatch):
    hub = Hub()
    monkeypatch.setattr(hub_start.JupyterHub, "initialized", classmethod(lambda cls: True))
    monkeypatch.setattr(hub_start.JupyterHub, "instance", classmethod(lambda cls: hub))
    yield hub
    for task in hub_start._tasks:
        task.cancel()
    await asyncio.gather(*hub_start._tasks, return_exceptions=True)


async def begun():
    """Whatever was begun has come as far as it can."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_where_the_configuration_is_only_read_nothing_begins():
    hub_start.begin_with_hub()
    assert not hub_start._tasks


async def test_machines_are_looked_after_once_the_hub_listens_and_not_before(hub):
    hub_start.begin_with_hub()
    await begun()
    assert (hub.made, len(hub_start._tasks)) == (0, 1)
    hub._start_future.set_result(None)
    await begun()
    assert (hub.made, len(hub_start._tasks)) == (1, 0)


async def test_a_command_of_the_hub_looks_after_nothing(hub):
    hub.subapp = object()
    hub._start_future.set_result(None)
    hub_start.begin_with_hub()
    await begun()
    assert (hub.made, len(hub_start._tasks)) == (0, 0)


async def test_a_file_that_is_broken_at_the_start_is_tried_again_and_said_once(hub, hurry, caplog):
    hub.errors = [ConfigError(["CLUSTER_NAME: is missing."])] * 2
    hub._start_future.set_result(None)
    slept = hurry(hub_start)
    hub_start.begin_with_hub()
    await asyncio.wait(list(hub_start._tasks), timeout=60)
    assert (hub.made, len(slept)) == (3, 2)
    assert caplog.text.count("CLUSTER_NAME") == 1


async def test_whatever_else_fails_is_logged_whole_and_tried_again(hub, hurry, caplog):
    hub.errors = [OSError("no such device")]
    hub._start_future.set_result(None)
    hurry(hub_start)
    hub_start.begin_with_hub()
    await asyncio.wait(list(hub_start._tasks), timeout=60)
    assert hub.made == 2
    assert "Traceback" in caplog.text and "no such device" in caplog.text


async def test_a_cluster_of_which_a_part_failed_is_made_anew(
    tmp_path, config_values, ec2, quick_settings, monkeypatch
):
    (tmp_path / "server_config.json").write_text(json.dumps(config_values))
    cluster = Cluster(ClusterSettings(tmp_path / "server_config.json", quick_settings, 1))
    monkeypatch.setattr(cluster, "_ec2", lambda config: ec2)
    monkeypatch.setattr(cluster_module, "Quota", NoQuota)
    keeper_of, failed = cluster._keeper_of, []

    def once_broken(fleet):
        if not failed:
            failed.append(fleet)
            raise OSError("no such device")
        return keeper_of(fleet)

    monkeypatch.setattr(cluster, "_keeper_of", once_broken)
    with pytest.raises(OSError):
        await cluster.fleet()
    try:
        assert await cluster.fleet() is not failed[0]
        assert (await cluster.upkeep())._fleet is await cluster.fleet()
        assert failed[0]._loop_task.done()  # only one looks after the machines
        assert not (await cluster.fleet())._loop_task.done()
    finally:
        await cluster.aclose()
