"""The rounds of a sweep, with a hub and an EC2 that say what a test wants."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from unit.sweeps import SweptWorld

from cloudjhub.errors import EC2Unreachable, NotPermitted


async def test_a_machine_without_a_server_is_stopped_when_its_time_is_over():
    world = SweptWorld()
    world.machine("ada")
    world.machine("bob")
    world.has("bob")
    for _ in range(10):
        report = await world.round()
        assert [each.id for each in report.machines] == ["i-ada"]
        assert not world.done
    report = await world.round()
    assert world.done == [("i-ada", {"hibernate": False, "reason": "runs without server"})]
    assert [(each.step, each.outcome) for each in report.machines] == [("stop", "done")]
    assert report.counts() == {("machine", "stop", "done"): 1}


async def test_who_begins_to_start_in_the_meantime_is_left_alone():
    world = SweptWorld(SWEEP_GRACE_SECONDS=60)
    world.machine("ada")
    await world.round()
    world.has("ada", pending="spawn")
    report = await world.round()
    assert not report.machines and not world.done
    world.servers.clear()
    await world.round()  # seen anew
    assert not world.done
    await world.round()
    assert world.done


async def test_what_the_hub_refuses_is_said_and_asked_again():
    world = SweptWorld(SWEEP_GRACE_SECONDS=60)
    world.machine("ada")
    world.stop_answer = (409, {"message": "A server has it, or is about to."})
    await world.round()
    report = await world.round()
    assert report.machines[0].outcome == "A server has it, or is about to."
    assert report.counts() == {("machine", "stop", "refused"): 1}
    world.stop_answer = (500, None)
    report = await world.round()
    assert report.machines[0].outcome == "The hub answered 500."
    world.failures["POST"] = ConnectionError("gone")
    report = await world.round()
    assert report.machines[0].outcome == "gone"
    del world.failures["POST"]
    world.stop_answer = (204, None)
    assert (await world.round()).machines[0].outcome == "done"


UNREADABLE = {
    "EC2": ("machines", EC2Unreachable("Silence.", action="DescribeInstances")),
    "policy": ("machines", NotPermitted("No.", action="DescribeInstances")),
    "a fault of ours": ("machines", ZeroDivisionError()),
    "hub": ("GET", ConnectionRefusedError("refused")),
}


@pytest.mark.parametrize("trouble", UNREADABLE)
async def test_nothing_is_done_in_a_round_that_could_not_read_everything(trouble):
    world = SweptWorld(SWEEP_GRACE_SECONDS=60)
    world.machine("ada")
    await world.round()
    name, error = UNREADABLE[trouble]
    world.failures[name] = error
    for _ in range(3):
        report = await world.round()
        assert report.unreadable and not report.machines
    world.failures.clear()
    report = await world.round()
    # That time did not count; the machine may have had a server.
    assert not report.unreadable and not world.done
    assert [each.seconds for each in report.machines] == [0]
    await world.round()
    assert world.done


@pytest.mark.parametrize("status", [403, 404, 500, 503])
async def test_a_hub_that_says_something_else_is_not_read(status):
    world = SweptWorld(SWEEP_GRACE_SECONDS=60)
    world.machine("ada")
    await world.round()
    world.status = status
    assert str(status) in (await world.round()).unreadable
    assert not world.done
    world.status = 200
    world.servers = [{"nonsense": 1}]
    assert (await world.round()).unreadable
    assert not world.done
    world.servers = []
    await world.round()
    await world.round()
    assert world.done


async def test_a_dry_run_does_nothing_and_says_what_would_be_done():
    world = SweptWorld(SWEEP="remove", SWEEP_GRACE_SECONDS=60)
    world.machine("ada")
    await world.round()
    report = await world.round(dry=True)
    assert [(each.step, each.outcome) for each in report.machines] == [("stop", "planned")]
    assert "machine i-ada of ada: runs without server -> stop" in report.text()
    assert not world.done


async def test_all_are_stopped_side_by_side():
    world = SweptWorld(SWEEP_GRACE_SECONDS=60, JUPYTER_NOTEBOOK_TIMEOUT=60)
    for number in range(50):
        world.machine(f"user{number}")
    most, under_way = 0, 0
    all_here = asyncio.Event()
    ask = world.ask

    async def slow(method, path, body):
        nonlocal most, under_way
        if method == "POST":
            under_way += 1
            most = max(most, under_way)
            if under_way == 50:
                all_here.set()
            await asyncio.wait_for(all_here.wait(), 60)
        return await ask(method, path, body)

    world.sweeper._ask = slow
    await world.round()
    await world.round()
    assert most == 50 and len(world.done) == 50


async def test_most_machines_without_a_server_have_the_time_of_idle_ones():
    world = SweptWorld(SWEEP_GRACE_SECONDS=60, JUPYTER_NOTEBOOK_TIMEOUT=600)
    for number in range(10):
        world.machine(f"user{number}")
    for _ in range(10):
        await world.round()
        assert not world.done
    for number in range(5):
        world.has(f"user{number}")
    await world.round()
    assert sorted(done[0] for done in world.done) == [f"i-user{number}" for number in range(5, 10)]


async def test_a_machine_that_may_work_has_its_owners_limit_and_quiet_hours():
    world = SweptWorld(IDLE_NEVER_IN=["* 02:00-05:00 UTC"], JUPYTER_NOTEBOOK_TIMEOUT=3600)
    world.machine("ada")
    world.machine("bob")
    world.limits = {"ada": 9000}
    for _ in range(60):
        await world.round()
    assert not world.done
    await world.round()
    assert [done[0] for done in world.done] == ["i-bob"]
    world.listed.pop()
    for _ in range(238):
        report = await world.round()
    assert len(world.done) == 1 and "in these hours nothing is stopped" in report.machines[0].why
    await world.round()
    assert [done[0] for done in world.done] == ["i-bob", "i-ada"]


async def test_a_sleeper_is_woken_and_hibernated_again():
    world = SweptWorld(SWEEP_GRACE_SECONDS=3600)
    asleep = {"state_reason": "Client.UserInitiatedHibernate: ...", "hibernation_configured": True}
    world.machine("ada", "stopped", stopped_at=world.now - timedelta(days=56), **asleep)
    await world.round()
    assert world.done == [("wake", "i-ada")]
    world.listed[0] = replace(world.listed[0], state="pending")
    await world.round()
    world.listed[0] = replace(world.listed[0], state="running", state_reason="", stopped_at=None)
    for _ in range(5):
        await world.round()
        assert len(world.done) == 1
    await world.round()
    assert world.done[1] == ("i-ada", {"hibernate": True, "reason": "runs without server"})


async def test_a_machine_that_cannot_be_woken_is_said_so():
    world = SweptWorld()
    asleep = {"state_reason": "Client.UserInitiatedHibernate: ...", "hibernation_configured": True}
    world.machine("ada", "stopped", stopped_at=world.now - timedelta(days=56), **asleep)
    world.failures["wake"] = NotPermitted("No.", action="StartInstances")
    report = await world.round()
    assert "StartInstances" in report.machines[0].outcome


async def test_sleepers_that_cannot_be_woken_do_not_hold_up_others():
    world = SweptWorld()
    asleep = {"state_reason": "Client.UserInitiatedHibernate: ...", "hibernation_configured": True}
    for number in range(7):
        since = world.now - timedelta(days=70 - number)
        world.machine(f"user{number}", "stopped", stopped_at=since, **asleep)
    world.failures["wake"] = NotPermitted("No.", action="StartInstances")
    assert [each.step for each in (await world.round()).machines] == ["wake"] * 5 + [""] * 2
    world.failures.clear()
    report = await world.round()
    assert world.done == [("wake", "i-user5"), ("wake", "i-user6")]
    assert "EC2 would not start it" in report.machines[-1].why
    world.done.clear()
    world.listed = world.listed[:5]
    for _ in range(58):
        await world.round()
    assert not world.done
    await world.round()
    assert [done[1] for done in world.done] == [f"i-user{number}" for number in range(5)]


async def test_the_log_says_each_thing_once_and_each_deed(caplog):
    caplog.set_level("INFO", logger="cloudjhub")
    world = SweptWorld(SWEEP_GRACE_SECONDS=120)
    world.machine("ada")
    for _ in range(3):
        await world.round()
    lines = [record.getMessage() for record in caplog.records]
    assert len([line for line in lines if "stopped if that lasts" in line]) == 1
    assert len([line for line in lines if line.endswith("-> stop: done")]) == 1
    world.failures["machines"] = EC2Unreachable("Silence.", action="DescribeInstances")
    caplog.clear()
    for _ in range(3):
        await world.round()
    assert len([r for r in caplog.records if "No sweep of machines" in r.getMessage()]) == 1
