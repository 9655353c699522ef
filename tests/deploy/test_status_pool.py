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
from cloudjhub.deploy.costs import Costs
from cloudjhub.deploy.manager_look import Said
from cloudjhub.deploy.outlook import Outlook, Pool, QuotaUse
from cloudjhub.deploy.provision.shell import ProvisionError
from cloudjhub.naming import HOST_KEY_TAG

MONDAY = datetime(2026, 11, 23, 7, 2, 30, tzinfo=timezone.utc)
CLASS = {"always": 2, "mon,wed 08:50-10:00 Europe/Berlin": 25, "mon 12:00-13:00 UTC": 60}
SPARE = {"cloudjhub:role": "worker"}
FILE = {
    "CLUSTER_NAME": "class1",
    "REGION": "us-east-1",
    "WORKER_AMI": "ami-0123456789abcdef0",
    "WORKER_INSTANCE_TYPE": "t3.medium",
    "SUBNET_ID": "subnet-0123456789abcdef0",
    "WORKER_SECURITY_GROUPS": ["sg-0123456789abcdef0"],
    "KEY_NAME": "cloudjhub-class1-worker",
    "WORKER_KEY_FILE": "/var/lib/jupyterhub/worker_key",
    "USER_HOME_EBS_SIZE": 4,
}


# -- pure


def test_what_is_wanted_now_and_in_the_next_hours():
    pool = pool_of({"POOL": CLASS, "POOL_STATE": "stopped"})
    shown = [(f"{moment:%H:%M}", count) for moment, count in pool.changes]
    assert (pool.state, pool.wanted) == ("stopped", 2)
    # POOL_MAX is 50 where the file does not say.
    assert shown == [("07:50", 25), ("09:00", 2), ("12:00", 50), ("13:00", 2)]
    plain = pool_of({"POOL": 7})
    assert (plain.state, plain.wanted, plain.changes) == ("running", 7, ())
    assert pool_of({}).wanted == 0


def test_changes_are_shown_to_the_minute():
    short = {"always": 1, "mon 07:58-08:01 UTC": 5, "mon 14:07-15:07 Asia/Kolkata": 9}
    shown = [(f"{moment:%H:%M}", count) for moment, count in pool_of({"POOL": short}).changes]
    assert shown == [("07:58", 5), ("08:01", 1), ("08:37", 9), ("09:37", 1)]


def test_a_pool_costs_while_everybody_sleeps():
    found = Inventory("class1", machines=(machine(state="stopped"),))
    costs = Costs("us-east-1")

    def words(**keys: Any) -> str:
        seen = Outlook(pool=pool_of(keys), max_machines=0, why="")
        return status.as_text(found, costs, MONDAY, seen)

    # As the plan of a launch says: 730 hours of ten t3.medium, and 12 GiB of disk for each.
    assert "10.0 machines on average, 10 at most, running) is not in that: $313.28" in words(
        POOL=10
    )
    assert "10 at most, stopped) is not in that: $9.60" in words(POOL=10, POOL_STATE="stopped")
    assert "The pool (" not in words(POOL=0)
    data = outlook.as_data(Outlook(pool=pool_of({"POOL": 10})), found)
    assert data["usd_per_month_pool"] == pytest.approx(313.28)
    assert outlook.as_data(Outlook(), found)["usd_per_month_pool"] is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("WORKER_INSTANCE_TYPE", None),
        ("WORKER_INSTANCE_TYPE", 5),
        ("WORKER_INSTANCE_TYPE", [5]),
        ("MAX_MACHINES", None),
        ("MAX_MACHINES", "12"),
        ("POOL", "many"),
        ("POOL_MAX", "many"),
        ("POOL_STATE", 7),
        ("WHEN_FULL", "refuze"),
        ("REGION", None),
    ],
)
def test_what_the_hub_refuses_is_said_and_nothing_of_it_shown(
    monkeypatch: pytest.MonkeyPatch, key: str, value: Any
):
    monkeypatch.setattr(outlook, "quotas", lambda at, types: ())
    at: Any = None  # nothing else is asked
    sound = outlook.look(at, Inventory("class1"), Said(FILE), MONDAY)
    assert (sound.max_machines, sound.why) == (0, "") and sound.pool
    seen = outlook.look(at, Inventory("class1"), Said({**FILE, key: value}), MONDAY)
    assert seen.pool is seen.max_machines is None
    assert f"the hub refuses what the manager has: server_config.json: {key}: " in seen.why
    assert "not known (the hub refuses" in outlook.as_text(seen, Inventory("class1"))


def test_keys_of_a_later_version_are_no_fault():
    assert pool_of({"POOL": 3, "LATER": 1}).wanted == 3


def pool_of(keys: dict[str, Any]) -> Pool:
    return outlook.pool_of(outlook.checked(FILE | keys), MONDAY)


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


SUPPLY = {"WORKER_INSTANCE_TYPE": ["t3.small", "g4dn.xlarge"], "POOL": 3, "MAX_MACHINES": 40}
CONFIG = FILE | SUPPLY


@pytest.mark.slow
def test_the_manager_says_what_the_pool_wants(asked):
    text = asked(CONFIG)
    assert "On: 1 of at most 40 machines" in text
    assert "Spares: none; wanted running: 3 now." in text
    # The manager and ada's machine, both t3.small; of the other quota nothing is used.
    assert "Quota L-1216C47A: 4 of 4096 vCPUs in use" in text
    assert "Quota L-DB2E81BA: 0 of 0 vCPUs in use" in text
    data = json.loads(asked(CONFIG, "--json"))
    assert data["pool"] == {
        "state": "running",
        "wanted_now": 3,
        "mean_of_a_week": 3.0,
        "changes": [],
    }
    (kind,) = data["machines_by_type_and_zone"]
    assert (kind["type"], kind["on"], kind["off"]) == ("t3.small", 1, 0)
    host, pinned = asked.targets[0]
    assert pinned == "SHA256:x" and host


@pytest.mark.slow
def test_what_the_manager_does_not_say_is_not_known(asked):
    refused = ProvisionError("The manager has no server_config.json.", "Run the launch again.")
    text = asked(refused)
    assert "not known (the manager was asked: The manager has no server_config.json)" in text
    for wrong in ({"WORKER_INSTANCE_TYPE": None}, {"POOL_MAX": "many"}):
        assert "the hub refuses what the manager has" in asked(CONFIG | wrong)
    pinned = [{"Key": HOST_KEY_TAG}]
    asked.place.api.delete_tags(Resources=[asked.made.ids["manager"]], Tags=pinned)
    before = len(asked.targets)
    assert "host key was never pinned" in asked(CONFIG)
    asked.place.api.stop_instances(InstanceIds=[asked.made.ids["manager"]])
    stopped = asked.place.state
    asked.place.until(lambda: stopped(asked.made.ids["manager"]) == "stopped", "the manager's stop")
    assert "the manager does not run" in asked(CONFIG)
    assert len(asked.targets) == before


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            {},
            "Machines without work for 60 min are stopped, users may keep theirs for 12 h; those "
            "without a server are stopped.",
        ),
        (
            {"IDLE_ACTION": "hibernate", "KEEP_HOURS": 0, "SWEEP": "report"},
            "Machines without work for 60 min are hibernated (those that cannot: stopped); those "
            "without a server are listed.",
        ),
        (
            {"JUPYTER_NOTEBOOK_TIMEOUT": 90, "MAX_AGE_HOURS": 48, "SWEEP": "remove"},
            "Machines without work for 90 s are stopped, users may keep theirs for 12 h, at most "
            "48 h old; those without a server are stopped, and what belongs to nobody is removed.",
        ),
    ],
)
def test_what_happens_to_idle_machines_is_said(keys, said):
    seen = Outlook(idle=outlook.checked(FILE | keys))
    assert said in outlook.as_text(seen, Inventory("class1")).splitlines()
    data = outlook.as_data(seen, Inventory("class1"))["idle"]
    assert (data["action"], data["sweep"]) == (
        keys.get("IDLE_ACTION", "stop"),
        keys.get("SWEEP", "stop"),
    )
    assert outlook.as_data(Outlook(), Inventory("class1"))["idle"] is None
