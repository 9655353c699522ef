"""Which spares the keeper of a pool ends, when, and which never."""

import asyncio
from datetime import timedelta

from unit.fake_ec2 import called

from cloudjhub.naming import SHAPE_TAG, Owner, owner_tags

ADA, BOB = Owner("ada"), Owner("bob")


# -- shrinking


async def test_a_smaller_pool_ends_the_least_ready_at_once(pool, ec2):
    pool.configure(POOL=3)
    await pool.round(2)
    pool.slow = {max(ec2.machines)}
    pool.deaf = pool.slow
    pool.pass_by(seconds=61)
    await pool.round()
    pool.configure(POOL=2)
    await pool.round()
    await pool.tidy()
    assert [call[0] for call in ec2.made("terminate")] == [sorted(ec2.machines)[-1:]]
    await pool.round(2)
    assert pool.states() == ["running", "running"]


async def test_a_pool_of_none_goes_whole(pool, ec2):
    await pool.round(2)
    pool.configure(POOL=0)
    for _ in range(3):
        await pool.round()
        await pool.tidy()
    assert pool.states() == []


async def test_what_somebody_has_is_never_ended(pool, fleet, ec2):
    await pool.round(2)
    claimed = await fleet.launch(pool.spec, ADA)
    tagged = await fleet.launch(pool.spec, BOB)
    await fleet.tag([tagged.id], owner_tags(BOB))
    pool.configure(POOL=0)
    for _ in range(3):
        await pool.round()
        await pool.tidy()
    assert ec2.count("terminate") == 0
    assert {claimed.id, tagged.id} == set(ec2.machines)


async def test_what_is_being_ended_is_given_to_nobody(pool, fleet, ec2, gate):
    """A login comes when the spare's end is decided, is sent, and is answered."""
    pool.configure(POOL=1)
    await pool.round(2)
    (spare,) = ec2.machines
    pool.configure(POOL=0)
    await pool.keeper.round()
    given = [await fleet.launch(pool.spec, ADA)]
    answer = gate("terminate")
    ending = asyncio.ensure_future(pool.tidy())
    await called(ec2, "terminate")
    given.append(await fleet.launch(pool.spec, BOB))
    answer.set()
    await ending
    assert spare not in {machine.id for machine in given}
    assert ec2.made("terminate") == [([spare],)]


async def test_a_login_that_comes_first_keeps_its_machine(pool, fleet, ec2):
    pool.configure(POOL=1)
    await pool.round(2)
    pool.configure(POOL=0)
    machine = await fleet.launch(pool.spec, ADA)
    await pool.round()
    await pool.tidy()
    assert (machine.id, ec2.count("terminate")) == (min(ec2.machines), 0)


async def test_another_ami_replaces_what_nobody_can_be_given_any_more(pool, ec2):
    await pool.round(2)
    old = set(ec2.machines)
    pool.configure(WORKER_AMI="ami-00000000000000001")
    await pool.round()
    await pool.tidy()
    await pool.round(2)
    assert {call for (ids,) in ec2.made("terminate") for call in ids} == old
    shapes = {m.tags[SHAPE_TAG] for m in ec2.machines.values() if m.id not in old}
    assert len(pool.free()) == 2 and len(shapes) == 1


async def test_what_the_pool_keeps_does_not_expire_with_abandoned_machines(pool, ec2):
    await pool.round(2)
    for machine in list(ec2.machines.values()):
        ec2.change(machine.id, launched_at=machine.launched_at - timedelta(hours=2))
    await pool.round()
    await pool.tidy()
    assert ec2.count("terminate") == 0


async def test_abandoned_machines_that_the_pool_does_not_need_expire(pool, ec2):
    pool.configure(POOL=1)
    abandoned = [ec2.add(age_seconds=5000, tags={SHAPE_TAG: pool.spec.shape}) for _ in range(3)]
    await pool.see()
    await pool.round()
    await pool.tidy()
    assert sorted(call for (ids,) in ec2.made("terminate") for call in ids) == sorted(
        {machine.id for machine in abandoned} - pool.free()
    )
    assert len(pool.states()) == 1 and pool.launched() == []


async def test_before_the_first_round_nothing_expires(pool, ec2):
    ec2.add(age_seconds=5000)
    await pool.see()
    await pool.tidy()
    assert ec2.count("terminate") == 0
    pool.configure(POOL=0)
    await pool.round()
    await pool.tidy()
    assert ec2.count("terminate") == 1


async def test_too_old_spares_are_replaced_one_after_another(pool, ec2):
    pool.configure(POOL_SPARE_HOURS=2)
    await pool.round(2)
    old = set(ec2.machines)
    pool.pass_by(hours=3)
    fewest = 2
    for _ in range(12):
        for machine in list(ec2.machines.values()):
            if machine.id not in old:
                ec2.change(machine.id, launched_at=pool.now())
        await pool.round()
        await pool.tidy()
        await pool.see()
        fewest = min(fewest, pool.keeper.counts()["ready"])
        assert len(pool.states()) <= 3
    assert fewest == 2 and not old & pool.free() and len(pool.free()) == 2
    assert pool.launched() == [2, 1, 1]


# -- machines that fall silent


async def test_a_spare_that_falls_silent_is_replaced(pool, ec2):
    await pool.round(2)
    silent = min(ec2.machines)
    pool.deaf = {silent}
    for _ in range(4):
        pool.pass_by(seconds=61)
        await pool.round()
    await pool.tidy()
    assert ec2.made("terminate") == [([silent],)]
    await pool.round(2)
    assert pool.keeper.counts()["ready"] == 2


async def test_while_all_are_silent_none_is_ended(pool, ec2):
    await pool.round(2)
    pool.deaf = set(ec2.machines)
    for _ in range(6):
        pool.pass_by(seconds=61)
        await pool.round()
        await pool.tidy()
    assert ec2.count("terminate") == 0
    assert pool.keeper.counts()["running"] == 2
    pool.deaf = set()
    pool.pass_by(seconds=61)
    await pool.round(2)
    assert pool.keeper.counts()["ready"] == 2


async def minutes_pass(pool, count):
    for _ in range(count):
        pool.pass_by(seconds=61)
        await pool.round()
        await pool.tidy()


async def test_the_only_spare_is_given_longer_as_it_may_be_the_network(pool, ec2):
    pool.configure(POOL=1)
    await pool.round(2)
    pool.deaf = set(ec2.machines)
    await minutes_pass(pool, 5)
    assert ec2.count("terminate") == 0
    await minutes_pass(pool, 8)
    assert ec2.count("terminate") == 1


async def test_while_the_hub_hears_no_machine_at_all_no_spare_is_ended(pool, ec2):
    await pool.round(2)
    pool.deaf, pool.hears = {min(ec2.machines)}, False
    await minutes_pass(pool, 6)
    assert ec2.count("terminate") == 0
    pool.hears = True
    await pool.round()
    await pool.tidy()
    assert ec2.count("terminate") == 1
