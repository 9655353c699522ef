"""Every trouble of EC2 in the middle of a surge of a hundred: nothing double, nothing lost."""

import pytest
from surge.crowd import BACK

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.slow]

ALL = 100
#: what the account's budget is when others use most of it: action -> burst, per second
SCARCE = {
    "RunInstances": (1, 0.5),
    "StartInstances": (1, 0.5),
    "DescribeInstances": (2, 1),
    "CreateTags": (5, 10),
}


async def test_throttled(surge, crowd, ec2):
    # No sixth at all until one was refused: a hub that is slow asks for little at a time.
    ec2.faults.throttle(rates={**SCARCE, "CreateTags": (5, 0)})
    surge.begin()
    await crowd.until_calls("CreateTags", "throttled")
    ec2.faults.throttle(rates=SCARCE)
    assert not await surge.end()
    ec2.faults.throttle(False)
    await crowd.judge(surge)
    assert len(await crowd.machines()) == ALL


async def test_no_capacity_for_some(surge, crowd, ec2):
    kind = ("t3.medium", "us-east-1a")
    ec2.faults.capacity(*kind, ALL - 30)
    surge.begin()
    refused = await surge.end()
    assert 30 <= len(refused) < ALL
    for words in refused.values():
        assert "no " in words and "t3.medium" in words and "administrator" in words
    await crowd.judge(surge, ready=set(surge.everybody) - set(refused))
    ec2.faults.capacity(*kind, None)
    crowd.site.let_pass(1000)
    assert not await surge.again(refused)
    await crowd.judge(surge)
    assert len(await crowd.machines()) == ALL


async def test_listings_lag(surge, crowd, ec2):
    ec2.faults.lag(3600)
    surge.begin()
    await crowd.until_machines("running")
    await crowd.until_calls("CreateTags", "error", 10)
    listings = ec2.calls()["DescribeInstances"]["ok"]
    await crowd.until_calls("DescribeInstances", "ok", listings + 2)
    ec2.faults.lag(0)
    assert not await surge.end()
    await crowd.judge(surge)
    assert len(await crowd.machines()) == ALL


async def test_gone_from_the_beginning(surge, crowd, ec2):
    mark = len(crowd.site.hub_log())
    ec2.faults.unreachable("close")
    # Nobody goes by what was listed a moment ago.
    await crowd.site.until(
        "a listing to fail", lambda: "EC2 listing failed" in crowd.site.hub_log(mark)
    )
    surge.begin()
    refused = await surge.end()
    assert len(refused) == ALL
    assert all("Nothing is lost. Try again" in words for words in refused.values()), refused
    ec2.faults.clear()
    assert not await surge.again(refused)
    await crowd.judge(surge)
    assert len(await crowd.machines()) == ALL


async def test_gone_for_longer_than_anybody_waits(surge, crowd, ec2):
    ec2.faults.hold("pending")
    surge.begin()
    await crowd.until_machines("pending")
    # EC2's answers have come, too.
    await crowd.until_heard("Starting your machine", surge.everybody)
    ec2.faults.unreachable("reset")
    ec2.faults.let_go("pending")
    # Those whose machine has their name need nothing more from EC2.
    await surge.others_ready(BACK)
    await crowd.until_calls("unknown", "unreachable", ALL)
    crowd.site.let_pass(1000)
    refused = await surge.end()
    assert sorted(refused) == sorted(surge.new)
    assert all("Nothing is lost. Try again" in words for words in refused.values()), refused
    ec2.faults.clear()
    assert not await surge.again(refused)
    await crowd.judge(surge)
    assert len(await crowd.machines()) == ALL


async def test_answers_are_lost(surge, crowd, ec2):
    ec2.faults.lose("RunInstances")
    ec2.faults.lose("StartInstances")
    ec2.faults.lose("CreateTags", 20)
    surge.begin()
    # Whose machine may have been started or not is asked to look again.
    refused = await surge.end()
    assert set(refused) <= set(surge.back)
    assert all("Nothing is lost. Try again" in words for words in refused.values()), refused
    assert not ec2.faults.as_dict()["lose"]
    assert not await surge.again(refused)
    await crowd.judge(surge)
    assert len(await crowd.machines()) == ALL


async def test_one_bad_id_in_a_batch(surge, crowd, ec2):
    ids = {m["owner"]: m["InstanceId"] for m in await crowd.machines()}
    unknown, ended = ids[surge.back[7]], ids[surge.back[23]]

    def terminate_two_and_forget_one():
        crowd.terminate_at_once([unknown, ended])
        ec2.engine.machines.forget(unknown)
        ec2.engine.backend.forget_instance(unknown)

    ec2.faults.surprise("StartInstances", terminate_two_and_forget_one, naming=unknown)
    surge.begin()
    refused = await surge.end()
    assert ec2.calls()["StartInstances"]["error"]
    assert set(refused) <= {surge.back[7], surge.back[23]}
    assert not await surge.again(refused)
    await crowd.judge(surge)
    now = {m["owner"]: m["InstanceId"] for m in await crowd.machines()}
    assert {name for name in surge.back if now[name] != ids[name]} == {
        surge.back[7],
        surge.back[23],
    }
    assert len(now) == ALL
