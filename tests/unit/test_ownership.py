"""A machine becomes someone's, is stopped, and ends."""

import asyncio
from dataclasses import replace

import pytest
from unit.fake_ec2 import called

from cloudjhub import machine_end, ownership
from cloudjhub.errors import EC2Error, TimedOut, WrongState
from cloudjhub.launch_spec import launch_spec
from cloudjhub.naming import HOST_KEY_TAG, RETIRED_TAG, Owner, owner_tags, retired_from
from cloudjhub.ownership import make_mine

ADA, BOB = Owner("ada"), Owner("bob", "gpu")
KEY = "SHA256:abc"


async def ada_s(fleet, machine, *, born_with_home=True):
    return await make_mine(fleet, ADA, machine, fingerprint=KEY, born_with_home=born_with_home)


# -- make_mine


async def test_machine_and_home_get_owner_and_host_key_in_one_call(fleet, ec2, spec):
    machine = await fleet.launch(spec, ADA)
    mine = await ada_s(fleet, machine)
    ((resources, tags),) = ec2.made("tag")
    assert resources == [machine.id, mine.home_volume_id]
    assert tags == {**owner_tags(ADA), "Name": "class-ada", HOST_KEY_TAG: KEY}
    assert mine.tags.items() >= tags.items()
    assert [home.id for home in await fleet.homes_of(ADA)] == [mine.home_volume_id]


async def test_the_root_disk_gets_no_owner(fleet, ec2, spec):
    machine = await fleet.launch(spec, ADA)
    root = ec2.add_disk(attached_to=machine.id)
    await ada_s(fleet, machine)
    assert "cloudjhub:user" not in ec2.disks[root.id].tags


async def test_a_machine_born_without_a_home_is_tagged_alone_and_at_once(fleet, ec2, config, image):
    machine = await fleet.launch(launch_spec(config, image, with_home=False), ADA)
    await ada_s(fleet, machine, born_with_home=False)
    assert [resources for resources, _ in ec2.made("tag")] == [[machine.id]]


async def test_a_home_that_is_not_listed_in_time_is_not_left_untagged(
    fleet, ec2, spec, monkeypatch
):
    monkeypatch.setattr(ownership, "_HOME_LISTED_SECONDS", 0.05)
    ec2.shown = lambda machines: []
    machine = await fleet.launch(spec, ADA)
    with pytest.raises(TimedOut, match=f"the home volume of {machine.id}"):
        await ada_s(fleet, machine)
    assert ec2.count("tag") == 0


async def test_what_is_tagged_already_is_not_tagged_again(fleet, ec2, spec):
    machine = await fleet.launch(spec, ADA)
    mine = await ada_s(fleet, machine)
    again = await ada_s(fleet, mine)
    assert again.tags == mine.tags
    assert ec2.count("tag") == 1


async def test_a_host_key_whose_tag_was_removed_is_written_again(fleet, ec2, look):
    machine = ec2.add(tags=owner_tags(ADA))
    await look()
    await ada_s(fleet, machine)
    assert ec2.made("tag") == [([machine.id], {HOST_KEY_TAG: KEY})]


# -- stop


@pytest.mark.parametrize("state", ["stopping", "stopped", "shutting-down", "terminated"])
async def test_a_machine_that_is_off_is_left_alone(fleet, ec2, state):
    await machine_end.stop(fleet, ec2.add(state), patience_seconds=60)
    assert ec2.count("stop") == 0


async def test_a_running_machine_is_stopped(fleet, ec2, look):
    machine = ec2.add()
    await look()
    await machine_end.stop(fleet, machine, patience_seconds=60)
    assert ec2.made("stop") == [([machine.id],)]


async def test_a_booting_machine_is_stopped_as_soon_as_ec2_allows(fleet, ec2, look):
    machine = ec2.add("pending")
    ec2.held.add(machine.id)
    await look()
    stopping = asyncio.ensure_future(machine_end.stop(fleet, machine, patience_seconds=60))
    await called(ec2, "stop", times=2)
    assert not stopping.done()
    ec2.change(machine.id, state="running")
    await asyncio.wait_for(stopping, 60)
    assert ec2.machines[machine.id].state == "stopping"


async def test_a_machine_that_cannot_be_stopped_in_time_is_an_error(fleet, ec2, look):
    machine = ec2.add("pending")
    ec2.held.add(machine.id)
    await look()
    with pytest.raises(WrongState):
        await machine_end.stop(fleet, machine, patience_seconds=0.05)


async def test_a_machine_ec2_knows_no_more_is_off(fleet, ec2):
    machine = ec2.add()
    del ec2.machines[machine.id]
    await machine_end.stop(fleet, machine, patience_seconds=60)
    assert ec2.count("stop") == 1


async def test_a_booting_machine_that_ends_meanwhile_is_off(fleet, ec2, look):
    machine = ec2.add("pending")
    ec2.held.add(machine.id)
    await look()
    stopping = asyncio.ensure_future(machine_end.stop(fleet, machine, patience_seconds=60))
    await called(ec2, "stop")
    ec2.change(machine.id, state="terminated")
    await asyncio.wait_for(stopping, 60)


# -- the end


async def test_machine_and_home_of_the_owner_go_and_nobody_elses(fleet, ec2, hurry, look):
    hurry(machine_end)
    ec2.add(home=True, tags=owner_tags(ADA))
    other = ec2.add(home=True, tags=owner_tags(BOB))
    free = ec2.add_disk()
    await look()
    await asyncio.wait_for(machine_end.remove_for_ever(fleet, ADA), 60)
    assert set(ec2.disks) == {other.home_volume_id, free.id}
    assert ec2.machines[other.id].state == "running"
    await machine_end.remove_for_ever(fleet, ADA)
    assert ec2.count("terminate") == 1


async def test_a_named_servers_end_leaves_the_users_other_machines(fleet, ec2, hurry, look):
    hurry(machine_end)
    default = ec2.add(home=True, tags=owner_tags(Owner("bob")))
    ec2.add(home=True, tags=owner_tags(BOB))
    await look()
    await asyncio.wait_for(machine_end.remove_for_ever(fleet, BOB), 60)
    assert list(ec2.disks) == [default.home_volume_id]


async def test_a_home_that_stays_attached_is_an_error_that_names_it(
    fleet, ec2, hurry, monkeypatch, look
):
    hurry(machine_end)
    monkeypatch.setattr(machine_end, "_DETACH_SECONDS", 0.05)
    machine = ec2.add(home=True, tags=owner_tags(ADA))
    ec2.held.add(machine.id)
    await look()
    with pytest.raises(TimedOut, match=machine.home_volume_id):
        await machine_end.remove_for_ever(fleet, ADA)
    assert machine.home_volume_id in ec2.disks


async def test_a_machine_that_cannot_be_terminated_keeps_its_home(fleet, ec2, look):
    machine = ec2.add(home=True, tags=owner_tags(ADA))
    await look()
    ec2.failures["terminate"].append(EC2Error("No.", action="TerminateInstances", code="X"))
    with pytest.raises(EC2Error):
        await machine_end.remove_for_ever(fleet, ADA)
    assert machine.home_volume_id in ec2.disks


async def test_a_stop_catches_a_start_that_its_user_gave_up(fleet, ec2, gate, look):
    machine = ec2.add("stopped", tags=owner_tags(ADA))
    await look()
    answer = gate("start")
    starting = asyncio.ensure_future(fleet.start(machine.id))
    await called(ec2, "start")
    starting.cancel()
    stopping = asyncio.ensure_future(machine_end.stop(fleet, machine, patience_seconds=60))
    await fleet.view.next_listing()
    answer.set()
    await asyncio.wait_for(stopping, 60)
    assert ec2.made("stop") == [([machine.id],)]


async def test_removing_for_ever_takes_machines_that_were_set_aside(fleet, ec2, look):
    aside = ec2.add("stopped", home=True, tags={RETIRED_TAG: retired_from(ADA)})
    other = ec2.add("stopped", tags={RETIRED_TAG: retired_from(BOB)})
    ec2.disks[aside.home_volume_id] = replace(
        ec2.disks[aside.home_volume_id], tags={**aside.tags, **owner_tags(ADA)}
    )
    await look()
    await asyncio.wait_for(machine_end.remove_for_ever(fleet, ADA), 60)
    assert ec2.made("terminate") == [([aside.id],)]
    assert await fleet.homes_of(ADA) == []
    assert other.id in ec2.machines
