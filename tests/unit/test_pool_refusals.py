"""What the keeper of a pool does where EC2 refuses, or where machines never come up."""

import asyncio

import pytest
from unit.fake_ec2 import called

from cloudjhub.errors import BadLaunch, NoFreeAddress, QuotaReached, WrongState
from cloudjhub.naming import Owner, owner_tags

ADA = Owner("ada")
BAD_AMI, GOOD_AMI = "ami-00000000000000bad", "ami-0000000000000600d"


@pytest.fixture
def two_subnets(pool, ec2):
    """Subnets of two zones, in which the pool may be; gives the second."""
    first, second = "subnet-00000000000000001", "subnet-00000000000000002"
    ec2.subnets = {first: "y", second: "z"}
    pool.zones = ec2.subnets
    pool.configure(SUBNET_ID=[first, second])
    return second


def subnets(ec2):
    return [arguments["SubnetId"] for (arguments,) in ec2.made("run")]


# -- machines that never come up


async def all_die(pool, ec2, rounds):
    for _ in range(rounds):
        pool.deaf = set(ec2.machines) | {f"i-{n:08x}" for n in range(1, 200)}
        await pool.round()
        await pool.tidy()
        pool.pass_by(seconds=301)


async def test_a_batch_that_never_comes_up_is_followed_by_tries_with_one(pool, ec2):
    pool.configure(POOL=20)
    await all_die(pool, ec2, 12)
    assert pool.launched()[0] == 20
    assert 2 < len(pool.launched()) < 7 and set(pool.launched()[1:]) == {1}
    pool.deaf = set()
    for _ in range(4):  # the longest pause, a boot, and the rest of the pool
        pool.pass_by(seconds=901)
        await pool.round()
    assert pool.keeper.counts()["ready"] == 20 and pool.launched()[-2:] == [1, 19]


async def test_another_try_waits_until_it_is_known_how_the_last_one_went(pool, ec2):
    pool.configure(POOL=5)
    await all_die(pool, ec2, 3)
    pool.pass_by(seconds=61)
    await pool.round(5)
    assert pool.launched() == [5, 1]


async def test_another_ami_is_tried_at_once_and_whole(pool, ec2):
    pool.configure(POOL=20, WORKER_AMI=BAD_AMI)
    await all_die(pool, ec2, 6)
    pool.configure(WORKER_AMI=GOOD_AMI)
    pool.deaf = set()
    await pool.round(2)
    assert pool.launched()[-1] == 20 and pool.keeper.counts()["ready"] == 20


# -- kinds that EC2 does not have


@pytest.mark.parametrize(
    "error",
    [
        NoFreeAddress("Full.", action="RunInstances", code="InsufficientFreeAddressesInSubnet"),
        BadLaunch("Not in this zone.", action="RunInstances", code="Unsupported"),
    ],
)
async def test_what_the_first_subnet_cannot_have_comes_from_the_next(pool, ec2, two_subnets, error):
    pool.configure(POOL=1)
    ec2.failures["run"].append(error)
    await pool.round(2)
    assert subnets(ec2)[1:] == [two_subnets]
    assert pool.keeper.counts()["ready"] == 1


async def test_a_full_subnet_is_not_asked_for_each_type(pool, ec2, two_subnets):
    pool.configure(POOL=1, WORKER_INSTANCE_TYPE=["t3.medium", "t3a.medium"])
    full = NoFreeAddress("Full.", action="RunInstances", code="InsufficientFreeAddressesInSubnet")
    ec2.failures["run"].append(full)
    await pool.round(2)
    assert len(subnets(ec2)) == 2 and subnets(ec2)[1] == two_subnets


async def test_a_launch_that_nothing_else_can_mend_is_not_sent_elsewhere(pool, ec2, two_subnets):
    wrong = BadLaunch("No such key.", action="RunInstances", code="InvalidKeyPair.NotFound")
    ec2.failures["run"].append(wrong)
    await pool.round(3)
    assert ec2.count("run") == 1
    pool.pass_by(seconds=61)
    await pool.round(2)
    assert pool.keeper.counts()["ready"] == 2


async def test_what_ec2_gives_the_pool_is_no_longer_refused_to_users(pool, fleet):
    await pool.round()
    kind = pool.spec.kind
    fleet.capacity.refused(*kind, 0.0)
    refused = fleet.capacity._refusals
    assert kind in refused
    pool.configure(POOL=3)
    await pool.round()
    assert pool.launched() == [2, 1] and kind not in refused


# -- starts of stopped spares


@pytest.fixture
async def stopped(pool, ec2):
    """Eight stopped spares, which are to run from now on; gives their kind."""
    pool.configure(POOL=8, POOL_STATE="stopped")
    await pool.round(5)
    assert pool.states() == ["stopped"] * 8
    pool.configure(POOL_STATE="running")
    return ("t3.medium", "z")


async def test_starts_without_capacity_are_one_call_for_as_long_as_that_is_remembered(
    pool, fleet, ec2, stopped
):
    ec2.rooms[stopped] = 0
    for _ in range(3):
        await pool.round()
        pool.pass_by(seconds=901)
    assert len(ec2.made("start")) == 1 and fleet.capacity.is_refused(*stopped)
    assert len(pool.free()) == 8  # whoever comes may still try one
    del ec2.rooms[stopped]
    fleet.capacity.granted(*stopped)
    await pool.round(4)
    assert pool.keeper.counts()["ready"] == 8


async def test_starts_that_the_quota_refuses_are_tried_after_pauses_with_fewer(
    pool, ec2, stopped, caplog
):
    refusals = [
        QuotaReached("Full.", action="StartInstances", code="VcpuLimitExceeded", request_id=str(n))
        for n in range(2)
    ]
    ec2.failures["start"].extend(refusals)
    await pool.round(3)
    pool.pass_by(seconds=61)
    await pool.round(3)
    assert [len(ids) for (ids,) in ec2.made("start")] == [8, 4]
    assert caplog.text.count("The start of stopped spares fails") == 1
    pool.pass_by(seconds=121)
    await pool.round(4)
    assert [len(ids) for (ids,) in ec2.made("start")] == [8, 4, 2, 4, 2]
    assert pool.keeper.counts()["ready"] == 8


async def test_one_spare_that_cannot_start_keeps_no_other_from_it(pool, ec2, stopped):
    bad, start = min(ec2.machines), ec2.start

    def refuses(ids):
        states = start([each for each in ids if each != bad])
        if bad in ids:
            for each in states:
                ec2.change(each, state="stopped")
            raise WrongState("Busy.", action="StartInstances", code="IncorrectInstanceState")
        return states

    ec2.start = refuses
    for _ in range(12):
        pool.pass_by(seconds=901)
        await pool.round()
    assert pool.keeper.counts()["ready"] == 7


async def test_starts_of_the_pool_wait_for_those_of_users(pool, fleet, ec2, stopped, monkeypatch):
    asked = []

    def is_busy(action):
        asked.append(action)
        return False

    monkeypatch.setattr(fleet._calls.limits, "is_free", is_busy, raising=False)
    own = ec2.add("stopped", tags=owner_tags(ADA))
    await pool.see()
    await fleet.start(own.id)
    await pool.round(3)
    assert ec2.made("start") == [([own.id],)] and "StartInstances" in asked
    monkeypatch.undo()
    await pool.round(2)
    assert pool.keeper.counts()["ready"] == 8


async def test_what_stops_again_as_soon_as_it_is_started_is_not_started_without_end(
    pool, ec2, stopped, caplog
):
    def taken_back():
        for machine in list(ec2.machines.values()):
            if machine.state in ("pending", "running"):
                ec2.change(machine.id, state="stopped", state_reason="Server.Gone: no more")

    for _ in range(6):
        await pool.keeper.round()
        taken_back()
        pool.fleet.view._told_states.clear()
        await pool.see()
    assert ec2.count("start") == 1 and "stopped again" in caplog.text
    for _ in range(9):
        pool.pass_by(seconds=901)
        await pool.round()
    assert pool.keeper.counts()["ready"] == 8


# -- logins that come between the plan and the call


async def test_a_login_that_came_before_the_call_has_its_place(pool, ec2, monkeypatch):
    pool.configure(POOL=3, MAX_MACHINES=3)
    carry_out = pool.keeper._carry_out

    async def after_a_login(steps, kinds):
        await pool.fleet.tag([ec2.add(tags=owner_tags(ADA)).id], owner_tags(ADA))
        await pool.see()
        await carry_out(steps, kinds)

    monkeypatch.setattr(pool.keeper, "_carry_out", after_a_login)
    await pool.keeper.round()
    assert pool.launched() == [2] and len(pool.states()) == 3


async def test_a_spare_is_one_though_a_login_has_the_same_launched_meanwhile(
    pool, fleet, ec2, gate
):
    pool.configure(POOL=0)
    answer = gate("run")
    login = asyncio.ensure_future(fleet.launch(pool.spec, ADA))
    await called(ec2, "run")
    ec2.gates = {}
    pool.configure(POOL=2)
    await pool.keeper.round()
    assert pool.launched()[1:] == [2] and len(pool.free()) == 2
    answer.set()
    assert (await login).id not in pool.free()
