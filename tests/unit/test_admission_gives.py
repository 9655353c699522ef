"""What is given to whom where the account or the cluster is full: spares, places, turns."""

import asyncio
from dataclasses import replace

import pytest
from unit import full_clusters
from unit.fake_ec2 import called, students
from unit.full_clusters import ADA, BOB, EVE, in_line, quota_reached, stopped, up

from cloudjhub.errors import ClusterFull
from cloudjhub.fleet import places as places_module
from cloudjhub.naming import SHAPE_TAG, owner_tags
from cloudjhub.progress import StartReport, UsualTimes

fleet, rules, login = full_clusters.fleet, full_clusters.rules, full_clusters.login
asked_again_never = full_clusters.asked_again_never

GPU = "g4dn.xlarge"


@pytest.fixture
def gpu(spec):
    """A kind of machine that counts for another quota."""
    return replace(spec, instance_type=GPU)


@pytest.fixture
def add(ec2, look):
    """A machine that is up and that the view shows."""

    async def added(instance_type="t3.medium", **tags):
        machine = ec2.add("running", tags=tags or {SHAPE_TAG: "another"})
        ec2.change(machine.id, instance_type=instance_type)
        await look()
        return machine.id

    return added


@pytest.fixture
def holds_what_ends(ec2, monkeypatch):
    """The account counts machines until they have ended, and has room for three."""
    run = ec2.run

    def bounded(arguments):
        on = [m for m in ec2.machines.values() if m.state not in ("stopped", "terminated")]
        if len(on) + arguments["MaxCount"] > 3:
            ec2.calls.append(("refused",))
            raise quota_reached()
        return run(arguments)

    monkeypatch.setattr(ec2, "run", bounded)


async def reviews(ec2, count=5):
    """Let whoever waits be looked at so often."""
    await called(ec2, "list", ec2.count("list") + count)


# -- spares, where the account is full


async def test_spares_of_another_quota_do_not_make_way(fleet, login, ec2, add, gpu):
    spares = [await add() for _ in range(3)]
    await add(GPU, **owner_tags(EVE))
    ec2.failures["run"].extend([quota_reached()] * 1000)
    waiting = login(ADA, kind=gpu)
    await called(ec2, "run", 4)
    assert [ec2.machines[each].state for each in spares] == ["running"] * 3
    useful = await add(GPU)
    await called(ec2, "terminate")
    assert ec2.made("terminate") == [([useful],)]
    ec2.failures["run"].clear()
    await asyncio.wait_for(waiting, 60)
    assert ec2.count("terminate") == 1


async def test_one_spare_ends_and_no_other_before_it_has_ended(
    fleet, login, ec2, add, holds_what_ends, asked_again_never
):
    spares = [await add() for _ in range(3)]
    ec2.held.update(spares)
    waiting = login(ADA)
    await called(ec2, "refused", 2)
    await in_line(fleet, 1)
    await reviews(ec2)
    assert ec2.count("terminate") == 1 and not waiting.done()
    ec2.held.clear()
    await asyncio.wait_for(waiting, 60)
    assert ec2.count("terminate") == 1 and len(up(ec2)) == 3


async def test_each_who_waits_has_a_spare_end_at_once(
    fleet, login, ec2, add, holds_what_ends, asked_again_never
):
    spares = [await add() for _ in range(3)]
    ec2.held.update(spares)
    waiting = [login(owner) for owner in students(2)]
    while sum(m.state == "shutting-down" for m in ec2.machines.values()) < 2:
        await asyncio.sleep(0.001)
    await in_line(fleet, 2)
    ec2.held.clear()
    await asyncio.wait_for(asyncio.gather(*waiting), 60)
    assert len(up(ec2)) == 3


# -- machines that a listing shows before the answer to their launch


async def test_a_machine_that_is_listed_before_its_launch_is_answered_is_no_spare(
    fleet, login, ec2, rules, look, may_answer
):
    rules.set(1)
    first = login(ADA)
    await called(ec2, "run")
    await look()
    second = login(BOB)
    await in_line(fleet, 1)
    await reviews(ec2)
    may_answer.set()
    mine = await asyncio.wait_for(first, 60)
    await reviews(ec2)
    assert [m.id for m in up(ec2)] == [mine.id] and not second.done()
    assert ec2.count("run") == 1
    await stopped(fleet, mine.id)
    await asyncio.wait_for(second, 60)


async def test_it_does_not_make_way_for_a_machine_of_ones_own(
    fleet, login, ec2, rules, look, may_answer
):
    mine = ec2.add("stopped", tags=owner_tags(BOB))
    await look()
    rules.set(1)
    first = login(ADA)
    await called(ec2, "run")
    await look()
    report = StartReport(UsualTimes())
    start = fleet.admission.run(BOB, report, lambda: fleet.start(mine.id))
    waiting = asyncio.ensure_future(start)
    await in_line(fleet, 1)
    await reviews(ec2)
    may_answer.set()
    theirs = await asyncio.wait_for(first, 60)
    await reviews(ec2)
    assert ec2.count("terminate") == 0 and not waiting.done()
    await stopped(fleet, theirs.id)
    await asyncio.wait_for(waiting, 60)


async def test_nobody_is_refused_since_a_machine_is_counted_twice(
    fleet, login, ec2, rules, look, may_answer
):
    rules.set(2, "refuse")
    first = login(ADA)
    await called(ec2, "run")
    await look()
    second = login(BOB)
    await in_line(fleet, 1)
    may_answer.set()
    await asyncio.wait_for(asyncio.gather(first, second), 60)
    with pytest.raises(ClusterFull):
        await asyncio.wait_for(login(EVE), 60)
    assert len(up(ec2)) == 2


async def test_what_was_asked_for_by_one_who_left_counts_until_ec2_answers(
    fleet, login, ec2, rules, gate, monkeypatch
):
    monkeypatch.setattr(places_module, "_HELD_SECONDS", -1.0)
    rules.set(1)
    opened = gate("run")
    gone = login(ADA)
    await called(ec2, "run")
    gone.cancel()
    waiting = [login(owner) for owner in (ADA, BOB)]
    await in_line(fleet, 2)
    await reviews(ec2)
    assert fleet.admission.waiting == 2
    opened.set()
    machine = await asyncio.wait_for(waiting[0], 60)
    assert [m.id for m in up(ec2)] == [machine.id] and ec2.count("run") == 1
    waiting[1].cancel()


# -- the pool


async def test_who_comes_while_the_pool_takes_the_last_places_is_not_refused(
    fleet, login, ec2, rules
):
    rules.set(1, "refuse")
    with fleet.admission.pool(1):
        waiting = login(ADA)
        await in_line(fleet, 1)
        await reviews(ec2)
        assert not waiting.done()
    await asyncio.wait_for(waiting, 60)
    with pytest.raises(ClusterFull):
        await asyncio.wait_for(login(BOB), 60)


async def test_who_waits_for_another_quota_does_not_keep_the_pool_empty(
    fleet, login, ec2, rules, add, gpu, asked_again_never
):
    theirs = await add(GPU, **owner_tags(EVE))
    ec2.failures["run"].append(quota_reached())
    waiting = login(ADA, kind=gpu)
    await in_line(fleet, 1)
    assert fleet.admission.room(["t3.medium"]) is None
    assert fleet.admission.room([GPU]) == fleet.admission.room() == 0
    # One place is for who waits.
    rules.set(3)
    assert fleet.admission.room(["t3.medium"]) == 1
    await stopped(fleet, theirs)
    await asyncio.wait_for(waiting, 60)


# -- order


async def test_who_comes_later_does_not_pass_those_whom_the_account_holds_up(
    fleet, login, ec2, add, asked_again_never
):
    first = await add(**owner_tags(EVE))
    ec2.failures["run"].append(quota_reached())
    waiting = [login(ADA)]
    await in_line(fleet, 1)
    waiting.append(login(BOB))
    await in_line(fleet, 2)
    assert ec2.count("run") == 1
    ec2.failures["run"].extend([None, quota_reached()])
    await stopped(fleet, first)
    await asyncio.wait_for(waiting[0], 60)
    assert not waiting[1].done()
    waiting[1].cancel()


async def test_a_machine_of_ones_own_does_not_pass_them_either(
    fleet, login, ec2, add, look, asked_again_never
):
    mine = ec2.add("stopped", tags=owner_tags(BOB))
    ec2.change(mine.id, instance_type="t3.medium")
    first = await add(**owner_tags(EVE))
    ec2.failures["run"].append(quota_reached())
    waiting = login(ADA)
    await in_line(fleet, 1)
    start = fleet.admission.run(BOB, StartReport(UsualTimes()), lambda: fleet.start(mine.id))
    later = asyncio.ensure_future(start)
    await in_line(fleet, 2)
    assert ec2.count("start") == 0
    await stopped(fleet, first)
    await asyncio.wait_for(waiting, 60)
    later.cancel()


async def test_a_place_is_not_kept_for_longer_than_a_moment(
    fleet, login, ec2, rules, add, look, monkeypatch
):
    monkeypatch.setattr(places_module, "_HELD_SECONDS", -1.0)
    rules.set(2)
    mine = await login(ADA)
    await stopped(fleet, mine.id)
    theirs = await add(**owner_tags(EVE))
    rules.set(1)
    again = login(ADA)
    await in_line(fleet, 1)
    assert [m.id for m in up(ec2)] == [theirs]
    await stopped(fleet, theirs)
    await asyncio.wait_for(again, 60)
