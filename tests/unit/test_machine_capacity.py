"""Launches and starts where Amazon has no capacity: other types, other zones, told plainly."""

from collections import Counter
from dataclasses import replace

import pytest
from unit.fake_ec2 import all_of, students
from unit.listings import Clock
from unit.worlds import ADA, TYPES, Y, Z, homes_asked_for, quick_plan

from cloudjhub import capacity as capacity_module
from cloudjhub.errors import (
    BadLaunch,
    EC2Error,
    NoCapacity,
    NoFreeAddress,
    NotPermitted,
    QuotaReached,
)
from cloudjhub.fleet import facts
from cloudjhub.launch_spec import launch_kinds, types_to_start
from cloudjhub.naming import owner_tags


@pytest.fixture
def later(monkeypatch):
    """The clock of the memory of refusals."""
    clock = Clock()
    monkeypatch.setattr(capacity_module, "time", clock)
    return clock


@pytest.fixture
def scarce(world, two_zones, image, later, unlimited):
    """A start on that configuration."""
    plan = quick_plan(two_zones, image)
    world.plan = replace(plan, types=lambda present: types_to_start(two_zones, present))
    world.machine = world.another()
    return world


def asked(ec2) -> list[tuple[str, str]]:
    """Type and zone of each launch, in order."""
    runs = [arguments for (arguments,) in ec2.made("run")]
    return [(each["InstanceType"], ec2.subnets[each["SubnetId"]]) for each in runs]


def said(world) -> list[str]:
    return [event["message"] for event in world.report._events]


# -- launching


async def test_the_next_type_is_tried_and_the_user_sees_it(scarce):
    scarce.ec2.rooms = {("t3.medium", "z"): 0}
    machine = await scarce.start()
    assert asked(scarce.ec2) == [("t3.medium", "z"), ("t3a.medium", "z")]
    assert (machine.instance_type, machine.zone) == ("t3a.medium", "z")
    assert homes_asked_for(scarce.ec2) == [True, True]
    assert "Amazon has no t3.medium in z now; trying t3a.medium." in said(scarce)


async def test_who_has_no_home_yet_goes_to_another_zone(scarce):
    scarce.ec2.rooms = {(each, "z"): 0 for each in TYPES}
    machine = await scarce.start()
    assert asked(scarce.ec2) == [*((each, "z") for each in TYPES), ("t3.medium", "y")]
    assert (machine.instance_type, machine.zone) == ("t3.medium", "y")
    assert "Amazon has no t2.medium in z now; trying t3.medium in y." in said(scarce)


async def test_nothing_anywhere_is_one_sentence_with_all_types_and_zones(scarce):
    scarce.ec2.rooms = {(each, zone): 0 for each in TYPES for zone in "zy"}
    with pytest.raises(NoCapacity) as refused:
        await scarce.start()
    every = "t3.medium or t3a.medium or t2.medium"
    assert (
        refused.value.message == f"Amazon has no {every} in zone z, no {every} in zone y just now."
    )
    assert scarce.ec2.count("run") == 6 and not scarce.ec2.machines


async def test_what_was_refused_is_not_asked_for_again_by_the_next(scarce, later):
    scarce.ec2.rooms = {("t3.medium", "z"): 0}
    await all_of(*(scarce.start(machine=scarce.another(each)) for each in students(3)))
    before = scarce.ec2.count("run")
    await scarce.start()
    assert asked(scarce.ec2)[before:] == [("t3a.medium", "z")]
    later.ahead += capacity_module.REMEMBERED_SECONDS + 1
    scarce.ec2.rooms = {}
    next_one = await scarce.start(machine=scarce.another(students(9)[8]))
    assert next_one.instance_type == "t3.medium"
    assert not scarce.fleet.capacity.is_refused("t3.medium", "z")


async def test_a_class_that_finds_room_for_some_falls_to_the_next_type_together(scarce):
    scarce.ec2.rooms = {("t3.medium", "z"): 40}
    starts = [scarce.start(machine=scarce.another(each)) for each in students(100)]
    machines = await all_of(*starts)
    assert Counter(machine.instance_type for machine in machines) == {
        "t3.medium": 40,
        "t3a.medium": 60,
    }
    assert len({machine.id for machine in machines}) == 100
    counts = [arguments["MaxCount"] for (arguments,) in scarce.ec2.made("run")]
    assert counts == [100, 60, 60]


async def test_the_zones_of_subnets_are_asked_for_once(fleet, ec2, two_zones):
    subnets = two_zones.subnet_ids
    answers = await all_of(*(fleet.zones(subnets) for _ in range(20)))
    assert answers == [{Z: "z", Y: "y"}] * 20
    assert await fleet.zones(subnets) == {Z: "z", Y: "y"}
    assert ec2.count("zones") == 1


async def test_zones_that_may_not_be_asked_for_are_not_asked_for_all_the_time(
    fleet, ec2, two_zones, monkeypatch, caplog
):
    clock = Clock()
    monkeypatch.setattr(facts, "time", clock)
    ec2.failures["zones"].append(NotPermitted("No.", action="DescribeSubnets", code="No"))
    for _ in range(5):
        assert await fleet.zones(two_zones.subnet_ids) == {}
    assert (ec2.count("zones"), caplog.text.count("stay unknown")) == (1, 1)
    clock.ahead += 301
    assert await fleet.zones(two_zones.subnet_ids) == {Z: "z", Y: "y"}


async def test_a_spare_of_any_acceptable_kind_is_taken_before_anything_is_launched(scarce):
    kinds = await scarce.plan.kinds()
    spare = await scarce.fleet.launch(kinds[4], students(1)[0])
    scarce.fleet.spares.release(spare.id)
    await scarce.see()
    assert (await scarce.start()).id == spare.id
    assert scarce.ec2.count("run") == 1


async def test_a_full_subnet_is_left_for_the_next_whatever_the_type(scarce):
    full = NoFreeAddress("Full.", action="RunInstances")
    scarce.ec2.failures["run"].append(full)
    machine = await scarce.start()
    assert machine.zone == "y" and scarce.ec2.count("run") == 2
    assert not scarce.fleet.capacity.is_refused("t3.medium", "z")


async def test_a_zone_that_does_not_offer_the_type_is_like_one_without_capacity(scarce):
    unknown = BadLaunch("Not here.", action="RunInstances", code="Unsupported")
    scarce.ec2.failures["run"].append(unknown)
    assert (await scarce.start()).instance_type == "t3a.medium"
    assert scarce.fleet.capacity.is_refused("t3.medium", "z")


async def test_a_type_that_does_not_fit_the_ami_is_passed_over_but_not_the_first(scarce):
    misfit = BadLaunch("arm64.", action="RunInstances", code="InvalidParameterValue")
    none = NoCapacity("No more.", action="RunInstances")
    scarce.ec2.failures["run"].extend([none, misfit])
    assert (await scarce.start()).instance_type == "t2.medium"
    scarce.fleet.capacity.granted("t3.medium", "z")
    scarce.ec2.failures["run"].append(misfit)
    with pytest.raises(BadLaunch):
        await scarce.start(machine=scarce.another(students(1)[0]))


async def test_a_quota_is_not_evaded_by_other_types(scarce):
    full = QuotaReached("Quota.", action="RunInstances", code="VolumeLimitExceeded")
    scarce.ec2.failures["run"].append(full)
    with pytest.raises(QuotaReached):
        await scarce.start()
    assert scarce.ec2.count("run") == 1


async def test_a_launch_that_amazon_takes_back_for_capacity_goes_on_with_the_next_type(scarce):
    def takes_back(machines):
        for machine in list(scarce.ec2.machines.values()):
            if machine.instance_type == "t3.medium" and machine.state in ("pending", "running"):
                reason = "Server.InsufficientInstanceCapacity: none left"
                scarce.ec2.change(machine.id, state="terminated", state_reason=reason)
        return list(scarce.ec2.machines.values())

    scarce.ec2.shown = takes_back
    assert (await scarce.start()).instance_type == "t3a.medium"


# -- who has a home


async def test_a_machine_for_who_has_a_home_is_launched_in_its_zone(scarce):
    scarce.ec2.add_disk(tags=owner_tags(ADA), zone="y")
    machine = await scarce.start()
    assert machine.zone == "y" and homes_asked_for(scarce.ec2) == [False]


async def test_and_as_another_type_where_the_first_has_none(scarce):
    scarce.ec2.add_disk(tags=owner_tags(ADA), zone="y")
    scarce.ec2.rooms = {("t3.medium", "y"): 0}
    machine = await scarce.start()
    assert (machine.instance_type, machine.zone) == ("t3a.medium", "y")


async def test_but_not_elsewhere_without_being_asked(scarce):
    scarce.ec2.add_disk(tags=owner_tags(ADA), zone="y")
    scarce.ec2.rooms = {(each, "y"): 0 for each in TYPES}
    with pytest.raises(NoCapacity, match=r"no t3\.medium or t3a\.medium or t2\.medium in zone y"):
        await scarce.start()
    assert not scarce.ec2.machines


# -- starting what is stopped


@pytest.fixture
async def stopped(scarce):
    """Ada's machine, stopped."""
    machine = scarce.ec2.add("stopped", home=True, tags=owner_tags(ADA))
    scarce.ec2.change(machine.id, instance_type="t3.medium")
    await scarce.see()
    return machine.id


async def test_a_stopped_machine_starts_as_the_next_type(scarce, stopped):
    scarce.ec2.rooms = {("t3.medium", "z"): 0, ("t3a.medium", "z"): 0}
    machine = await scarce.start(stopped)
    assert machine.id == stopped and scarce.ec2.machines[stopped].instance_type == "t2.medium"
    assert scarce.ec2.count("run") == 0
    assert scarce.ec2.made("modify-type") == [(stopped, "t3a.medium"), (stopped, "t2.medium")]
    assert "Amazon has no t3.medium in z now; trying t3a.medium." in said(scarce)


async def test_and_goes_back_to_the_first_when_the_refusal_is_forgotten(scarce, stopped, later):
    scarce.ec2.change(stopped, instance_type="t3a.medium")
    scarce.fleet.capacity.refused("t3.medium", "z")
    await scarce.see()
    await scarce.start(stopped)
    assert scarce.ec2.count("modify-type") == 0
    assert "Amazon has no t3.medium in z now; trying t3a.medium." in said(scarce)
    scarce.ec2.change(stopped, state="stopped")
    later.ahead += capacity_module.REMEMBERED_SECONDS + 1
    await scarce.see()
    await scarce.start(stopped, machine=scarce.another())
    assert scarce.ec2.made("modify-type") == [(stopped, "t3.medium")]


async def test_going_back_waits_in_no_line(scarce, stopped, monkeypatch):
    scarce.ec2.change(stopped, instance_type="t3a.medium")
    await scarce.see()
    monkeypatch.setattr(scarce.fleet._calls.limits, "is_free", lambda action: False)
    await scarce.start(stopped)
    assert scarce.ec2.count("modify-type") == 0 and scarce.ec2.count("start") == 1


async def test_a_type_that_ec2_refuses_for_the_machine_is_passed_over(scarce, stopped):
    scarce.ec2.rooms = {("t3.medium", "z"): 0}
    misfit = EC2Error("arm64.", action="ModifyInstanceAttribute", code="InvalidInstanceAttribute")
    scarce.ec2.failures["modify-type"].append(misfit)
    await scarce.start(stopped)
    assert scarce.ec2.machines[stopped].instance_type == "t2.medium"


async def test_with_no_type_left_it_stays_what_it_was_and_is_not_replaced(scarce, stopped):
    scarce.ec2.rooms = {(each, "z"): 0 for each in TYPES}
    with pytest.raises(NoCapacity, match=r"no t3\.medium or t3a\.medium or t2\.medium in zone z"):
        await scarce.start(stopped)
    assert list(scarce.ec2.machines) == [stopped]
    assert scarce.ec2.machines[stopped].instance_type == "t3.medium"


async def test_a_quota_that_is_reached_on_the_way_leaves_it_what_it_was(scarce, stopped):
    scarce.ec2.rooms = {("t3.medium", "z"): 0}
    none = NoCapacity("No more.", action="StartInstances")
    full = QuotaReached("Quota.", action="StartInstances", code="VolumeLimitExceeded")
    scarce.ec2.failures["start"].extend([none, full])
    with pytest.raises(QuotaReached):
        await scarce.start(stopped)
    assert scarce.ec2.made("modify-type") == [(stopped, "t3a.medium"), (stopped, "t3.medium")]


async def test_files_on_a_root_disk_cannot_be_moved_and_that_is_said(scarce):
    machine = scarce.ec2.add("stopped", tags=owner_tags(ADA))
    scarce.ec2.change(machine.id, instance_type="t3.medium")
    await scarce.see()
    scarce.ec2.rooms = {(each, "z"): 0 for each in TYPES}
    with pytest.raises(NoCapacity, match="Amazon has no") as refused:
        await scarce.start(machine.id)
    assert "own disk, which cannot be moved" in refused.value.remedy
    assert scarce.ec2.count("run") == 0


async def test_a_start_that_amazon_takes_back_goes_on_with_the_next_type(
    scarce, stopped, monkeypatch
):
    monkeypatch.setattr("cloudjhub.machine._LISTING_LAG_SECONDS", 0.0)

    def takes_back(machines):
        machine = scarce.ec2.machines[stopped]
        if machine.instance_type == "t3.medium" and machine.state in ("pending", "running"):
            reason = "Server.InsufficientInstanceCapacity: none left"
            scarce.ec2.change(stopped, state="stopped", state_reason=reason)
        return list(scarce.ec2.machines.values())

    scarce.ec2.shown = takes_back
    assert (await scarce.start(stopped)).id == stopped
    machine = scarce.ec2.machines[stopped]
    assert (machine.instance_type, machine.state) == ("t3a.medium", "running")


async def test_a_spare_that_is_off_and_finds_no_capacity_is_not_what_its_taker_waits_for(scarce):
    kinds = await scarce.plan.kinds()
    spare = await scarce.fleet.launch(kinds[0], students(1)[0])
    scarce.fleet.spares.release(spare.id)
    scarce.ec2.change(spare.id, state="stopped")
    await scarce.see()
    scarce.ec2.rooms = {("t3.medium", "z"): 0, ("t3a.medium", "z"): 0, ("t2.medium", "z"): 0}
    machine = await scarce.start()
    assert machine.id != spare.id and machine.zone == "y"
    assert scarce.ec2.machines[spare.id].state == "stopped"


async def test_stopped_machines_of_a_class_change_their_type_and_share_the_start(scarce):
    owners = students(20)
    for owner in owners:
        machine = scarce.ec2.add("stopped", home=True, tags=owner_tags(owner))
        scarce.ec2.change(machine.id, instance_type="t3.medium")
    await scarce.see()
    scarce.ec2.rooms = {("t3.medium", "z"): 0}
    machines = await all_of(*(scarce.start(machine=scarce.another(each)) for each in owners))
    assert {scarce.ec2.machines[each.id].instance_type for each in machines} == {"t3a.medium"}
    assert scarce.ec2.count("run") == 0 and scarce.ec2.count("modify-type") == 20
    assert scarce.ec2.count("start") < 20


# -- which types


def test_types_in_the_order_in_which_they_are_tried(two_zones, image):
    assert types_to_start(two_zones, "t2.medium") == tuple(TYPES)
    assert types_to_start(two_zones, "g5.xlarge") == ("g5.xlarge",)
    assert types_to_start(two_zones, "m1.small") == ("m1.small", *TYPES)
    chosen = launch_kinds(two_zones, image, {Z: "z", Y: "y"}, instance_type="g5.xlarge")
    assert [kind.kind for kind in chosen] == [("g5.xlarge", "z"), ("g5.xlarge", "y")]
    second = launch_kinds(two_zones, image, {}, instance_type="t3a.medium")
    assert [kind.instance_type for kind in second[:3]] == ["t3a.medium", "t3.medium", "t2.medium"]
    assert {kind.zone for kind in second} == {""}
    assert second[0].shape == replace(second[0], zone="z").shape
