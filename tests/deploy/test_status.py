"""What an operator sees of a cluster."""

import json
import re
import shlex
import subprocess
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from deploy.made_clusters import Place, gone

from cloudjhub.account.inventory import Inventory, MachineFound
from cloudjhub.deploy import status
from cloudjhub.deploy.costs import Costs, Sum
from cloudjhub.deploy.desk import table
from cloudjhub.naming import Owner, retired_from


@pytest.mark.slow
def test_people_see_whose_machines_run_since_when_and_what_they_cost(place: Place):
    made = place.cluster("class1", ["ada", "bob"])
    eve = place.cluster("other", ["eve"])
    place.machine("class1", "worker", group=made.ids["worker-group"], home=True)
    place.api.stop_instances(InstanceIds=[made.workers["bob"]])
    place.until(lambda: place.state(made.workers["bob"]) == "stopped", "bob's machine to stop")
    before = place.everything()
    shown = place.run("status.py", "class1")
    assert shown.returncode == 0, shown.stderr
    text = shown.stdout
    assert re.search(rf"Manager {made.ids['manager']} \(t3.small\) at [\d.]+: running since", text)
    assert re.search(rf"ada +{made.workers['ada']} +t3.small +running +since 20\d\d-", text)
    assert re.search(rf"bob +{made.workers['bob']} +t3.small +stopped .*\$0.00", text)
    assert "(spare)" in text and "3 machines of users, 2 of them on" in text
    assert re.search(rf"ada +{made.homes['ada']} +4 GiB +{made.workers['ada']} +\$", text)
    assert made.ids["image"] in text
    assert re.search(r"Now \$[\d.]+ an hour. At rest, .*: \$[\d.]+ a month", text)
    assert eve.workers["eve"] not in text
    assert not gone(before, place.everything())


@pytest.mark.slow
def test_programs_get_the_same_as_json(place: Place):
    made = place.cluster("class1", ["ada"])
    shown = place.run("status.py", "class1", "--json")
    assert shown.returncode == 0, shown.stderr
    data = json.loads(shown.stdout)
    assert data["manager"]["id"] == made.ids["manager"]
    assert [(m["owner"], m["id"], m["state"]) for m in data["machines"]] == [
        ("ada", made.workers["ada"], "running")
    ]
    assert [home["id"] for home in data["homes"]] == [made.homes["ada"]]
    assert datetime.fromisoformat(data["machines"][0]["started_at"]).tzinfo
    per_machine = data["machines"][0]["usd_per_hour"]
    assert per_machine > 0
    assert data["usd_per_hour_now"] > 2 * per_machine
    at_rest = data["manager"]["usd_per_hour"] * data["hours_per_month"]
    assert data["usd_per_month_at_rest"] > at_rest


@pytest.mark.slow
def test_a_reader_that_leaves_early_is_no_fault(place: Place):
    place.cluster("class1", [])
    command = " ".join(map(shlex.quote, place.command("status.py", "class1", "--json")))
    done = subprocess.run(
        ["sh", "-c", f"{command} | true"],
        env=place.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr == ""


@pytest.mark.slow
def test_an_unknown_cluster_is_answered_with_those_that_exist(place: Place):
    place.cluster("class1", [])
    place.stranger()
    shown = place.run("status.py", "clas1")
    assert shown.returncode == 1
    assert shown.stdout == ""
    assert "There is no cluster clas1 in us-east-1; there are: class1." in shown.stderr


@pytest.mark.slow
def test_a_cluster_of_which_only_ended_machines_are_listed_is_no_cluster(place: Place):
    group = place.config["WORKER_SECURITY_GROUPS"][0]
    machine = place.machine("past", "worker", group=group)
    place.until_running(machine)
    assert place.run("status.py", "none").stderr.count("past") == 1
    place.api.terminate_instances(InstanceIds=[machine])
    place.until(lambda: place.state(machine) == "terminated", "its end")
    shown = place.run("status.py", "past")
    assert shown.returncode == 1
    assert "there is none" in shown.stderr


@pytest.mark.parametrize("name", ["", "*", "class?", "a/b", "x" * 80])
def test_a_name_that_would_match_others_is_refused(place: Place, name: str):
    shown = place.run("status.py", name)
    assert shown.returncode == 2
    assert "CLUSTER_NAME" in shown.stderr


# -- the pure parts

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=timezone.utc)


def machine(**changes) -> MachineFound:
    values = {
        "id": "i-1",
        "tags": {"cloudjhub:role": "worker", "cloudjhub:user": "ada"},
        "state": "running",
        "instance_type": "t3.small",
        "zone": "z",
        "image_id": "ami-1",
        "launched_at": NOW - timedelta(minutes=5),
        "public_ip": None,
        "private_ip": "10.0.0.1",
        "home_volume_id": None,
        "hibernated": False,
    }
    return MachineFound(**{**values, **changes})


@pytest.mark.parametrize(
    ("age", "said"),
    [
        (timedelta(minutes=5), "(5 min)"),
        (timedelta(hours=5), "(5 h)"),
        (timedelta(days=5), "(5 days)"),
        (timedelta(seconds=-5), "(0 min)"),
    ],
)
def test_ages_are_readable(age, said):
    found = Inventory("class1", machines=(machine(launched_at=NOW - age),))
    assert said in status.as_text(found, Costs("us-east-1"), NOW)


def test_a_machine_is_paid_for_until_its_memory_is_on_its_disk():
    costs = Costs("us-east-1")
    asleep = machine(state="stopped", hibernated=True)
    falling, stopping = replace(asleep, state="stopping"), machine(state="stopping")
    amounts = [costs.machine_hour(each).amount for each in (falling, stopping, asleep)]
    assert amounts[0] > 0 and amounts[1:] == [0, 0]


def test_a_hibernated_machine_is_called_so():
    found = Inventory("class1", machines=(machine(state="stopped", hibernated=True),))
    assert "stopped, hibernated" in status.as_text(found, Costs("us-east-1"), NOW)


def test_a_machine_that_was_set_aside_is_called_so():
    tags = {"cloudjhub:role": "worker", "cloudjhub:retired": retired_from(Owner("ada", "gpu"))}
    found = Inventory("class1", machines=(machine(state="stopped", tags=tags),))
    assert "(set aside, was ada's)" in status.as_text(found, Costs("us-east-1"), NOW)


def test_a_launch_that_has_not_finished_is_told():
    unfinished = machine(tags={"cloudjhub:role": "manager"})
    text = status.as_text(Inventory("class1", machines=(unfinished,)), Costs("us-east-1"), NOW)
    assert "Its launch has not finished." in text
    tags = {"cloudjhub:role": "manager", "cloudjhub:launched": "2026-11-23"}
    text = status.as_text(
        Inventory("class1", machines=(machine(tags=tags),)), Costs("us-east-1"), NOW
    )
    assert "has not finished" not in text


def test_a_cluster_without_a_manager_is_said_to_be_unfinished():
    found = Inventory("class1", machines=(machine(),))
    text = status.as_text(found, Costs("us-east-1"), NOW)
    assert "has no manager" in text


def test_a_price_that_is_not_known_makes_the_total_a_lower_bound():
    found = Inventory("class1", machines=(machine(instance_type="zz9.huge"),))
    assert "at least $" in status.as_text(found, Costs("us-east-1"), NOW)
    assert status.as_data(found, Costs("us-east-1"))["usd_per_hour_now"] is None


def test_sums():
    assert str(Sum(0.0208)) == "$0.0208"
    assert str(Sum(12.3) + Sum(partial=True)) == "at least $12.30"
    assert str(Sum()) == "$0.00"


def test_columns_stand_in_line():
    assert table(("A", "B"), [("long", "x"), ("s", "yy")]) == "A     B\nlong  x\ns     yy"
