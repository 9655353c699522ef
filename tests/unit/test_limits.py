"""How often EC2 is called at most. Compared with the table in EC2's documentation."""

import asyncio

import pytest

from cloudjhub.fleet import limits
from cloudjhub.fleet.limits import REQUEST_BUCKETS, RESOURCE_BUCKETS, Bucket, Limits


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
async def test_a_burst_is_as_large_as_ec2_takes_it(action, bucket):
    assert REQUEST_BUCKETS[action] == bucket
    assert await admitted_at_once(Limits(), action, 0, bucket.size + 3) == bucket.size


async def test_a_call_that_is_not_in_the_table_counts_as_any_other_write():
    assert await admitted_at_once(Limits(), "AttachVolume", 0, 60) == 50


async def test_machines_are_counted_too():
    assert RESOURCE_BUCKETS["RunInstances"] == Bucket(1000, 2)
    assert await admitted_at_once(Limits(), "RunInstances", 400, 4) == 2


async def test_more_machines_than_the_bucket_holds_do_not_wait_for_ever():
    await asyncio.wait_for(Limits().admit("RunInstances", 5000), 10)


async def test_who_waits_is_admitted_when_the_bucket_fills_again(monkeypatch):
    monkeypatch.setitem(limits.REQUEST_BUCKETS, "RunInstances", Bucket(1, 100))
    calls = Limits()
    await asyncio.wait_for(asyncio.gather(*(calls.admit("RunInstances") for _ in range(5))), 10)
    assert await admitted_at_once(calls, "RunInstances", 0, 1) == 0


async def test_one_action_does_not_use_up_anothers():
    calls = Limits()
    assert await admitted_at_once(calls, "RunInstances", 0, 10) == 5
    assert await admitted_at_once(calls, "StartInstances", 0, 10) == 5


async def test_a_reserved_request_is_not_paid_twice():
    limits = Limits()
    for _ in range(5):
        await limits.reserve("RunInstances")
    for _ in range(5):
        await asyncio.wait_for(limits.admit("RunInstances"), 0.1)
    assert not limits._reserved["RunInstances"]
