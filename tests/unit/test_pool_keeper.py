"""How the keeper fills a pool, and what it does where EC2 refuses."""

import asyncio
from dataclasses import replace

import pytest
from unit.fake_ec2 import called
from unit.listings import Clock

from cloudjhub.errors import EC2Unreachable, NoCapacity, NotPermitted, QuotaReached
from cloudjhub.fleet import view as view_module
from cloudjhub.naming import Owner, owner_tags

ADA, BOB = Owner("ada"), Owner("bob")


# -- refilling


async def test_all_that_are_missing_come_with_one_launch(pool):
    await pool.round(3)
    assert pool.launched() == [2]
    assert pool.states() == ["running", "running"]
    assert pool.keeper.counts()["ready"] == 2


async def test_what_is_booting_is_not_launched_again(pool, ec2):
    ec2.held |= {"i-00000001", "i-00000002"}
    await pool.round(3)
    assert pool.launched() == [2]
    assert pool.keeper.counts()["pending"] == 2


async def test_a_launch_that_no_listing_shows_yet_counts(pool, ec2):
    ec2.shown = lambda machines: []
    await pool.round(3)
    assert pool.launched() == [2]


async def test_who_takes_one_gets_a_ready_one_without_a_launch_and_it_is_refilled(pool, fleet):
    await pool.round(2)
    slow = (await fleet.launch(pool.spec, ADA)).id
    await pool.round(2)
    assert pool.launched() == [2, 1]
    assert slow not in pool.free() and len(pool.free()) == 2


async def test_machines_of_logins_that_were_given_up_count(pool, fleet, ec2):
    machine = await fleet.launch(pool.spec, ADA)
    fleet.spares.release(machine.id)
    await pool.see()
    await pool.round(2)
    assert pool.launched() == [1, 1]
    assert len(ec2.machines) == 2


async def test_a_new_hub_goes_on_with_what_there_is(pool, fleet, ec2):
    await pool.round(2)
    await pool.keeper.aclose()
    for machine in ec2.machines:
        fleet.spares.ready(machine, False)  # a new process has no marks
    pool.keeper = pool.another()
    await pool.round()
    assert pool.launched() == [2]
    assert pool.keeper.counts()["ready"] == 2


async def test_a_hub_that_died_before_the_answer_asks_for_the_same_machines(pool, ec2, gate):
    answer = gate("run")
    dying = asyncio.ensure_future(pool.keeper.round())
    await called(ec2, "run")
    dying.cancel()
    another = pool.another()
    other = asyncio.ensure_future(another.round())
    await called(ec2, "run", times=2)
    answer.set()
    await other
    await another.aclose()
    first, second = (arguments["ClientToken"] for (arguments,) in ec2.made("run"))
    assert first == second
    await pool.see()
    pool.configure(POOL=6)
    await pool.keeper.round()
    assert ec2.made("run")[2][0]["ClientToken"] != first


async def test_machines_that_ended_long_ago_are_not_taken_for_new_ones(pool, ec2):
    real_run, ended = ec2.run, []

    def remembers_tokens(arguments):
        if not ended:
            ended.append(arguments["ClientToken"])
        machines = real_run(arguments)
        if arguments["ClientToken"] == ended[0]:
            for machine in machines:
                del ec2.machines[machine.id]  # an hour ago, and no listing shows them any more
            return [replace(machine, state="terminated") for machine in machines]
        return machines

    ec2.run = remembers_tokens
    await pool.round(3)
    assert pool.launched() == [2, 2]
    assert pool.keeper.counts()["ready"] == 2


async def test_where_the_view_has_grown_old_the_keeper_asks_for_a_listing(
    pool, fleet, ec2, monkeypatch
):
    clock = Clock()
    monkeypatch.setattr(view_module, "time", clock)
    clock.ahead = 61.0
    listed = ec2.count("list")
    fleet.view._quiet_seconds = 600.0  # so that nobody else asks
    fleet.view._listed_at = clock.monotonic() - 61.0
    await pool.keeper.round()
    assert ec2.count("list") > listed and pool.launched() == [2]


# -- refusals


async def test_another_type_is_tried_at_once(pool, ec2):
    pool.configure(WORKER_INSTANCE_TYPE=["t3.medium", "t3a.medium"])
    ec2.failures["run"].append(NoCapacity("None.", action="RunInstances", code="Insufficient"))
    await pool.round(2)
    types = [arguments["InstanceType"] for (arguments,) in ec2.made("run")]
    assert types == ["t3.medium", "t3a.medium"]
    assert pool.keeper.counts()["ready"] == 2


@pytest.mark.parametrize("error", [NotPermitted, EC2Unreachable])
async def test_a_refusal_is_said_once_and_tried_again_after_growing_pauses(
    pool, ec2, caplog, error, monkeypatch
):
    monkeypatch.setattr("cloudjhub.fleet.calls._PATIENCE_SECONDS", 0.0)
    refusal = error("No.", action="RunInstances", code="Whatever")
    ec2.failures["run"].extend([refusal] * 3)
    await pool.round(3)
    assert ec2.count("run") == 1
    pool.pass_by(seconds=61)
    await pool.round(3)
    assert ec2.count("run") == 2
    pool.pass_by(seconds=61)
    await pool.round(2)
    assert ec2.count("run") == 2
    pool.pass_by(seconds=61)
    await pool.round(2)
    assert ec2.count("run") == 3
    assert caplog.text.count("The pool cannot be filled now") == 1
    pool.pass_by(seconds=241)
    await pool.round(2)
    assert pool.keeper.counts()["ready"] == 2


async def test_what_has_no_capacity_is_not_asked_for_as_long_as_that_is_remembered(
    pool, fleet, ec2, caplog
):
    ec2.failures["run"].append(NoCapacity("None.", action="RunInstances", code="Insufficient"))
    for _ in range(3):
        await pool.round()
        pool.pass_by(seconds=901)
    assert ec2.count("run") == 1 and caplog.text.count("cannot be filled now") == 1
    fleet.capacity.granted(pool.spec.instance_type, pool.spec.zone)
    await pool.round(2)
    assert pool.keeper.counts()["ready"] == 2


async def test_what_the_quota_leaves_is_taken(pool, ec2):
    pool.configure(POOL=8)
    quota = QuotaReached("Full.", action="RunInstances", code="VcpuLimitExceeded")
    ec2.failures["run"].extend([quota, quota])
    await pool.keeper.round()
    assert pool.launched() == [8, 4, 2]


async def test_machines_that_never_come_up_are_not_replaced_without_end(pool, ec2, caplog):
    pool.configure(POOL=1)
    for _ in range(30):
        pool.deaf = set(ec2.machines) | {f"i-{n:08x}" for n in range(1, 200)}
        await pool.round()
        await pool.tidy()
        pool.pass_by(seconds=301)
    assert ec2.count("run") < 16
    assert "in a row did not come up" in caplog.text
    pool.deaf = set()
    for _ in range(8):
        pool.pass_by(seconds=901)
        await pool.round()
    assert pool.keeper.counts()["ready"] == 1


async def test_the_limit_of_the_cluster_wins_and_users_win_over_the_pool(pool, fleet, ec2):
    pool.configure(POOL=5, MAX_MACHINES=3)
    ec2.add(tags=owner_tags(BOB))
    await pool.see()
    await pool.round(3)
    assert pool.launched() == [2]
    await fleet.tag([(await fleet.launch(pool.spec, ADA)).id], owner_tags(ADA))
    await pool.round(2)
    assert pool.launched() == [2] and len(pool.free()) == 1
