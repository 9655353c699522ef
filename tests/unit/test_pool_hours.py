"""A pool by timetable, and one of machines that are stopped."""

import asyncio

from cloudjhub.errors import NotPermitted
from cloudjhub.naming import Owner

ADA = Owner("ada")


# -- timetable


async def test_machines_are_ready_when_their_hours_begin_and_go_when_they_end(pool, ec2):
    pool.configure(POOL={pool.hours(10, 50): 3}, SPARE_SECONDS=60)
    await pool.round()
    assert (pool.launched(), pool.keeper.wanted()) == ([], 0)
    pool.pass_by(minutes=7)  # three before they begin: a boot's time
    await pool.round(2)
    assert (pool.launched(), pool.keeper.wanted()) == ([3], 0)
    assert pool.keeper.counts()["ready"] == 3
    pool.pass_by(minutes=42)
    await pool.round()
    await pool.tidy()
    assert pool.keeper.wanted() == 3 and len(pool.states()) == 3
    pool.pass_by(minutes=2)
    await pool.round()
    await pool.tidy()
    assert pool.keeper.wanted() == 0 and pool.states() == []


async def test_a_short_break_between_hours_costs_no_machine(pool, ec2):
    pool.configure(POOL={pool.hours(0, 30): 2, pool.hours(40, 60): 2}, SPARE_SECONDS=60)
    await pool.round(2)
    pool.pass_by(minutes=32)
    await pool.round()
    await pool.tidy()
    assert len(pool.states()) == 2 and pool.keeper.wanted() == 0
    pool.pass_by(minutes=10)
    await pool.round()
    assert pool.launched() == [2]


# -- stopped pools


async def test_a_stopped_pool_boots_each_machine_once_and_stops_it(pool, ec2):
    pool.configure(POOL_STATE="stopped")
    pool.slow = {"i-00000001"}
    await pool.round(4)
    assert pool.states() == ["running", "stopped"]
    pool.slow = set()
    await pool.round(4)
    assert pool.states() == ["stopped", "stopped"]
    assert pool.launched() == [2]


async def test_a_stopped_spare_is_given_to_who_comes_and_refilled(pool, fleet, ec2):
    pool.configure(POOL_STATE="stopped")
    await pool.round(5)
    machine = await fleet.launch(pool.spec, ADA)
    assert machine.state == "stopped"
    await fleet.start(machine.id)
    await pool.round(5)
    assert pool.states() == ["running", "stopped", "stopped"]


async def test_what_is_being_stopped_is_given_to_nobody(pool, fleet, ec2, gate):
    pool.configure(POOL=1, POOL_STATE="stopped")
    answer = gate("stop")
    await pool.round()
    while not ec2.count("stop"):
        stopping = asyncio.ensure_future(pool.keeper.round())
        await asyncio.sleep(0.05)
    assert (await fleet.launch(pool.spec, ADA)).id != min(ec2.machines)
    answer.set()
    await stopping


async def test_a_pool_told_to_run_starts_what_was_stopped(pool, ec2):
    pool.configure(POOL_STATE="stopped")
    await pool.round(5)
    pool.configure(POOL_STATE="running")
    await pool.round(3)
    assert pool.launched() == [2] and ec2.count("start") == 1
    assert pool.keeper.counts()["ready"] == 2


async def test_a_spare_that_cannot_be_stopped_stays_one(pool, fleet, ec2):
    pool.configure(POOL=1, POOL_STATE="stopped")
    ec2.failures["stop"].append(NotPermitted("No.", action="StopInstances", code="No"))
    await pool.round(2)
    while not ec2.count("stop"):
        await pool.round()
    assert pool.free() == set(ec2.machines)
    await pool.round(3)
    assert pool.states() == ["stopped"]


# -- hibernated pools


async def test_a_hibernated_pool_is_put_to_sleep_once_its_machines_are_old_enough(pool, ec2):
    pool.configure(POOL_STATE="hibernated", IDLE_ACTION="hibernate")
    await pool.round(3)
    assert pool.states() == ["running", "running"]  # too young: EC2 would refuse
    assert ec2.count("hibernate") == 0
    pool.pass_by(minutes=6)
    await pool.round(2)
    assert pool.states() == ["stopped", "stopped"]
    assert all(machine.hibernated for machine in pool.fleet.view.all())
    assert (ec2.count("hibernate"), ec2.count("stop"), pool.launched()) == (1, 0, [2])


async def test_a_pool_is_stopped_where_its_machines_cannot_hibernate(pool, ec2):
    pool.configure(POOL_STATE="hibernated")
    await pool.round(2)
    pool.pass_by(minutes=6)
    await pool.round(2)
    assert pool.states() == ["stopped", "stopped"]
    assert (ec2.count("hibernate"), ec2.count("stop")) == (0, 1)


async def test_no_spare_sleeps_longer_than_amazon_lets_it(pool, ec2):
    pool.configure(
        POOL=1, POOL_STATE="hibernated", IDLE_ACTION="hibernate", POOL_SPARE_HOURS=10_000
    )
    await pool.round(2)
    pool.pass_by(minutes=6)
    await pool.round(2)
    (old,) = pool.free()
    pool.pass_by(days=54)
    await pool.round(2)
    assert (pool.free(), pool.launched()) == ({old}, [1])
    pool.pass_by(days=2)
    await pool.round()
    assert pool.launched() == [1, 1]  # its successor, before it goes


async def test_machines_that_cannot_hibernate_make_way_when_idle_ones_are_to(pool, fleet, ec2):
    await pool.round(2)
    before = pool.free()
    pool.configure(IDLE_ACTION="hibernate")
    await pool.round(3)
    await pool.tidy()
    await pool.round()
    assert not before & pool.free() and len(pool.free()) == 2
    assert all(ec2.machines[each].hibernation_configured for each in pool.free())
