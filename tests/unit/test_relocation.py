"""A home that moves into another zone: nothing double, nothing lost, whatever ends it half-way."""

import asyncio
from dataclasses import replace

import pytest
from unit import home_moves
from unit.home_moves import MOVE, Killed, moved_whole
from unit.worlds import ADA, TYPES, homes_asked_for

from cloudjhub import homes
from cloudjhub.errors import HomeHeldUp, NoCapacity
from cloudjhub.naming import owner_tags
from cloudjhub.relocation import Terms

hubs = home_moves.hubs


async def test_a_home_moves_where_there_is_a_machine(hubs):
    assert (await hubs.start(known_id=hubs.old_machine)).zone == "y"
    moved_whole(hubs)
    assert hubs.done == list(MOVE) and not hubs.ec2.copies
    said = [event["message"] for event in hubs.report._events]
    assert any("Your files go where there is a machine for you" in text for text in said)
    assert any("Copying your files to another zone" in text for text in said)


EACH_WRITE = pytest.mark.parametrize(
    "write", range(len(MOVE)), ids=[f"{n}-{name.replace(' ', '-')}" for n, name in enumerate(MOVE)]
)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@EACH_WRITE
async def test_killed_at_any_write_and_started_again_it_is_one_home_with_everything(
    hubs, write, after
):
    hubs.kill_at(write, after=after)
    with pytest.raises((Killed, asyncio.CancelledError)):
        await hubs.start(known_id=hubs.old_machine)
    assert hubs.done == list(MOVE[: write + after])
    assert hubs.content() == "thesis"
    assert len(hubs.up()) <= 1
    await hubs.start()
    moved_whole(hubs)
    assert not hubs.ec2.copies and len(hubs.volumes()) == 2


@EACH_WRITE
async def test_killed_at_any_write_the_zone_has_machines_again_and_what_is_written_counts(
    hubs, write
):
    """What was copied before is old then, and is never taken for the home."""
    hubs.kill_at(write, after=True)
    with pytest.raises((Killed, asyncio.CancelledError)):
        await hubs.start(known_id=hubs.old_machine)
    hubs.ec2.rooms = {}
    await hubs.start(Terms("ask"))
    assert hubs.content() == "thesis"
    (machine,) = hubs.up()
    assert hubs.the_home().attached_to == machine.id
    hubs.ec2.contents[hubs.the_home().id] = "thesis, finished"
    hubs.off()
    zone = hubs.the_home().zone
    hubs.ec2.rooms = {(each, zone): 0 for each in TYPES}
    await hubs.start()
    assert hubs.content() == "thesis, finished" and hubs.the_home().zone != zone
    (machine,) = hubs.owned()
    assert hubs.the_home().attached_to == machine.id
    assert not any(homes_asked_for(hubs.ec2))
    assert not hubs.ec2.copies
    assert not any(homes.is_on_its_way(volume.tags) for volume in hubs.volumes())


async def test_it_moves_back_and_forth(hubs):
    await hubs.start()
    hubs.off()
    hubs.ec2.rooms = {(each, "y"): 0 for each in TYPES}
    assert (await hubs.start()).zone == "z"
    assert hubs.content() == "thesis" and hubs.the_home().zone == "z"
    assert len(hubs.volumes()) == 3 and not hubs.ec2.copies


async def test_without_a_machine_the_home_moves_too(hubs):
    hubs.ec2.change(hubs.old_machine, state="terminated")
    hubs.ec2.disks[hubs.old_home] = replace(
        hubs.ec2.disks[hubs.old_home], state="available", attached_to=None
    )
    assert (await hubs.start()).zone == "y"
    moved_whole(hubs)


# -- whether it moves


async def test_asked_for_it_says_so_and_nothing_has_happened(hubs):
    with pytest.raises(HomeHeldUp, match=r"in zone z just now\. Your files are there") as refused:
        await hubs.start(Terms("ask"))
    assert "moved to y" in refused.value.remedy
    assert len(hubs.volumes()) == 1 and list(hubs.ec2.machines) == [hubs.old_machine]
    assert (await hubs.start(Terms("ask", agreed=True))).zone == "y"
    moved_whole(hubs)


async def test_what_was_agreed_to_goes_on_without_being_asked_again(hubs):
    hubs.kill_at(MOVE.index("create_volume"))
    with pytest.raises(Killed):
        await hubs.start(Terms("ask", agreed=True))
    assert (await hubs.start(Terms("ask"))).zone == "y"
    moved_whole(hubs)
    hubs.off()
    hubs.ec2.rooms = {(each, "y"): 0 for each in TYPES}
    with pytest.raises(HomeHeldUp):
        await hubs.start(Terms("ask"))


async def test_never_is_never(hubs):
    with pytest.raises(NoCapacity) as refused:
        await hubs.start(Terms("never", agreed=True))
    assert not isinstance(refused.value, HomeHeldUp)
    assert "MOVE_HOMES" in refused.value.remedy
    assert len(hubs.volumes()) == 1


async def test_where_no_zone_has_anything_nothing_moves(hubs):
    hubs.ec2.rooms = {(each, zone): 0 for each in TYPES for zone in "zy"}
    with pytest.raises(NoCapacity, match="in zone y just now"):
        await hubs.start()
    assert list(hubs.ec2.machines) == [hubs.old_machine]
    assert hubs.ec2.disks[hubs.old_home].attached_to == hubs.old_machine


async def test_a_machine_whose_disk_is_not_the_home_is_no_case_for_a_move(hubs):
    hubs.ec2.disks[hubs.old_home] = replace(hubs.ec2.disks[hubs.old_home], tags={})
    hubs.ec2.add_disk(tags=owner_tags(ADA))
    with pytest.raises(NoCapacity):
        await hubs.start()
    assert list(hubs.ec2.machines) == [hubs.old_machine]
