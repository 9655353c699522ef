"""The home volume comes to the machine its owner works on."""

import asyncio
from dataclasses import replace

import pytest

from cloudjhub import home as home_module
from cloudjhub.errors import NotFound, TimedOut
from cloudjhub.home import home_volume_of
from cloudjhub.naming import MOVING_TAG, Owner, owner_tags
from cloudjhub.progress import StartReport, UsualTimes

ADA, BOB = Owner("ada"), Owner("bob")


@pytest.fixture(autouse=True)
def short_looks(monkeypatch):
    monkeypatch.setattr(home_module, "_LOOK_SECONDS", 0.01)


@pytest.fixture
async def report():
    return StartReport(UsualTimes())


@pytest.fixture
def home_of(fleet, report):
    async def find(machine, owner=ADA):
        await fleet.view.next_listing()
        await fleet.view.next_listing()
        return await asyncio.wait_for(home_volume_of(fleet, machine, owner, report), 60)

    return find


async def test_a_home_that_is_there_is_not_asked_after(ec2, home_of):
    machine = ec2.add(home=True, tags=owner_tags(ADA))
    assert await home_of(machine) == machine.home_volume_id
    assert ec2.count("list-volumes") == 0


async def test_without_a_home_volume_the_home_is_on_the_root_disk(ec2, home_of):
    ec2.add_disk(tags=owner_tags(BOB))
    ec2.add_disk()
    assert await home_of(ec2.add(tags=owner_tags(ADA))) is None
    assert ec2.count("attach") == 0


async def test_the_owners_free_home_is_attached(ec2, home_of):
    home, machine = ec2.add_disk(tags=owner_tags(ADA)), ec2.add(tags=owner_tags(ADA))
    assert await home_of(machine) == home.id
    assert ec2.made("attach") == [(home.id, machine.id, "/dev/sdf")]


async def test_the_mark_of_a_move_goes_though_a_listing_does_not_show_it_yet(ec2, home_of):
    home = ec2.add_disk(tags=owner_tags(ADA) | {MOVING_TAG: "a1"})
    listed, actual = ec2.volumes, ec2.disks[home.id]

    def lagging():
        volumes = listed()
        before = replace(actual, tags=owner_tags(ADA))
        return volumes if ec2.count("attach") else [before]

    ec2.volumes = lagging
    machine = ec2.add(tags=owner_tags(ADA))
    assert await home_of(machine) == home.id
    assert ec2.disks[home.id].attached_to == machine.id
    assert MOVING_TAG not in ec2.disks[home.id].tags


async def test_a_home_is_taken_from_a_machine_that_is_off(ec2, home_of):
    old = ec2.add("stopped", home=True, tags=owner_tags(ADA))
    machine = ec2.add(tags=owner_tags(ADA))
    assert await home_of(machine) == old.home_volume_id
    assert ec2.made("detach") == [(old.home_volume_id, old.id, "/dev/sdf")]
    assert ec2.disks[old.home_volume_id].attached_to == machine.id


async def test_a_home_is_waited_for_while_the_machine_that_holds_it_ends(ec2, home_of):
    old = ec2.add("shutting-down", home=True, tags=owner_tags(ADA))
    machine = ec2.add(tags=owner_tags(ADA))
    assert await home_of(machine) == old.home_volume_id
    assert ec2.count("detach") == 0


@pytest.mark.parametrize("state", ["running", "pending", "stopping"])
async def test_a_home_is_never_torn_from_a_machine_that_may_be_writing(
    ec2, home_of, monkeypatch, state
):
    monkeypatch.setattr(home_module, "_ATTACH_SECONDS", 0.2)
    old = ec2.add(state, home=True, tags=owner_tags(ADA))
    ec2.held.add(old.id)
    with pytest.raises(TimedOut, match=rf"{old.home_volume_id}, in-use, at {old.id}\) could not"):
        await home_of(ec2.add(tags=owner_tags(ADA)))
    assert ec2.count("detach") == ec2.count("attach") == 0


async def test_the_oldest_of_several_homes_is_the_home(ec2, home_of):
    ec2.add_disk(tags=owner_tags(ADA), age_seconds=10)
    old = ec2.add_disk(tags=owner_tags(ADA), age_seconds=1000)
    assert await home_of(ec2.add(tags=owner_tags(ADA))) == old.id


async def test_a_home_that_vanishes_meanwhile_is_an_error_and_not_a_new_home(
    ec2, home_of, monkeypatch
):
    home = ec2.add_disk(tags=owner_tags(ADA))
    monkeypatch.setattr(ec2, "attach", lambda *arguments: ec2.disks.clear())
    with pytest.raises(NotFound, match=home.id):
        await home_of(ec2.add(tags=owner_tags(ADA)))


async def test_connecting_files_is_told(ec2, home_of, report):
    ec2.add_disk(tags=owner_tags(ADA))
    await home_of(ec2.add(tags=owner_tags(ADA)))
    assert (await anext(report.events()))["message"].startswith("Connecting your files")
