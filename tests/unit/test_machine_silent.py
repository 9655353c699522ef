"""Machines that EC2 calls running and that do not answer: switched off and on, or replaced."""

import asyncio

import pytest
from unit.fake_ec2 import called
from unit.worlds import ADA, BOB, homes_asked_for

from cloudjhub.ec2_values import Instance
from cloudjhub.errors import (
    MachineNotAnswering,
    NotPermitted,
)
from cloudjhub.naming import RETIRED_TAG, Owner, owner_tags, retired_from


def doomed(world) -> list[Instance]:
    """The machines that the upkeep removes in its next round, however young they are."""
    return world.fleet.spares.expired(world.fleet.view.all(), older_than_seconds=3600)


# -- hung machines


async def test_a_hung_machine_is_switched_off_and_on(world):
    machine = world.ec2.add(home=True, tags=owner_tags(ADA))
    world.deaf.add(machine.id)
    starting = asyncio.ensure_future(world.start())
    await called(world.ec2, "start")
    world.deaf.clear()
    assert (await starting).id == machine.id
    assert world.ec2.made("force-stop") == [([machine.id],)]
    assert world.ec2.count("run") == world.ec2.count("detach") == 0


async def test_a_machine_that_stays_silent_is_set_aside_and_its_home_goes_to_another(world):
    machine = world.ec2.add(home=True, tags=owner_tags(ADA))
    world.deaf.add(machine.id)
    other = await world.start()
    assert other.id != machine.id
    assert homes_asked_for(world.ec2) == [False]
    # The home is taken from it when the other one asks for it: see test_home.
    assert world.ec2.count("detach") == 0
    aside = world.ec2.machines[machine.id]
    assert aside.state == "stopped"
    assert aside.tags[RETIRED_TAG] == retired_from(ADA)
    assert "cloudjhub:user" not in aside.tags
    assert [home.id for home in await world.fleet.homes_of(ADA)] == [machine.home_volume_id]
    assert [own.id for own in world.fleet.owned_by(ADA)] == [other.id]


async def test_a_silent_machine_that_holds_the_files_is_not_replaced(world):
    machine = world.ec2.add(tags=owner_tags(ADA))
    world.deaf.add(machine.id)
    with pytest.raises(MachineNotAnswering, match=machine.id):
        await world.start()
    assert world.ec2.count("run") == world.ec2.count("terminate") == 0
    assert world.ec2.machines[machine.id].tags.items() >= owner_tags(ADA).items()


async def test_when_the_replacement_stays_silent_too_the_user_is_told(world):
    own = world.ec2.add(home=True, tags=owner_tags(ADA))
    world.all_deaf = True
    with pytest.raises(MachineNotAnswering, match="Two new machines in a row"):
        await world.start()
    assert homes_asked_for(world.ec2) == [False, False]
    assert world.ec2.machines[own.id].state == "stopped"
    assert own not in doomed(world)
    assert world.ec2.count("delete-volume") == 0


async def test_a_replacement_that_failed_half_way_is_taken_up_again(world):
    machine = world.ec2.add(home=True, tags=owner_tags(ADA))
    world.deaf.add(machine.id)
    world.ec2.failures["tag"].append(NotPermitted("No.", action="CreateTags", code="X"))
    with pytest.raises(NotPermitted):
        await world.start()
    assert world.ec2.disks[machine.home_volume_id].attached_to == machine.id
    other = await world.start(machine.id, world.another())
    assert other.id != machine.id
    assert world.ec2.machines[machine.id].state == "stopped"
    assert world.ec2.count("terminate") == 0


async def test_a_machine_that_is_half_retired_is_nobodys(world):
    machine = world.ec2.add(home=True, tags=owner_tags(ADA))
    world.deaf.add(machine.id)
    world.ec2.failures["untag"].append(NotPermitted("No.", action="DeleteTags", code="X"))
    with pytest.raises(NotPermitted):
        await world.start()
    assert world.fleet.owned_by(ADA) == []
    assert (await world.start(machine.id, world.another())).id != machine.id


async def test_the_tag_of_a_retired_machine_is_valid_for_any_name(world):
    owner = Owner("ada\ud800*\n")
    machine = world.ec2.add(home=True, tags=owner_tags(owner))
    world.deaf.add(machine.id)
    await world.start(machine=world.another(owner))
    assert world.ec2.machines[machine.id].tags[RETIRED_TAG] == retired_from(owner)


async def test_a_hung_machine_that_vanishes_before_it_is_switched_off_is_replaced(
    world, monkeypatch
):
    machine = world.ec2.add(home=True, tags=owner_tags(ADA))
    world.deaf.add(machine.id)
    await world.see()
    stop = world.ec2.stop

    def vanish(ids, *, force=False):
        world.ec2.machines.pop(machine.id, None)
        return stop(ids, force=force)

    monkeypatch.setattr(world.ec2, "stop", vanish)
    assert (await world.start()).id != machine.id


async def test_a_machine_stuck_in_pending_is_switched_off_once_ec2_allows(world):
    machine = world.ec2.add("pending", home=True, tags=owner_tags(ADA))
    world.ec2.held.add(machine.id)
    world.deaf.add(machine.id)
    starting = asyncio.ensure_future(world.start())
    await called(world.ec2, "force-stop")
    world.ec2.change(machine.id, state="running")  # just after the refused stop
    await asyncio.wait_for(called(world.ec2, "force-stop", times=2), 60)
    world.ec2.held.clear()
    world.deaf.clear()
    assert (await starting).id == machine.id
    assert world.ec2.count("start") == 1


async def test_a_hung_machine_that_lost_its_tags_is_switched_off_and_on_as_any_other(world):
    machine = world.ec2.add(home=True)
    world.deaf.add(machine.id)
    starting = asyncio.ensure_future(world.start(machine.id))
    await called(world.ec2, "start")
    world.deaf.clear()
    assert (await starting).id == machine.id
    assert doomed(world) == []


# -- new machines that never answer


async def test_a_new_machine_that_never_answers_is_removed_and_another_one_comes(world):
    world.deaf.add("i-00000001")
    machine = await world.start()
    assert [each.id for each in doomed(world)] == ["i-00000001"]
    assert machine.id != "i-00000001"
    assert [own.id for own in world.fleet.owned_by(ADA)] == [machine.id]
    assert "you get another one" in str(world.report._events)


async def test_two_new_machines_in_a_row_that_never_answer_are_an_error(world):
    world.all_deaf = True
    with pytest.raises(MachineNotAnswering, match="Two new machines in a row"):
        await world.start()
    assert world.ec2.count("run") == 2
    assert {each.id for each in doomed(world)} == set(world.ec2.machines)
    assert world.fleet.owned_by(ADA) == []


async def test_a_silent_spare_is_not_handed_to_the_next_user(world):
    world.all_deaf = True
    with pytest.raises(MachineNotAnswering):
        await world.start()
    world.machine.release()
    world.all_deaf, silent = False, set(world.ec2.machines)
    machine = await world.start(machine=world.another(BOB))
    assert machine.id not in silent
