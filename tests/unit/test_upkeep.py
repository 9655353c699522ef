"""What the fleet tidies by itself. Rounds are the test's: the upkeep's own come every 10 s."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from unit.fake_ec2 import called

from cloudjhub.errors import EC2Error, WrongState
from cloudjhub.fleet.upkeep import Upkeep
from cloudjhub.naming import HOST_KEY_TAG, RETIRED_TAG, Owner, owner_tags

SPARE_SECONDS = 60
ADA = Owner("ada")


@pytest.fixture
async def upkeep(fleet):
    upkeep = Upkeep(fleet, lambda: SPARE_SECONDS)
    await upkeep.aclose()  # rounds still work, they do not come by themselves
    return upkeep


def hold_all(ec2):
    ec2.held |= set(ec2.machines)


def refused(action):
    return EC2Error("No.", action=action, code="Whatever")


# -- spares


async def test_a_spare_nobody_took_is_terminated_and_others_are_not(upkeep, ec2, look):
    old = ec2.add(age_seconds=100)
    ec2.add(age_seconds=10)
    ec2.add(age_seconds=100, tags=owner_tags(ADA))
    ec2.add(age_seconds=100, tags={RETIRED_TAG: "ada"})
    await look()
    await upkeep.round()
    await upkeep.round()
    assert ec2.made("terminate") == [([old.id],)]


async def test_a_claimed_machine_is_not_taken_away(upkeep, fleet, ec2, look):
    machine = ec2.add(age_seconds=100)
    fleet.spares.claim(machine.id, ADA)
    await look()
    await upkeep.round()
    assert ec2.count("terminate") == 0


async def test_a_spare_whose_removal_failed_is_removed_in_the_next_round(upkeep, ec2, look, caplog):
    machine = ec2.add(age_seconds=100)
    ec2.failures["terminate"].append(refused("TerminateInstances"))
    await look()
    await upkeep.round()
    assert ec2.machines[machine.id].state == "running"
    assert "is removed in a later round" in caplog.text
    await upkeep.round()
    assert ec2.made("terminate") == [([machine.id],)] * 2
    assert ec2.machines[machine.id].state in ("shutting-down", "terminated")


async def test_a_condemned_machine_goes_in_the_next_round(upkeep, fleet, ec2, look):
    machine = ec2.add()
    fleet.spares.condemn(machine.id)
    ec2.failures["terminate"].append(refused("TerminateInstances"))
    await look()
    await upkeep.round()
    await upkeep.round()
    assert ec2.made("terminate") == [([machine.id],)] * 2


async def test_one_removal_that_failed_does_not_keep_other_spares(upkeep, ec2, look):
    ec2.add(age_seconds=100), ec2.add(age_seconds=100)
    ec2.failures["terminate"].append(refused("TerminateInstances"))
    await look()
    for _ in range(2):
        await upkeep.round()
    assert {each.state for each in ec2.machines.values()} <= {"shutting-down", "terminated"}


async def test_a_machine_that_cannot_be_stopped_does_not_keep_spares_alive(upkeep, ec2, look):
    stuck, spare = ec2.add(tags=owner_tags(ADA)), ec2.add(age_seconds=100)
    ec2.failures["stop"].extend(WrongState("Busy.", action="StopInstances") for _ in range(50))
    await look()
    upkeep.stop_later(stuck.id)
    for _ in range(3):
        await upkeep.round()
    assert ec2.made("terminate") == [([spare.id],)]
    assert ec2.count("stop") == 3


# -- blank volumes


async def test_the_blank_home_of_a_removed_spare_goes_with_it(upkeep, ec2, look):
    ec2.add(home=True, age_seconds=100)
    await look()
    (home,) = ec2.disks
    for _ in range(4):
        await upkeep.round()
        await look()
    assert ec2.disks == {}
    assert ec2.made("delete-volume") == [(home,)]


async def test_the_blank_home_of_a_launch_that_died_is_deleted(upkeep, fleet, ec2, spec, look):
    await upkeep.round()  # the hub's first look: nothing is left
    machine = await fleet.launch(spec, ADA)
    await look()
    ec2._enter(machine.id, "terminated")
    fleet.spares.release(machine.id)
    (home,) = ec2.disks.values()
    ec2.disks[home.id] = replace(home, created_at=home.created_at - timedelta(hours=1))
    for _ in range(3):
        await look()
        await upkeep.round()
    assert ec2.disks == {}


async def test_a_volume_that_is_still_attached_stays(upkeep, ec2, look):
    machine = ec2.add(home=True, age_seconds=100)
    ec2.held.add(machine.id)
    await look()
    await upkeep.round()
    await look()
    assert ec2.machines[machine.id].state == "shutting-down"
    await upkeep.round()
    assert ec2.count("delete-volume") == 0


@pytest.mark.parametrize(
    "volume",
    [
        {"age_seconds": 100, "tags": owner_tags(ADA)},
        {"age_seconds": 10},
    ],
    ids=["owned", "young"],
)
async def test_a_free_volume_that_had_an_owner_or_is_new_is_never_deleted(upkeep, ec2, volume):
    ec2.add_disk(**volume)
    await upkeep.round()
    await upkeep.round()
    assert ec2.count("delete-volume") == 0


async def test_the_home_of_a_terminated_owned_machine_stays(upkeep, fleet, ec2, look):
    machine = ec2.add(home=True, age_seconds=100, tags=owner_tags(ADA))
    await fleet.terminate(machine.id)
    for _ in range(3):
        await look()
        await upkeep.round()
    assert [disk.state for disk in ec2.disks.values()] == ["available"]
    assert ec2.count("delete-volume") == 0


async def test_a_new_hub_deletes_what_an_earlier_one_left_behind(upkeep, ec2):
    left = ec2.add_disk(age_seconds=100)
    await upkeep.round()
    assert ec2.made("delete-volume") == [(left.id,)]


async def test_one_volume_that_cannot_be_deleted_does_not_keep_the_others(upkeep, ec2):
    first, second = ec2.add_disk(age_seconds=100), ec2.add_disk(age_seconds=100)
    ec2.failures["delete-volume"].append(refused("DeleteVolume"))
    await upkeep.round()
    assert list(ec2.disks) == [first.id]
    assert ec2.made("delete-volume") == [(first.id,), (second.id,)]
    await upkeep.round()
    assert ec2.disks == {}


async def test_a_volume_of_another_cluster_is_not_touched(upkeep, ec2):
    ec2.add_disk(age_seconds=100, tags={"cloudjhub:cluster": "other"})
    with pytest.raises(ValueError):
        await upkeep.round()
    assert ec2.count("delete-volume") == 0


async def test_without_anything_left_behind_volumes_are_not_looked_through(upkeep, ec2, look):
    ec2.add(home=True)
    await look()
    for _ in range(5):
        await upkeep.round()
    assert ec2.count("list-volumes") == 1


# -- stops that are due


async def test_a_stop_that_failed_is_made_up_for(upkeep, ec2, look):
    machine = ec2.add(tags=owner_tags(ADA))
    hold_all(ec2)
    await look()
    upkeep.stop_later(machine.id)
    ec2.failures["stop"].append(WrongState("Busy.", action="StopInstances"))
    await upkeep.round()
    assert ec2.machines[machine.id].state == "running"
    await upkeep.round()
    assert ec2.machines[machine.id].state == "stopping"
    await look()
    await upkeep.round()
    await upkeep.round()
    assert ec2.count("stop") == 2


async def test_what_was_stopped_and_is_started_before_the_next_round_runs_on(upkeep, ec2, look):
    machine = ec2.add(tags=owner_tags(ADA))
    hold_all(ec2)
    await look()
    upkeep.stop_later(machine.id)
    await upkeep.round()
    assert ec2.machines[machine.id].state == "stopping"
    ec2.change(machine.id, state="running")
    await look()
    await upkeep.round()
    assert ec2.machines[machine.id].state == "running" and ec2.count("stop") == 1


async def test_a_machine_that_still_boots_is_stopped_when_it_runs(upkeep, ec2, look):
    machine = ec2.add("pending", tags=owner_tags(ADA))
    hold_all(ec2)
    await look()
    upkeep.stop_later(machine.id)
    await upkeep.round()
    assert ec2.count("stop") == 0
    ec2.change(machine.id, state="running")
    await look()
    await upkeep.round()
    assert ec2.made("stop") == [([machine.id],)]


async def test_a_machine_its_user_wants_again_is_not_stopped(upkeep, ec2, look):
    machine = ec2.add(tags=owner_tags(ADA))
    await look()
    upkeep.stop_later(machine.id)
    upkeep.wanted(machine.id)
    upkeep.wanted("i-ffffffff")
    await upkeep.round()
    assert ec2.count("stop") == 0


@pytest.mark.parametrize("state", ["stopping", "stopped", "terminated"])
async def test_what_is_off_already_is_forgotten(upkeep, ec2, look, state):
    machine = ec2.add(state, tags=owner_tags(ADA))
    hold_all(ec2)
    await look()
    upkeep.stop_later(machine.id)
    await upkeep.round()
    ec2.change(machine.id, state="running")
    await look()
    await upkeep.round()
    assert ec2.count("stop") == 0


# -- by itself


async def test_rounds_come_by_themselves_and_go_on_after_failures(
    fleet, ec2, monkeypatch, caplog, look
):
    monkeypatch.setattr("cloudjhub.fleet.upkeep._ROUND_SECONDS", 0.02)
    monkeypatch.setattr("cloudjhub.fleet.view._LONGEST_LISTING_SECONDS", 0.5)
    machine = ec2.add(age_seconds=100)
    ec2.failures["terminate"].extend([refused("TerminateInstances"), RuntimeError("surprise")])
    ec2.failures["list-volumes"].append(RuntimeError("surprise"))
    await look()
    upkeep = Upkeep(fleet, lambda: SPARE_SECONDS)
    try:
        with fleet.view.watching():
            while ec2.machines[machine.id].state == "running" and len(caplog.records) < 3:
                await asyncio.sleep(0.005)
    finally:
        await upkeep.aclose()
    assert "goes on in the next round" in caplog.text
    rounds = ec2.count("terminate")
    await look()
    assert ec2.count("terminate") == rounds


async def test_nothing_is_removed_while_the_view_is_old(fleet, ec2, monkeypatch, look):
    monkeypatch.setattr("cloudjhub.fleet.upkeep._ROUND_SECONDS", 0.0)
    ec2.add(age_seconds=100)
    await look()
    upkeep = Upkeep(fleet, lambda: SPARE_SECONDS)
    await look()
    await look()
    await upkeep.aclose()
    assert ec2.count("terminate") == 0


async def test_a_root_disk_is_never_taken_for_a_blank_home(upkeep, ec2, look):
    disk = ec2.add_disk(age_seconds=1000)
    ec2.disks[disk.id] = replace(ec2.disks[disk.id], state="available", snapshot_id="snap-1")
    await look()
    await upkeep.round()
    assert ec2.count("delete-volume") == 0


@pytest.mark.parametrize("tag", [HOST_KEY_TAG, "cloudjhub:server"])
async def test_a_machine_that_lost_its_user_tag_is_not_removed(upkeep, ec2, look, tag):
    ec2.add(age_seconds=1000, tags={tag: "x"})
    await look()
    await upkeep.round()
    assert ec2.count("terminate") == 0


async def test_a_stop_waits_for_the_start_that_is_on_its_way(upkeep, fleet, ec2, gate, look):
    machine = ec2.add("stopped", tags=owner_tags(ADA))
    await look()
    answer = gate("start")
    starting = asyncio.ensure_future(fleet.start(machine.id))
    await called(ec2, "start")
    starting.cancel()
    upkeep.stop_later(machine.id)
    await upkeep.round()
    answer.set()
    while fleet.is_being_started(machine.id):
        await asyncio.sleep(0.001)
    await look()
    await upkeep.round()
    assert ec2.made("stop") == [([machine.id],)]
