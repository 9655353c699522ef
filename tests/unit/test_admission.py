"""Who may have a machine up: MAX_MACHINES, and who waits for it."""

import asyncio
import logging
from dataclasses import replace

import pytest
from prometheus_client import REGISTRY
from unit import full_clusters
from unit.fake_ec2 import all_of, called, students
from unit.full_clusters import ADA, BOB, EVE, in_line, stopped, up

from cloudjhub.errors import ClusterFull, NotPermitted
from cloudjhub.naming import SHAPE_TAG, owner_tags
from cloudjhub.progress import StartReport, UsualTimes

fleet, rules, login = full_clusters.fleet, full_clusters.rules, full_clusters.login
asked_again_never = full_clusters.asked_again_never


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


# -- what is seen of it


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
