"""Launches of machines that can hibernate, on an EC2 in memory."""

from dataclasses import replace

from unit.fake_ec2 import all_of, students
from unit.listings import Clock

from cloudjhub.errors import CannotHibernate
from cloudjhub.fleet import launching
from cloudjhub.fleet.refill import launch_spares
from cloudjhub.naming import Owner


def too_large():
    return CannotHibernate("Too large.", action="RunInstances", code="Unsupported...")


async def test_where_ec2_launches_none_that_can_hibernate_it_launches_plain_ones(
    fleet, ec2, spec, unlimited, caplog
):
    able = replace(spec, hibernates=True)
    ec2.failures["run"].append(too_large())
    machines = await all_of(*(fleet.launch(able, owner) for owner in students(3)))
    assert [each.hibernation_configured for each in machines] == [False] * 3
    asked = [arguments for (arguments,) in ec2.made("run")]
    assert ["HibernationOptions" in each for each in asked] == [True, False]
    assert asked[0]["ClientToken"] != asked[1]["ClientToken"]
    assert "launched without: RunInstances" in caplog.text
    # It is known by then, and they are spares like any other.
    await fleet.launch(able, Owner("late"))
    assert ["HibernationOptions" in arguments for (arguments,) in ec2.made("run")[2:]] == [False]
    fleet.spares.release(machines[0].id)
    assert (await fleet.launch(able, Owner("later"))).id == machines[0].id


async def test_one_type_that_cannot_hibernate_says_nothing_of_another(fleet, ec2, spec, unlimited):
    able = replace(spec, hibernates=True)
    ec2.failures["run"].append(too_large())
    await fleet.launch(able, Owner("ada"))
    other = await fleet.launch(replace(able, instance_type="t3.large"), Owner("bob"))
    assert other.hibernation_configured


async def test_what_cannot_hibernate_is_asked_for_again_after_a_while(
    fleet, ec2, spec, unlimited, monkeypatch
):
    clock = Clock()
    monkeypatch.setattr(launching, "time", clock)
    able = replace(spec, hibernates=True)
    ec2.failures["run"].append(too_large())
    await fleet.launch(able, Owner("ada"))
    clock.ahead += launching.REMEMBERED_SECONDS + 1
    assert (await fleet.launch(able, Owner("bob"))).hibernation_configured


async def test_the_pools_machines_can_hibernate_or_are_launched_plainly(fleet, ec2, spec):
    able = replace(spec, hibernates=True)
    (first,) = await launch_spares(fleet, able, 1, "one")
    ec2.failures["run"].append(too_large())
    (second,) = await launch_spares(fleet, able, 1, "two")
    assert (first.hibernation_configured, second.hibernation_configured) == (True, False)
