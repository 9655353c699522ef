"""How often EC2 is called at most. Compared with the table in EC2's documentation."""

import asyncio
from types import SimpleNamespace

import pytest

from cloudjhub.fleet import limits
from cloudjhub.fleet.limits import REQUEST_BUCKETS, RESOURCE_BUCKETS, Bucket, Limits


@pytest.fixture
async def clock(monkeypatch):
    """The event loop's time, which the limiters go by: it stands still, a pause fills no bucket."""
    loop = asyncio.get_running_loop()
    clock = SimpleNamespace(now=loop.time())
    monkeypatch.setattr(loop, "time", lambda: clock.now)
    yield clock
    monkeypatch.undo()


async def admitted_at_once(limits_, action, resources, asked) -> int:
    """How many of that many calls need not wait."""
    waiting = [asyncio.ensure_future(limits_.admit(action, resources)) for _ in range(asked)]
    for _ in range(asked + 5):
        await asyncio.sleep(0)
    admitted = sum(each.done() for each in waiting)
    for each in waiting:
        each.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    return admitted


@pytest.mark.parametrize(
    ("action", "bucket"),
    [
        ("RunInstances", Bucket(5, 2)),
        ("StartInstances", Bucket(5, 2)),
        ("StopInstances", Bucket(50, 5)),
        ("TerminateInstances", Bucket(100, 5)),
        ("CreateTags", Bucket(100, 10)),
        ("DescribeInstances", Bucket(100, 20)),
    ],
)
async def test_a_burst_is_as_large_as_ec2_takes_it(clock, action, bucket):
    assert REQUEST_BUCKETS[action] == bucket
    assert await admitted_at_once(Limits(), action, 0, bucket.size + 3) == bucket.size


async def test_a_call_that_is_not_in_the_table_counts_as_any_other_write(clock):
    assert await admitted_at_once(Limits(), "AttachVolume", 0, 60) == 50


async def test_machines_are_counted_too(clock):
    assert RESOURCE_BUCKETS["RunInstances"] == Bucket(1000, 2)
    assert await admitted_at_once(Limits(), "RunInstances", 400, 4) == 2


async def test_more_machines_than_the_bucket_holds_do_not_wait_for_ever():
    await asyncio.wait_for(Limits().admit("RunInstances", 5000), 60)


async def test_who_waits_is_admitted_when_the_bucket_fills_again(clock, monkeypatch):
    monkeypatch.setitem(limits.REQUEST_BUCKETS, "RunInstances", Bucket(1, 100))
    calls = Limits()
    waiting = [asyncio.ensure_future(calls.admit("RunInstances")) for _ in range(5)]
    for admitted in (1, 2, 3, 4, 5):
        for _ in range(10):
            await asyncio.sleep(0)
        assert sum(each.done() for each in waiting) == admitted
        clock.now += 0.0101
    clock.now -= 0.0101
    assert await admitted_at_once(calls, "RunInstances", 0, 1) == 0


async def test_one_action_does_not_use_up_anothers(clock):
    calls = Limits()
    assert await admitted_at_once(calls, "RunInstances", 0, 10) == 5
    assert await admitted_at_once(calls, "StartInstances", 0, 10) == 5


async def test_a_reserved_request_is_not_paid_twice(clock):
    limits = Limits()
    for _ in range(5):
        await limits.reserve("RunInstances")
    assert await admitted_at_once(limits, "RunInstances", 0, 6) == 5
    assert not limits._reserved["RunInstances"]
