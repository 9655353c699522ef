"""From whatever state a user's machine is in to one that answers."""

import pytest
from unit.worlds import ADA, BOB, homes_asked_for

from cloudjhub.errors import (
    EC2Unreachable,
)
from cloudjhub.naming import Owner, owner_tags

# -- each state


async def test_without_a_machine_one_is_launched_with_a_home(world):
    machine = await world.start()
    assert homes_asked_for(world.ec2) == [True]
    assert [own.id for own in world.fleet.owned_by(ADA)] == [machine.id]
    assert world.ec2.count("start") == 0


async def test_without_a_machine_a_home_that_exists_is_not_made_twice(world):
    world.ec2.add_disk(tags=owner_tags(ADA))
    await world.start()
    assert homes_asked_for(world.ec2) == [False]


@pytest.mark.parametrize("state", ["pending", "running"])
async def test_a_machine_that_is_up_is_waited_for_and_not_touched(world, state):
    machine = world.ec2.add(state, tags=owner_tags(ADA))
    assert (await world.start()).id == machine.id
    assert {call[0] for call in world.ec2.calls} == {"list"}


async def test_a_stopped_machine_is_started(world):
    machine = world.ec2.add("stopped", tags=owner_tags(ADA))
    assert (await world.start()).id == machine.id
    assert world.ec2.made("start") == [([machine.id],)]
    assert world.ec2.count("run") == 0


async def test_a_machine_that_is_shutting_down_is_started_when_it_has(world):
    machine = world.ec2.add("stopping", tags=owner_tags(ADA))
    assert (await world.start()).id == machine.id
    assert world.ec2.made("start") == [([machine.id],)]


@pytest.mark.parametrize("state", ["shutting-down", "terminated"])
async def test_a_machine_that_ended_is_replaced_and_the_home_is_kept(world, state):
    machine = world.ec2.add(state, home=True, tags=owner_tags(ADA))
    assert (await world.start(known_id=machine.id)).id != machine.id
    assert homes_asked_for(world.ec2) == [False]


async def test_a_machine_ec2_knows_no_more_is_replaced(world):
    await world.start(known_id="i-ffffffff")
    assert world.ec2.count("run") == 1


async def test_starting_again_is_the_same_machine(world):
    first = await world.start()
    world.fleet.view.tell_tags(first.id, owner_tags(ADA))
    again = await world.start(first.id, world.another())
    assert again.id == first.id
    assert world.ec2.count("run") == 1


# -- which machine


async def test_the_hubs_state_decides_between_several(world, caplog):
    world.ec2.add(tags=owner_tags(ADA), age_seconds=1000)
    known = world.ec2.add(tags=owner_tags(ADA))
    assert (await world.start(known.id)).id == known.id
    assert "owns several machines" in caplog.text


async def test_without_the_hubs_state_the_oldest_is_the_one(world):
    world.ec2.add(tags=owner_tags(ADA))
    oldest = world.ec2.add(tags=owner_tags(ADA), age_seconds=1000)
    assert (await world.start()).id == oldest.id


async def test_a_machine_that_is_someone_elses_by_now_is_not_used(world):
    machine = world.ec2.add(tags=owner_tags(BOB))
    assert (await world.start(known_id=machine.id)).id != machine.id


async def test_a_machine_that_lost_its_tags_is_found_by_the_hubs_state(world):
    machine = world.ec2.add()
    assert (await world.start(known_id=machine.id)).id == machine.id


async def test_another_server_of_the_same_user_has_its_own_machine(world):
    default = await world.start()
    named = world.another(Owner("ada", "gpu"))
    assert (await world.start(machine=named)).id != default.id


# -- EC2 that cannot be asked


def outage(ec2, action="list", count=10_000):
    ec2.failures[action].extend(EC2Unreachable("Gone.", action=action) for _ in range(count))


async def test_while_ec2_is_away_a_machine_last_seen_running_is_used(world):
    machine = world.ec2.add(tags=owner_tags(ADA))
    await world.see()
    outage(world.ec2)
    assert (await world.start()).id == machine.id


@pytest.mark.parametrize("state", [None, "stopped"])
async def test_while_ec2_is_away_nothing_else_is_guessed(world, state):
    if state:
        world.ec2.add(state, tags=owner_tags(ADA))
    await world.see()
    outage(world.ec2)
    with pytest.raises(EC2Unreachable):
        await world.start()
    assert world.ec2.count("run") == world.ec2.count("start") == 0
