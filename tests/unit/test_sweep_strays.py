"""Which machines a sweep stops, and which it wakes: tables, without clock, hub or EC2."""

import math
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from cloudjhub.culler.findings import DONE, PLANNED, Finding, SweepReport
from cloudjhub.culler.strays import (
    InUse,
    Server,
    Sightings,
    grace_of,
    is_doubtful,
    judged,
    sighting,
    sleepers,
    strays,
)
from cloudjhub.ec2_values import Instance
from cloudjhub.idle_config import IdleConfig
from cloudjhub.naming import Owner, owner_tags, retired_from

ADA, BOB = Owner("ada"), Owner("bob", "gpu")
OURS = {"cloudjhub:cluster": "class", "cloudjhub:role": "worker"}
NOW = datetime(2026, 11, 23, 12, tzinfo=timezone.utc)


def machine(state="running", owner=ADA, tags=None, **changes):
    of_owner = owner_tags(owner) if owner else {}
    return Instance("i-1", state, tags={**OURS, **of_owner, **(tags or {})}, **changes)


def server(owner=ADA, instance_id="i-1", pending=None):
    return Server(user=owner.user, server=owner.server, instance_id=instance_id, pending=pending)


def found(one, *servers):
    return strays([one], InUse(servers), "class") == [one]


# -- whose it is


@pytest.mark.parametrize("state", ["pending", "stopping", "stopped", "shutting-down", "terminated"])
def test_only_what_runs_is_a_stray(state):
    assert found(machine("running"))
    assert not found(machine(state))


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {"cloudjhub:cluster": "other"},
        {"cloudjhub:cluster": "class "},
        {"cloudjhub:cluster": "Class"},
        {"cloudjhub:role": "manager"},
        {"cloudjhub:role": "builder"},
    ],
)
def test_nothing_without_the_clusters_own_tags_is_touched(tags):
    assert not found(Instance("i-1", "running", tags={**owner_tags(ADA), **tags}))
    if tags:
        assert not found(machine(tags=tags))


def test_spares_are_the_pools():
    assert not found(machine(owner=None, tags={"cloudjhub:shape": "abc"}))


@pytest.mark.parametrize(
    "tags", [{"cloudjhub:host-key": "x"}, {"cloudjhub:retired": retired_from(ADA)}]
)
def test_one_that_lost_its_owner_is_no_spare(tags):
    assert found(machine(owner=None, tags=tags))


# -- who has it


def test_a_ready_server_keeps_its_own_machine_only():
    assert not found(machine(), server())
    assert found(machine(), server(instance_id="i-2"))
    assert found(machine(), server(BOB, instance_id="i-2"))


def test_a_servers_machine_is_kept_whatever_its_tags_say():
    assert not found(machine(owner=None, tags={"cloudjhub:host-key": "x"}), server())
    assert not found(machine(owner=BOB), server(ADA))


@pytest.mark.parametrize("pending", ["spawn", "stop", "check"])
@pytest.mark.parametrize("instance_id", [None, "i-2"])
def test_any_machine_of_an_owner_is_kept_while_the_server_starts_or_stops(pending, instance_id):
    starting = server(instance_id=instance_id, pending=pending)
    assert not found(machine(), starting)
    assert not found(machine(owner=None, tags={"cloudjhub:retired": retired_from(ADA)}), starting)
    assert found(machine(owner=BOB), starting)
    assert found(machine(owner=Owner("ada", "gpu")), starting)


def test_a_ready_server_whose_machine_the_hub_forgot_keeps_all_of_its_owner():
    assert not found(machine(), server(instance_id=None))
    assert found(machine(owner=BOB), server(instance_id=None))


@pytest.mark.parametrize("name", ["Ada Löwe <a&b>", "x" * 400, "ada/lovelace", "tab\there"])
def test_names_that_tags_cannot_hold_are_compared_as_tags_hold_them(name):
    owner = Owner(name, name)
    assert not found(machine(owner=owner), server(owner, None, "spawn"))
    assert found(machine(owner=owner), server(Owner(name), None, "spawn"))


# -- for how long


def test_only_time_between_two_whole_looks_counts():
    seen = Sightings(longest_seconds=100)
    assert seen.look(["a"], 1000) == {"a": 0}
    assert seen.look(["a", "b"], 1060) == {"a": 60, "b": 0}
    assert seen.look(["a", "b"], 5000) == {"a": 160, "b": 100}  # nobody looked for so long
    seen.interrupted()
    assert seen.look(["a"], 5060) == {"a": 160}  # EC2 or the hub could not be read meanwhile
    assert seen.look(["a", "b"], 5120) == {"a": 220, "b": 0}
    assert seen.look([], 5180) == {}
    assert seen.look(["a"], 5240) == {"a": 0}


def test_a_clock_that_is_set_back_takes_nothing_away():
    seen = Sightings()
    seen.look(["a"], 1000)
    seen.look(["a"], 1060)
    assert seen.look(["a"], 10) == {"a": 60}


def test_a_machine_that_was_off_in_between_is_seen_anew():
    first = machine(launched_at=NOW)
    assert sighting(first) == sighting(replace(first, private_ip="10.0.0.9"))
    assert sighting(first) != sighting(replace(first, launched_at=NOW + timedelta(minutes=5)))


@pytest.mark.parametrize(
    ("mode", "seconds", "hibernates", "step"),
    [
        ("stop", 0, False, ""),
        ("stop", 99, False, ""),
        ("stop", 100, False, "stop"),
        ("stop", 100, True, "hibernate"),
        ("remove", 100, False, "stop"),
        ("report", 6000, False, ""),
        ("report", 6000, True, ""),
    ],
)
def test_what_becomes_of_a_stray(mode, seconds, hibernates, step):
    one = machine(hibernation_configured=hibernates)
    finding = judged(one, seconds, IdleConfig(SWEEP=mode), 100)
    assert (finding.step, finding.outcome) == (step, PLANNED if step else "")
    assert (finding.id, finding.whose, finding.seconds) == ("i-1", "ada", seconds)


def test_one_look_is_never_enough():
    assert judged(machine(), 0, IdleConfig(), 0).step == ""
    assert judged(machine(), 1, IdleConfig(), 0).step == "stop"


@pytest.mark.parametrize(
    ("config", "hibernates", "circumstances", "seconds"),
    [
        ({}, False, {}, 3600),
        ({"JUPYTER_NOTEBOOK_TIMEOUT": 60}, False, {}, 600),
        ({"JUPYTER_NOTEBOOK_TIMEOUT": 60}, False, {"limits": {"bob": 9000}}, 600),
        ({"JUPYTER_NOTEBOOK_TIMEOUT": 60}, False, {"limits": {"ada": 9000}}, 9000),
        ({}, False, {"limits": {"ada": 900}}, 900),
        # who may idle for ever is only listed, unless servers have a greatest age
        ({}, False, {"limits": {"ada": 0}}, math.inf),
        ({"MAX_AGE_HOURS": 2}, False, {"limits": {"ada": 0}}, 7200),
        ({"SWEEP_GRACE_SECONDS": 10}, False, {"owner": None}, 10),
        # too early to hibernate would be a plain stop, and the memory lost
        ({"SWEEP_GRACE_SECONDS": 10}, True, {"owner": None}, 300),
        ({"SWEEP_GRACE_SECONDS": 900}, True, {"owner": None}, 900),
        ({"SWEEP_GRACE_SECONDS": 900}, True, {}, 3600),
        ({"SWEEP_GRACE_SECONDS": 900}, True, {"woken": True}, 300),
        ({}, False, {"doubtful": True}, 3600),
        ({"JUPYTER_NOTEBOOK_TIMEOUT": 60}, False, {"doubtful": True}, 600),
        ({"JUPYTER_NOTEBOOK_TIMEOUT": 7200}, True, {"doubtful": True}, 7200),
        ({}, True, {"doubtful": True, "woken": True}, 300),
    ],
)
def test_for_how_long_a_machine_may_run_without_a_server(
    config, hibernates, circumstances, seconds
):
    how = {"woken": False, "doubtful": False, "limits": {}, "owner": ADA, **circumstances}
    one = machine(owner=how.pop("owner"), hibernation_configured=hibernates)
    assert grace_of(one, IdleConfig(**config), **how) == seconds


def test_who_may_idle_for_ever_is_listed_and_in_quiet_hours_everybody_is():
    assert judged(machine(), 1e9, IdleConfig(), math.inf).step == ""
    quiet = judged(machine(), 1e9, IdleConfig(), 600, quiet=True)
    assert quiet.step == "" and "in these hours" in quiet.why
    assert judged(machine(), 1e9, IdleConfig(), 600).step == "stop"


@pytest.mark.parametrize(
    ("without", "running", "doubtful"),
    [(0, 0, False), (4, 4, False), (5, 5, True), (5, 9, True), (5, 10, False), (6, 11, True)],
)
def test_where_most_machines_have_no_server_it_is_rather_the_hub(without, running, doubtful):
    everybody = [replace(machine(), id=f"i-{number}") for number in range(running)]
    spares = [machine(owner=None), machine("stopped")] * 20
    assert is_doubtful(everybody[:without], everybody + spares, "class") is doubtful


# -- sixty days


def asleep(days, **changes):
    since = {"stopped_at": NOW - timedelta(days=days), "launched_at": NOW - timedelta(days=90)}
    reason = "Client.UserInitiatedHibernate: User initiated hibernate"
    settings = {"hibernation_configured": True, "state_reason": reason, **since, **changes}
    return replace(machine("stopped"), **settings)


def woken(machines, *servers, **config):
    listed = sleepers(machines, InUse(servers), IdleConfig(**config), "class", NOW)
    return [each.id for each in listed if each.step == "wake"]


def test_who_hibernates_for_too_long_is_woken():
    assert woken([asleep(56)]) == ["i-1"]
    assert woken([asleep(54)]) == []
    assert woken([asleep(56, state_reason="Client.UserInitiatedShutdown: ...")]) == []
    assert woken([asleep(56, state="stopping")]) == []
    assert woken([asleep(56)], server(pending="spawn")) == []
    assert woken([asleep(56)], SWEEP="report") == []
    assert woken([replace(asleep(56), tags={**OURS, "cloudjhub:retired": "x"})]) == []
    assert woken([replace(asleep(56), tags=OURS)]) == []


def test_where_ec2_does_not_say_since_when_its_last_start_counts():
    assert woken([asleep(0, stopped_at=None)]) == ["i-1"]
    young = NOW - timedelta(days=3)
    assert woken([asleep(0, stopped_at=None, launched_at=young)]) == []
    assert woken([asleep(0, stopped_at=None, launched_at=None)]) == []


def test_a_few_are_woken_at_a_time_the_longest_asleep_first():
    everybody = [replace(asleep(56 + number), id=f"i-{number}") for number in range(8)]
    assert woken(everybody) == ["i-7", "i-6", "i-5", "i-4", "i-3"]
    listed = sleepers(everybody, InUse([]), IdleConfig(), "class", NOW)
    assert len(listed) == 8


# -- for people


def test_a_report_says_what_was_found_and_what_became_of_it():
    report = SweepReport(
        NOW,
        "stop",
        machines=(
            Finding("machine", "i-1", "ada", "runs without server", "stop", DONE),
            Finding("machine", "i-2", "", "runs", "stop", "A server has it."),
        ),
        leftovers_unreadable="DescribeVolumes: no answer",
    )
    assert report.counts() == {
        ("machine", "stop", "done"): 1,
        ("machine", "stop", "refused"): 1,
    }
    text = report.text()
    assert "machine i-1 of ada: runs without server -> stop: done" in text
    assert "machine i-2: runs -> stop: A server has it." in text
    assert "not everything could be read. DescribeVolumes: no answer" in text
