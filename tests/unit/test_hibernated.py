"""A machine that is hibernated is woken as it is; who is to be hibernated and who is not."""

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import pytest
from unit.listings import Clock
from unit.worlds import ADA, TYPES, quick_plan

from cloudjhub import capacity
from cloudjhub.errors import EC2Unreachable, NoCapacity, TimedOut
from cloudjhub.launch_spec import types_to_start
from cloudjhub.naming import Owner, owner_tags
from cloudjhub.server_stop import ServerStop

ASLEEP = "Client.UserInitiatedHibernate: as asked"


@pytest.fixture
def choosy(world, two_zones, image, unlimited):
    """Starts that may make a stopped machine another type."""
    plan = quick_plan(two_zones, image)
    world.plan = replace(plan, types=lambda present: types_to_start(two_zones, present))
    world.machine = world.another()
    return world


async def of_ada(world, reason, **more):
    machine = world.ec2.add("stopped", home=True, tags=owner_tags(ADA))
    world.ec2.change(machine.id, state_reason=reason, instance_type=TYPES[1], **more)
    await world.see()
    return world.ec2.machines[machine.id]


@pytest.mark.parametrize(("reason", "becomes"), [(ASLEEP, TYPES[1]), ("", TYPES[0])])
async def test_it_is_started_as_the_type_whose_memory_it_holds(choosy, reason, becomes):
    before = await of_ada(choosy, reason)
    after = await choosy.start(before.id)
    assert (after.id, after.instance_type) == (before.id, becomes)


async def test_without_capacity_it_stays_as_it_is_and_its_home_where_it_is(choosy, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(capacity, "time", clock)
    machine = await of_ada(choosy, ASLEEP)
    choosy.ec2.rooms = {(each, "z"): 0 for each in TYPES[1:]}
    with pytest.raises(NoCapacity) as refused:
        await choosy.start(machine.id)
    assert "hibernated with all that ran on it" in refused.value.advice
    assert choosy.ec2.count("run") == choosy.ec2.count("modify_type") == 0
    assert choosy.ec2.machines[machine.id] == machine
    choosy.ec2.rooms = {}
    clock.ahead += capacity.REMEMBERED_SECONDS + 1
    assert (await choosy.start(machine.id, choosy.another())).id == machine.id


@pytest.mark.parametrize(("reason", "asked"), [(ASLEEP, 0), ("", 1)])
async def test_another_ami_waits_until_it_was_stopped_plainly(world, reason, asked):
    looked_at = []

    async def outdated(machine):
        looked_at.append(machine.id)
        return False

    world.plan = replace(world.plan, outdated=outdated)
    machine = await of_ada(world, reason)
    assert (await world.start(machine.id, world.another())).id == machine.id
    assert len(looked_at) == asked


@pytest.mark.parametrize(("reason", "waits"), [(ASLEEP, True), ("", False)])
async def test_a_memory_that_is_being_written_is_waited_for_longer(world, reason, waits):
    patience = replace(world.plan.patience, stop_seconds=-1.0, hibernate_seconds=60.0)
    world.plan = replace(world.plan, patience=patience)
    machine = world.ec2.add("stopping", home=True, tags=owner_tags(ADA))
    world.ec2.held.add(machine.id)
    world.ec2.change(machine.id, state_reason=reason)
    await world.see()
    if not waits:
        with pytest.raises(TimedOut):
            await world.start(machine.id, world.another())
        return
    start = asyncio.create_task(world.start(machine.id, world.another()))
    await world.see()
    assert not start.done()
    world.ec2.held.discard(machine.id)
    assert (await start).id == machine.id


# -- stops


@pytest.fixture
def stopping(world, config):
    """Stops of Ada's server on a machine that is up; ``told``: what they said of its sleep."""
    told, later = [], []

    async def fleet():
        return world.fleet

    async def upkeep():
        return SimpleNamespace(stop_later=later.append)

    cluster = SimpleNamespace(fleet=fleet, upkeep=upkeep, config=lambda: config)
    machine = world.ec2.add("running", home=True, tags=owner_tags(ADA))
    world.ec2.change(machine.id, hibernation_configured=True, image_id=config.worker_ami)

    async def stop(hibernate, who=ADA, users=()):
        await world.see()
        await ServerStop(
            cluster, who, machine.id, 5.0, hibernate, told.append, users.__contains__
        ).run()

    return SimpleNamespace(stop=stop, told=told, later=later, id=machine.id, world=world)


async def test_it_is_told_before_ec2_is_asked_that_the_server_sleeps(stopping):
    seen = []
    ec2 = stopping.world.ec2
    hibernate = ec2.hibernate

    def asked(ids):
        seen.append(list(stopping.told))
        return hibernate(ids)

    ec2.hibernate = asked
    await stopping.stop(True)
    assert seen == [[True]] and stopping.told == [True]
    assert ec2.machines[stopping.id].state_reason == ASLEEP


@pytest.mark.parametrize(
    ("hibernate", "change", "told"),
    [
        (False, {}, [False]),
        (True, {"hibernation_configured": False}, [True, False]),
        (True, {"image_id": "ami-0000000000000000f"}, [False]),
    ],
)
async def test_it_is_stopped_plainly(stopping, hibernate, change, told):
    """On a user's own stop; where EC2 cannot; and where another AMI waits for the next start."""
    ec2 = stopping.world.ec2
    ec2.change(stopping.id, **change)
    await stopping.stop(hibernate)
    assert stopping.told == told
    assert ec2.machines[stopping.id].state == "stopping"
    assert not ec2.machines[stopping.id].hibernated


async def test_what_failed_is_a_plain_stop_later(stopping):
    ec2 = stopping.world.ec2
    ec2.failures["hibernate"].append(EC2Unreachable("No.", action="StopInstances"))
    await stopping.stop(True)
    assert stopping.told == [True, False]
    assert stopping.later == [stopping.id]


async def test_one_that_sleeps_already_is_left_asleep(stopping):
    stopping.world.ec2.change(stopping.id, state="stopped", state_reason=ASLEEP)
    await stopping.stop(False)
    assert stopping.told == []
    assert stopping.world.ec2.count("stop") == 0


@pytest.mark.parametrize(
    ("users", "tag", "state"),
    [
        (["lovelace"], "cloudjhub:user", "stopping"),
        # Somebody else's, and one that says nothing of its owner, are left alone.
        (["lovelace", "ada"], "cloudjhub:user", "running"),
        (["lovelace"], "cloudjhub:other", "running"),
    ],
)
async def test_a_renamed_users_machine_is_stopped_too(stopping, users, tag, state):
    ec2 = stopping.world.ec2
    tags = dict(ec2.machines[stopping.id].tags)
    tags[tag] = tags.pop("cloudjhub:user")
    ec2.change(stopping.id, tags=tags)
    await stopping.stop(False, Owner("lovelace"), users)
    assert ec2.machines[stopping.id].state == state
