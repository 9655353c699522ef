"""What an operator sees of spares, limits and quotas; the manager is a folder of this computer."""

import json
import re
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from deploy.made_clusters import Place
from deploy.test_status import machine

from cloudjhub.account.inventory import Inventory
from cloudjhub.deploy import manager_look, outlook, status
from cloudjhub.deploy.outlook import Outlook, Pool, QuotaUse
from cloudjhub.deploy.provision.shell import ProvisionError
from cloudjhub.naming import HOST_KEY_TAG

MONDAY = datetime(2026, 11, 23, 7, 2, 30, tzinfo=timezone.utc)
CLASS = {"always": 2, "mon,wed 08:50-10:00 Europe/Berlin": 25, "mon 12:00-13:00 UTC": 60}
SPARE = {"cloudjhub:role": "worker"}


# -- pure


def test_what_is_wanted_now_and_in_the_next_hours():
    pool = outlook.pool_of({"POOL": CLASS, "POOL_STATE": "stopped"}, MONDAY)
    shown = [(f"{moment:%H:%M}", count) for moment, count in pool.changes]
    assert (pool.state, pool.wanted) == ("stopped", 2)
    # POOL_MAX is 50 where the file does not say.
    assert shown == [("07:50", 25), ("09:00", 2), ("12:00", 50), ("13:00", 2)]
    assert outlook.pool_of({"POOL": 7}, MONDAY) == Pool("running", 7, ())
    assert outlook.pool_of({}, MONDAY).wanted == 0


def test_spares_are_counted_by_state_beside_what_is_wanted():
    found = Inventory(
        "class1",
        machines=(
            machine(),
            machine(id="i-2", tags=SPARE),
            machine(id="i-3", tags=SPARE, state="pending", zone="y"),
            machine(id="i-4", tags=SPARE, state="stopped"),
            machine(id="i-5", tags=SPARE | {"cloudjhub:retired": "bob"}, state="stopped"),
        ),
    )
    seen = Outlook(
        (QuotaUse("L-1216C47A", 64, 9), QuotaUse("L-DB2E81BA", None, None)),
        Pool("running", 2, ((MONDAY, 25),)),
        max_machines=40,
        when_full="queue",
        why="",
    )
    text = outlook.as_text(seen, found)
    assert "On: 3 of at most 40 machines (MAX_MACHINES); more wait for their turn." in text
    assert "Spares: 1 running, 1 pending, 1 stopped; wanted running: 2 now; then 25 from" in text
    assert "Quota L-1216C47A: 9 of 64 vCPUs in use" in text
    assert "Quota L-DB2E81BA cannot be read" in text
    assert re.search(r"t3.small +y +1 +0\nt3.small +z +2 +2", text)
    refusing = outlook.as_text(replace(seen, when_full="refuse"), found)
    assert "more are refused" in refusing
    unlimited = outlook.as_text(replace(seen, max_machines=0), found)
    assert "MAX_MACHINES is 0" in unlimited
    data = outlook.as_data(seen, found)
    assert data["spares"] == {"running": 1, "pending": 1, "stopped": 1, "stopping": 0}
    assert data["pool"]["changes"] == [{"at": MONDAY.isoformat(), "wanted": 25}]
    json.dumps(data)


def test_what_is_not_known_is_said_to_be():
    found = Inventory("class1", machines=(machine(),))
    text = outlook.as_text(Outlook(why="the manager does not run"), found)
    assert text.count("not known (the manager does not run)") == 2
    data = outlook.as_data(Outlook(why="the manager does not run"), found)
    assert data["pool"] is data["max_machines"] is None
    assert data["not_known_because"] == "the manager does not run"


# -- the verb


class Manager:
    """A session that answers with one file."""

    def __init__(self, text: str | None):
        self.text = text

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass


@pytest.fixture
def asked(place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys):
    """Runs the verb in this process; what the manager says is what the test says."""
    made = place.cluster("class1", ["ada"])
    for name, value in place.environment().items():
        monkeypatch.setenv(name, value)
    pinned = [{"Key": HOST_KEY_TAG, "Value": "SHA256:x"}]
    place.api.create_tags(Resources=[made.ids["manager"]], Tags=pinned)
    key = tmp_path / "id"
    key.write_text("a key")
    targets: list[Any] = []

    def run(answer: Any, *arguments: str) -> str:
        def connect(target, pinned):
            targets.append((str(target.host), pinned))
            return Manager("")

        def server_config(session):
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(manager_look, "connect", connect)
        monkeypatch.setattr(manager_look.provision, "server_config", server_config)
        given = ["--key_path", str(key), "--server_username", "ubuntu"]
        assert status.main(["class1", *given, *arguments]) == 0
        return capsys.readouterr().out

    run.place, run.made, run.targets = place, made, targets  # type: ignore[attr-defined]
    return run


CONFIG = {"WORKER_INSTANCE_TYPE": ["t3.small", "g4dn.xlarge"], "POOL": 3, "MAX_MACHINES": 40}


@pytest.mark.slow
def test_the_manager_says_what_the_pool_wants(asked):
    text = asked(CONFIG)
    assert "On: 1 of at most 40 machines" in text
    assert "Spares: none; wanted running: 3 now." in text
    # The manager and ada's machine, both t3.small; of the other quota nothing is used.
    assert "Quota L-1216C47A: 4 of 4096 vCPUs in use" in text
    assert "Quota L-DB2E81BA: 0 of 0 vCPUs in use" in text
    data = json.loads(asked(CONFIG, "--json"))
    assert data["pool"] == {"state": "running", "wanted_now": 3, "changes": []}
    (kind,) = data["machines_by_type_and_zone"]
    assert (kind["type"], kind["on"], kind["off"]) == ("t3.small", 1, 0)
    host, pinned = asked.targets[0]
    assert pinned == "SHA256:x" and host


@pytest.mark.slow
def test_what_the_manager_does_not_say_is_not_known(asked):
    refused = ProvisionError("The manager has no server_config.json.", "Run the launch again.")
    text = asked(refused)
    assert "not known (the manager was asked: The manager has no server_config.json)" in text
    for wrong in ({"POOL": "many"}, {"POOL_MAX": "many"}):
        assert "POOL on the manager cannot be read" in asked(CONFIG | wrong)
    pinned = [{"Key": HOST_KEY_TAG}]
    asked.place.api.delete_tags(Resources=[asked.made.ids["manager"]], Tags=pinned)
    before = len(asked.targets)
    assert "host key was never pinned" in asked(CONFIG)
    asked.place.api.stop_instances(InstanceIds=[asked.made.ids["manager"]])
    stopped = asked.place.state
    asked.place.until(lambda: stopped(asked.made.ids["manager"]) == "stopped", "the manager's stop")
    assert "the manager does not run" in asked(CONFIG)
    assert len(asked.targets) == before
