"""Who may have a machine up: MAX_MACHINES, the account's quota, and who waits for them."""

import asyncio
import logging
from dataclasses import replace

import pytest
from prometheus_client import REGISTRY
from unit.fake_ec2 import all_of, called, students

from cloudjhub.errors import ClusterFull, NotPermitted, QuotaReached
from cloudjhub.fleet import Fleet
from cloudjhub.fleet import admission as admission_module
from cloudjhub.fleet.admission import Limit
from cloudjhub.naming import SHAPE_TAG, Owner, owner_tags
from cloudjhub.progress import StartReport, UsualTimes

ADA, BOB, EVE = Owner("ada"), Owner("bob"), Owner("eve")


class Rules:
    """MAX_MACHINES and WHEN_FULL as the test has them just now."""

    def __init__(self):
        self.limit = Limit()

    def __call__(self):
        return self.limit

    def set(self, machines, when_full="queue"):
        self.limit = Limit(machines, when_full)


@pytest.fixture
def rules():
    return Rules()


@pytest.fixture
async def fleet(ec2, quick_settings, rules, monkeypatch):
    """A real fleet with those rules, which looks at them every few milliseconds."""
    monkeypatch.setattr(admission_module, "_TICK_SECONDS", 0.005)
    monkeypatch.setattr(admission_module, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(admission_module, "_ASK_AGAIN_SECONDS", 0.02)
    fleet = Fleet(ec2, quick_settings, rules)
    await fleet.view.refreshed()
    yield fleet
    await fleet.aclose()


@pytest.fixture
def asked_again_never(monkeypatch):
    """Only a machine that stops makes the account be asked again."""
    monkeypatch.setattr(admission_module, "_ASK_AGAIN_SECONDS", 3600.0)


@pytest.fixture
def login(fleet, spec, unlimited):
    """Begins somebody's login, who needs a new machine."""

    def begin(owner, report=None, kind=None):
        report = report or StartReport(UsualTimes())
        step = Launching(fleet, kind or spec, owner)
        run = fleet.admission.run(owner, report, step, may_take_spare=True)
        return asyncio.ensure_future(run)

    return begin


class Launching:
    def __init__(self, fleet, spec, owner):
        self.fleet, self.spec, self.owner = fleet, spec, owner

    async def __call__(self):
        return await self.fleet.launch(self.spec, self.owner)


async def in_line(fleet, count):
    """Return once so many wait."""
    while fleet.admission.waiting != count:
        await asyncio.sleep(0.001)


async def stopped(fleet, instance_id):
    """Stop the machine as soon as it runs, which EC2 asks for."""
    await fleet.view.until(instance_id, is_running, what="it to run", seconds=60)
    await fleet.stop(instance_id)


def is_running(machine):
    return machine is not None and machine.state == "running"


def up(ec2):
    return [m for m in ec2.machines.values() if m.state in ("pending", "running")]


def quota_reached():
    return QuotaReached("Full.", action="RunInstances", code="VcpuLimitExceeded")


async def test_without_a_limit_nobody_waits(fleet, login, ec2):
    await all_of(*(login(owner) for owner in students(20)))
    assert len(up(ec2)) == 20
    assert fleet.admission.room() is None


async def test_no_more_machines_run_than_the_limit_says_and_the_first_come_first(
    fleet, login, ec2, rules
):
    rules.set(3)
    logins = [login(owner) for owner in students(7)]
    await in_line(fleet, 4)
    await all_of(*logins[:3])
    assert len(up(ec2)) == 3 and not any(login.done() for login in logins[3:])
    assert fleet.admission.room() == 0
    for served, machine in enumerate([(await login).id for login in logins[:3]], start=3):
        await stopped(fleet, machine)
        await asyncio.wait_for(logins[served], 60)
        assert len(up(ec2)) == 3 and fleet.admission.waiting == 6 - served
    logins[6].cancel()
    await in_line(fleet, 0)


async def test_machines_that_ran_before_the_hub_count(fleet, login, ec2, rules, look):
    machines = [ec2.add("running", tags=owner_tags(owner)) for owner in students(2)]
    await look()
    rules.set(2)
    waiting = login(ADA)
    await in_line(fleet, 1)
    ec2.change(machines[0].id, state="stopped")
    await asyncio.wait_for(waiting, 60)
    assert len(up(ec2)) == 2


async def test_a_limit_that_is_raised_in_the_file_lets_the_next_in(fleet, login, rules):
    rules.set(1)
    first, second, third = (login(owner) for owner in (ADA, BOB, EVE))
    await asyncio.wait_for(first, 60)
    await in_line(fleet, 2)
    rules.set(2)
    await asyncio.wait_for(second, 60)
    assert fleet.admission.waiting == 1
    rules.set(0)
    await asyncio.wait_for(third, 60)


async def test_who_leaves_the_line_keeps_nobody_waiting(fleet, login, ec2, rules):
    rules.set(1)
    first = await login(ADA)
    gone, patient = login(BOB), login(EVE)
    await in_line(fleet, 2)
    gone.cancel()
    await in_line(fleet, 1)
    await stopped(fleet, first.id)
    await asyncio.wait_for(patient, 60)
    assert gone.cancelled() and len(up(ec2)) == 1


async def test_who_is_cancelled_while_ec2_is_asked_gives_the_place_back(
    fleet, login, ec2, rules, gate
):
    rules.set(1)
    opened = gate("run")
    gone, patient = login(ADA), login(BOB)
    await called(ec2, "run")
    await in_line(fleet, 1)
    gone.cancel()
    opened.set()
    # What was launched for the one is the other's.
    machine = await asyncio.wait_for(patient, 60)
    assert [m.id for m in up(ec2)] == [machine.id]


async def test_a_start_that_fails_gives_the_place_back(fleet, login, ec2, rules):
    rules.set(1)
    ec2.failures["run"].append(NotPermitted("No.", action="RunInstances"))
    failing, patient = login(ADA), login(BOB)
    with pytest.raises(NotPermitted):
        await asyncio.wait_for(failing, 60)
    await asyncio.wait_for(patient, 60)


async def test_refuse_says_at_once_how_many_and_who_can_mend_it(fleet, login, rules):
    rules.set(1, "refuse")
    await login(ADA)
    with pytest.raises(ClusterFull) as refused:
        await asyncio.wait_for(login(BOB), 60)
    assert refused.value.advice == (
        "This cluster runs as many machines as it may (1). Try again when somebody has stopped "
        "their server. Your administrator can stop servers that nobody needs, or raise "
        "MAX_MACHINES in "
        "server_config.json; no restart is needed."
    )
    assert fleet.admission.waiting == 0


async def test_who_waits_is_refused_when_the_rule_changes(fleet, login, rules):
    rules.set(1)
    await login(ADA)
    waiting = login(BOB)
    await in_line(fleet, 1)
    rules.set(1, "refuse")
    with pytest.raises(ClusterFull):
        await asyncio.wait_for(waiting, 60)


async def test_who_waits_reads_why_and_where(fleet, login, rules):
    rules.set(1)
    await login(ADA)
    report = StartReport(UsualTimes())
    waiting = login(BOB, report)
    await in_line(fleet, 1)
    first = await asyncio.wait_for(anext(report.events()), 60)
    assert first["message"].startswith(
        "You wait for a machine: this cluster runs as many machines as it may (1); "
        "you are number 1 of 1"
    )
    waiting.cancel()


async def test_a_machine_of_ones_own_takes_a_place_too(fleet, login, ec2, rules, look):
    mine = ec2.add("stopped", tags=owner_tags(ADA))
    await look()
    rules.set(1)
    first = await login(BOB)
    report = StartReport(UsualTimes())
    start = asyncio.ensure_future(
        fleet.admission.run(ADA, report, lambda: fleet.start(mine.id), may_take_spare=False)
    )
    await in_line(fleet, 1)
    assert ec2.machines[mine.id].state == "stopped"
    await stopped(fleet, first.id)
    await asyncio.wait_for(start, 60)
    assert [m.id for m in up(ec2)] == [mine.id]


# -- spares


async def test_a_spare_is_given_though_the_cluster_is_full(fleet, login, ec2, rules, spec, look):
    spare = ec2.add("running", tags={SHAPE_TAG: spec.shape})
    await look()
    rules.set(1)
    assert (await asyncio.wait_for(login(ADA), 60)).id == spare.id
    assert ec2.count("run") == 0


async def test_a_spare_of_another_shape_makes_way(fleet, login, ec2, rules, spec, look):
    ec2.add("running", tags={SHAPE_TAG: "another"})
    await look()
    rules.set(1)
    mine = await asyncio.wait_for(login(ADA), 60)
    assert [m.id for m in up(ec2)] == [mine.id]


async def test_a_spare_makes_way_for_a_machine_of_ones_own(fleet, ec2, rules, spec, look):
    ec2.add("running", tags={SHAPE_TAG: spec.shape})
    mine = ec2.add("stopped", tags=owner_tags(ADA))
    await look()
    rules.set(1)
    report = StartReport(UsualTimes())
    await asyncio.wait_for(fleet.admission.run(ADA, report, lambda: fleet.start(mine.id)), 60)
    assert [m.id for m in up(ec2)] == [mine.id]


async def test_one_spare_is_promised_to_one(fleet, login, ec2, rules, spec, look):
    spare = ec2.add("running", tags={SHAPE_TAG: spec.shape})
    await look()
    rules.set(1)
    logins = [login(owner) for owner in (ADA, BOB)]
    assert (await asyncio.wait_for(logins[0], 60)).id == spare.id
    await in_line(fleet, 1)
    assert [m.id for m in up(ec2)] == [spare.id]
    logins[1].cancel()


async def test_a_spare_that_is_taken_at_the_last_moment_makes_no_machine_too_many(
    fleet, login, ec2, rules, spec, look
):
    ec2.add("running", tags={SHAPE_TAG: "another"})
    await look()
    rules.set(1)
    condemned = fleet.admission._places.free_spares()[0].id
    waiting = login(ADA)
    fleet.spares.claim(condemned, BOB)
    await in_line(fleet, 1)
    assert ec2.count("run") == 0 and len(up(ec2)) == 1
    await stopped(fleet, condemned)
    await asyncio.wait_for(waiting, 60)


# -- the account


async def test_whom_the_account_has_no_room_for_waits_until_a_machine_stops(
    fleet, login, ec2, asked_again_never
):
    first = await login(ADA)
    account_holds(ec2, 1)
    second = login(BOB)
    await in_line(fleet, 1)
    third = login(EVE)
    await in_line(fleet, 2)
    assert fleet.admission.room() == 0
    await stopped(fleet, first.id)
    await asyncio.wait_for(second, 60)
    assert fleet.admission.waiting == 1 and len(up(ec2)) == 1
    third.cancel()


async def test_the_account_is_asked_again_since_others_may_have_made_room(fleet, login, ec2):
    await login(ADA)
    ec2.failures["run"].extend([quota_reached()] * 5)
    await all_of(*(login(owner) for owner in students(4)))
    assert len(up(ec2)) == 5 and fleet.admission.waiting == 0


async def test_where_no_machine_of_the_cluster_can_make_room_nobody_waits(fleet, login, ec2):
    account_holds(ec2, 0)
    with pytest.raises(QuotaReached):
        await asyncio.wait_for(login(ADA), 60)
    assert fleet.admission.waiting == 0


async def test_a_quota_of_other_types_holds_up_nobody_else(
    fleet, login, ec2, spec, asked_again_never
):
    gpu = replace(spec, instance_type="g4dn.xlarge")
    first = await login(ADA, kind=gpu)
    ec2.change(first.id, instance_type="g4dn.xlarge")
    await fleet.view.next_listing()
    ec2.failures["run"].append(quota_reached())
    waiting = login(BOB, kind=gpu)
    await in_line(fleet, 1)
    await asyncio.wait_for(login(EVE), 60)
    ec2.failures["run"].append(quota_reached())
    with pytest.raises(QuotaReached):
        await asyncio.wait_for(
            login(Owner("tom"), kind=replace(spec, instance_type="p3.2xlarge")), 60
        )
    await stopped(fleet, first.id)
    await asyncio.wait_for(waiting, 60)


async def test_a_spare_of_another_shape_makes_way_where_the_account_is_full(
    fleet, login, ec2, look, asked_again_never
):
    spare = ec2.add("running", tags={SHAPE_TAG: "another"})
    ec2.change(spare.id, instance_type="t3.medium")
    await look()
    account_holds(ec2, 1)
    mine = await asyncio.wait_for(login(ADA), 60)
    assert [m.id for m in up(ec2)] == [mine.id]


async def test_refuse_passes_on_what_the_account_says(fleet, login, ec2, rules):
    rules.set(0, "refuse")
    ec2.failures["run"].append(quota_reached())
    before = _refusals("account")
    with pytest.raises(QuotaReached):
        await asyncio.wait_for(login(ADA), 60)
    assert _refusals("account") == before + 1


async def test_nobody_waits_for_disks(fleet, login, ec2):
    ec2.failures["run"].append(
        QuotaReached("Full.", action="RunInstances", code="VolumeLimitExceeded")
    )
    with pytest.raises(QuotaReached):
        await asyncio.wait_for(login(ADA), 60)


async def test_starts_that_the_account_has_room_for_are_not_held_up_by_the_others(
    fleet, ec2, look, unlimited
):
    owners = students(8)
    mine = [ec2.add("stopped", tags=owner_tags(owner)).id for owner in owners]
    await look()
    account_holds(ec2, 5)
    starts = [
        asyncio.ensure_future(
            fleet.admission.run(owner, StartReport(UsualTimes()), Starting(fleet, machine))
        )
        for owner, machine in zip(owners, mine, strict=True)
    ]
    while len(up(ec2)) < 5:
        await asyncio.sleep(0.001)
    await in_line(fleet, 3)
    assert [start.done() for start in starts] == [True] * 5 + [False] * 3
    await stopped(fleet, mine[0])
    await asyncio.wait_for(starts[5], 60)
    for start in starts[6:]:
        start.cancel()


class Starting:
    def __init__(self, fleet, machine):
        self.fleet, self.machine = fleet, machine

    async def __call__(self):
        await self.fleet.start(self.machine)


def account_holds(ec2, most):
    """From now on EC2 refuses what would make more machines than that run."""
    run, start = ec2.run, ec2.start

    def bounded(call, wanted):
        def bounded_call(arguments):
            with ec2._lock:
                if len(up(ec2)) + wanted(arguments) > most:
                    raise quota_reached()
                return call(arguments)

        return bounded_call

    ec2.run = bounded(run, lambda arguments: arguments["MaxCount"])
    ec2.start = bounded(start, len)


# -- what is seen of it


def _refusals(limit):
    return REGISTRY.get_sample_value("cloudjhub_limit_refusals_total", {"limit": limit}) or 0


async def test_the_limit_and_the_line_are_metrics(fleet, login, rules, caplog):
    def shown(name, **labels):
        return REGISTRY.get_sample_value(f"cloudjhub_{name}", labels)

    assert shown("machines_limit") is None
    rules.set(1)
    assert shown("machines_limit") == 1
    before = shown("logins_waiting", queue="place")
    with caplog.at_level(logging.WARNING):
        await login(ADA)
        waiting = login(BOB)
        await in_line(fleet, 1)
    assert shown("logins_waiting", queue="place") == before + 1
    assert "Logins wait: this cluster runs as many machines as it may (1)" in caplog.text
    waiting.cancel()
    await in_line(fleet, 0)
    assert shown("logins_waiting", queue="place") == before


async def test_a_listing_that_lags_makes_no_place(fleet, login, ec2, rules):
    rules.set(1)
    first = await login(ADA)
    ec2.shown = lambda listed: [replace(m, state="stopped") for m in listed]
    ec2.held.add(first.id)
    listings = ec2.count("list")
    waiting = login(BOB)
    await called(ec2, "list", listings + 3)
    assert ec2.count("run") == 1 and not waiting.done()
    waiting.cancel()
