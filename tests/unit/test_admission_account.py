"""Who may have a machine up where the account's quota is used up."""

import asyncio
from dataclasses import replace

import pytest
from unit import full_clusters
from unit.fake_ec2 import all_of, students
from unit.full_clusters import (
    ADA,
    BOB,
    EVE,
    Starting,
    account_holds,
    in_line,
    quota_reached,
    refusals,
    stopped,
    up,
)

from cloudjhub.errors import QuotaReached
from cloudjhub.naming import SHAPE_TAG, Owner, owner_tags
from cloudjhub.progress import StartReport, UsualTimes

fleet, rules, login = full_clusters.fleet, full_clusters.rules, full_clusters.login
asked_again_never = full_clusters.asked_again_never


async def test_whom_the_account_has_no_room_for_waits_until_a_machine_stops(
    fleet, login, ec2, asked_again_never
):
    first = await login(ADA)
    account_holds(ec2, 1)
    second = login(BOB)
    await in_line(fleet, 1)
    third = login(EVE)
    await in_line(fleet, 2)
    assert fleet.admission.room() == 0
    await stopped(fleet, first.id)
    await asyncio.wait_for(second, 60)
    assert fleet.admission.waiting == 1 and len(up(ec2)) == 1
    third.cancel()


async def test_the_account_is_asked_again_since_others_may_have_made_room(fleet, login, ec2):
    await login(ADA)
    ec2.failures["run"].extend([quota_reached()] * 5)
    await all_of(*(login(owner) for owner in students(4)))
    assert len(up(ec2)) == 5 and fleet.admission.waiting == 0


async def test_where_no_machine_of_the_cluster_can_make_room_nobody_waits(fleet, login, ec2):
    account_holds(ec2, 0)
    with pytest.raises(QuotaReached):
        await asyncio.wait_for(login(ADA), 60)
    assert fleet.admission.waiting == 0


async def test_a_quota_of_other_types_holds_up_nobody_else(
    fleet, login, ec2, spec, asked_again_never
):
    gpu = replace(spec, instance_type="g4dn.xlarge")
    first = await login(ADA, kind=gpu)
    ec2.change(first.id, instance_type="g4dn.xlarge")
    await fleet.view.next_listing()
    ec2.failures["run"].append(quota_reached())
    waiting = login(BOB, kind=gpu)
    await in_line(fleet, 1)
    await asyncio.wait_for(login(EVE), 60)
    ec2.failures["run"].append(quota_reached())
    with pytest.raises(QuotaReached):
        await asyncio.wait_for(
            login(Owner("tom"), kind=replace(spec, instance_type="p3.2xlarge")), 60
        )
    await stopped(fleet, first.id)
    await asyncio.wait_for(waiting, 60)


async def test_a_spare_of_another_shape_makes_way_where_the_account_is_full(
    fleet, login, ec2, look, asked_again_never
):
    spare = ec2.add("running", tags={SHAPE_TAG: "another"})
    ec2.change(spare.id, instance_type="t3.medium")
    await look()
    account_holds(ec2, 1)
    mine = await asyncio.wait_for(login(ADA), 60)
    assert [m.id for m in up(ec2)] == [mine.id]


async def test_refuse_passes_on_what_the_account_says(fleet, login, ec2, rules):
    rules.set(0, "refuse")
    ec2.failures["run"].append(quota_reached())
    before = refusals("account")
    with pytest.raises(QuotaReached):
        await asyncio.wait_for(login(ADA), 60)
    assert refusals("account") == before + 1


async def test_nobody_waits_for_disks(fleet, login, ec2):
    ec2.failures["run"].append(
        QuotaReached("Full.", action="RunInstances", code="VolumeLimitExceeded")
    )
    with pytest.raises(QuotaReached):
        await asyncio.wait_for(login(ADA), 60)


async def test_starts_that_the_account_has_room_for_are_not_held_up_by_the_others(
    fleet, ec2, look, unlimited
):
    owners = students(8)
    mine = [ec2.add("stopped", tags=owner_tags(owner)).id for owner in owners]
    await look()
    account_holds(ec2, 5)
    starts = [
        asyncio.ensure_future(
            fleet.admission.run(owner, StartReport(UsualTimes()), Starting(fleet, machine))
        )
        for owner, machine in zip(owners, mine, strict=True)
    ]
    while len(up(ec2)) < 5:
        await asyncio.sleep(0.001)
    await in_line(fleet, 3)
    assert [start.done() for start in starts] == [True] * 5 + [False] * 3
    await stopped(fleet, mine[0])
    await asyncio.wait_for(starts[5], 60)
    for start in starts[6:]:
        start.cancel()
