"""What goes wrong while a machine starts, and users who do not wait for it."""

import asyncio
from dataclasses import replace

import pytest
from unit.fake_ec2 import called
from unit.worlds import ADA, BOB

from cloudjhub import machine as machine_module
from cloudjhub.errors import (
    BadLaunch,
    EC2Unreachable,
    LaunchFailed,
    MachineNotAnswering,
    NoCapacity,
    WrongState,
)
from cloudjhub.naming import owner_tags

# -- what goes wrong while it starts


async def test_a_listing_that_misses_a_new_machine_does_not_launch_another(world):
    since_launch = []
    world.ec2.held.add("i-00000001")

    def flicker(machines):
        if not world.ec2.machines:
            return machines
        since_launch.append(machines)
        if len(since_launch) > 6:
            world.ec2.held.clear()
        return [] if len(since_launch) in (3, 4) else machines

    world.ec2.shown = flicker
    await world.start()
    assert world.ec2.count("run") == 1


async def test_a_launch_that_dies_is_an_error_with_amazons_reason(world):
    async def die():
        while not world.ec2.machines:
            await asyncio.sleep(0.001)
        (machine_id,) = world.ec2.machines
        world.ec2.change(
            machine_id, state="terminated", state_reason="Client.InternalError: no key"
        )

    dying = asyncio.ensure_future(die())
    with pytest.raises(LaunchFailed, match=r"Client\.InternalError: no key"):
        await world.start()
    await dying
    assert world.ec2.count("run") == 1


async def test_a_machine_that_stops_again_and_again_is_an_error_with_the_reason(world, monkeypatch):
    machine = world.ec2.add("stopped", tags=owner_tags(ADA))
    monkeypatch.setattr(machine_module, "_LISTING_LAG_SECONDS", 0.0)

    def falls_over(machines):
        if world.ec2.machines[machine.id].state in ("pending", "running"):
            world.ec2.change(machine.id, state="stopped", state_reason="Server.InternalError: disk")
        return list(world.ec2.machines.values())

    world.ec2.shown = falls_over
    with pytest.raises(LaunchFailed, match=r"stops again.*Server\.InternalError: disk"):
        await world.start()
    assert world.ec2.count("start") == 3


async def test_listings_that_still_say_stopped_after_a_start_are_no_reason_to_start_again(world):
    machine = world.ec2.add("stopped", tags=owner_tags(ADA))
    await world.see()
    lagging = {"until": world.ec2.count("list") + 4}

    def lag(machines):
        if world.ec2.count("list") < lagging["until"]:
            return [machine]
        return machines

    world.ec2.shown = lag
    world.ec2.held.add(machine.id)
    starting = asyncio.ensure_future(world.start())
    await called(world.ec2, "start")
    world.ec2.change(machine.id, state="pending")
    while world.ec2.count("list") < lagging["until"] + 1:
        await asyncio.sleep(0.001)
    world.ec2.change(machine.id, state="running")
    assert (await starting).id == machine.id
    assert world.ec2.count("start") == 1


async def test_a_start_that_comes_too_early_for_ec2_is_repeated(world):
    machine = world.ec2.add("stopped", tags=owner_tags(ADA))
    world.ec2.failures["start"].append(WrongState("Busy.", action="StartInstances"))
    assert (await world.start()).id == machine.id
    assert world.ec2.count("start") == 2


async def test_a_start_without_capacity_says_so(world):
    world.ec2.add("stopped", tags=owner_tags(ADA))
    world.ec2.failures["start"].append(NoCapacity("No more.", action="StartInstances"))
    with pytest.raises(NoCapacity):
        await world.start()


# -- giving up


async def test_an_outage_leaves_no_claim_on_a_machine_without_tags(world):
    machine = world.ec2.add("stopped")
    await world.see()
    world.ec2.failures["list"].extend(EC2Unreachable("x", action="x") for _ in range(999))
    with pytest.raises(EC2Unreachable):
        await world.start(machine.id)
    world.machine.release()
    assert world.fleet.spares.claimed_by(ADA) == []


async def test_who_gives_up_leaves_a_spare(world):
    machine = await world.start()
    world.machine.release()
    assert world.fleet.owned_by(ADA) == []
    assert world.fleet.spares.is_free(world.fleet.view.get(machine.id))


async def test_a_machine_with_its_owners_tags_is_not_given_up(world):
    machine = await world.start()
    await world.fleet.tag([machine.id], owner_tags(ADA))
    world.machine.release()
    assert [own.id for own in world.fleet.owned_by(ADA)] == [machine.id]


async def test_giving_up_without_a_machine_changes_nothing(world):
    world.fleet.spares.claim("i-1", ADA)
    world.machine.release()
    assert world.fleet.spares.claimed_by(ADA) == ["i-1"]


async def test_a_start_cancelled_at_any_point_leaves_no_claim(world):
    for turns in range(1, 60, 3):
        machine = world.another()
        starting = asyncio.ensure_future(machine.answering(None))
        for _ in range(turns):
            await asyncio.sleep(0.001)
        starting.cancel()
        await asyncio.wait([starting])
        machine.release()
        await world.see()
        assert world.fleet.owned_by(ADA) == []


async def test_who_has_a_machine_does_not_need_the_ami(world):
    machine = world.ec2.add(home=True, tags=owner_tags(ADA))

    async def no_image():
        raise BadLaunch("The AMI is gone.", action="DescribeImages")

    world.plan = replace(world.plan, kinds=no_image)
    assert (await world.start(machine=world.another())).id == machine.id


async def test_a_home_in_another_zone_is_said_and_the_machine_is_not_made_theirs(world):
    home = world.ec2.add_disk(tags=owner_tags(ADA))
    world.ec2.disks[home.id] = replace(world.ec2.disks[home.id], zone="elsewhere")
    with pytest.raises(BadLaunch, match="are in zone elsewhere"):
        await world.start()
    world.machine.release()
    assert world.fleet.owned_by(ADA) == []
    assert world.ec2.count("tag") == 0


async def test_when_several_are_silent_nothing_is_done_to_anybodys_machine(world):
    machine = world.ec2.add(home=True, tags=owner_tags(ADA))
    world.deaf.add(machine.id)
    world.hearing.note(BOB, heard=False)
    with pytest.raises(MachineNotAnswering, match="neither do others"):
        await world.start()
    assert world.ec2.count("stop") == world.ec2.count("terminate") == 0
