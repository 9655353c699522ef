"""The hourly looks of a sweep at what nobody owns."""

from datetime import timedelta

import pytest
from unit.sweeps import SweptWorld
from unit.things import disk

from cloudjhub.account.inventory import Inventory
from cloudjhub.errors import EC2Unreachable, NotPermitted


def blank(world):
    return Inventory("class", disks=(disk(created_at=world.now - timedelta(days=9)),))


async def test_leftovers_are_looked_for_once_an_hour_and_removed_in_the_second_look():
    world = SweptWorld(SWEEP="remove")
    world.found = blank(world)
    report = await world.round()
    assert [each.step for each in report.leftovers] == [""]
    for _ in range(59):
        report = await world.round()
        assert not world.done and len(report.leftovers) == 1
    report = await world.round()
    assert world.done == [("remove", "vol-1")]
    assert [(each.step, each.outcome) for each in report.leftovers] == [("remove", "done")]


@pytest.mark.parametrize("mode", ["report", "stop"])
async def test_leftovers_are_only_listed_unless_told_otherwise(mode):
    world = SweptWorld(SWEEP=mode)
    world.found = blank(world)
    for _ in range(3):
        report = await world.round(after=3600)
        assert [(each.id, each.step) for each in report.leftovers] == [("vol-1", "")]
    assert not world.done


async def test_leftovers_that_could_not_all_be_read_are_left_alone_and_machines_are_not():
    world = SweptWorld(SWEEP="remove", SWEEP_GRACE_SECONDS=60)
    world.machine("ada")
    world.found = blank(world)
    await world.round()
    world.failures["inventory"] = NotPermitted("No.", action="DescribeAddresses")
    report = await world.round(after=3600)
    assert "DescribeAddresses" in report.leftovers_unreadable and not report.leftovers
    assert [done[0] for done in world.done] == ["i-ada"]
    world.failures.clear()
    world.listed.clear()
    await world.round(after=3600)  # seen anew
    assert len(world.done) == 1
    await world.round(after=3600)
    assert world.done[1] == ("remove", "vol-1")


async def test_leftovers_that_could_not_be_read_are_looked_for_in_the_next_round():
    world = SweptWorld(SWEEP="remove")
    world.found = blank(world)
    world.failures["inventory"] = EC2Unreachable("Silence.", action="DescribeVolumes")
    assert (await world.round()).leftovers_at is None
    world.failures.clear()
    report = await world.round()
    assert report.leftovers_at == world.now and [each.id for each in report.leftovers] == ["vol-1"]
    assert not (await world.round()).leftovers_unreadable and not world.done


async def test_what_was_done_is_remembered_once_each():
    world = SweptWorld(SWEEP="remove", SWEEP_GRACE_SECONDS=60)
    world.found = blank(world)
    world.machine("ada")
    await world.round()
    await world.round()
    world.listed.clear()
    world.failures["machines"] = EC2Unreachable("Silence.", action="DescribeInstances")
    await world.round(after=3600)
    world.failures.clear()
    report = await world.round()
    assert [(each.finding.id, each.finding.outcome) for each in report.deeds] == [
        ("vol-1", "done"),
        ("i-ada", "done"),
    ]
    assert report.deeds[0].at > report.deeds[1].at


async def test_what_cannot_be_removed_is_said_and_the_rest_goes():
    world = SweptWorld(SWEEP="remove")
    world.found = blank(world)
    world.failures["remove"] = NotPermitted("No.", action="DeleteVolume")
    await world.round()
    report = await world.round(after=3600)
    assert "DeleteVolume" in report.leftovers[0].outcome
    assert report.counts() == {("volume", "remove", "refused"): 1}


async def test_homes_are_listed_by_a_hub_that_names_its_users_and_stay():
    world = SweptWorld(SWEEP="remove")
    tags = {"cloudjhub:user": "ada", "cloudjhub:server": ""}
    old = world.now - timedelta(days=9)
    world.found = Inventory("class", disks=(disk(tags, created_at=old),))
    world.users = None
    report = await world.round()
    assert "did not name its users" in report.leftovers_unreadable and not report.leftovers
    world.users = ["bob"]
    for _ in range(2):
        report = await world.round(after=3600)
        assert [(each.whose, each.step) for each in report.leftovers] == [("ada", "")]
    assert not world.done
    world.users = ["ada", "bob"]
    assert not (await world.round(after=3600)).leftovers
