"""A deadline, and a stop that comes with it."""

import asyncio
import sys
import time
from contextlib import suppress

import pytest

from cloudjhub.deadlines import timeout


async def waits(result, seconds, *, then):
    with suppress(asyncio.TimeoutError):
        async with timeout(seconds):
            await result
    await then.wait()


@pytest.fixture
async def result():
    return asyncio.get_running_loop().create_future()


async def test_a_deadline_that_passes_is_an_error():
    with pytest.raises(asyncio.TimeoutError):
        async with timeout(0.01):
            await asyncio.Event().wait()


async def test_a_stop_that_arrives_with_the_result_is_not_lost(result):
    waiting = asyncio.ensure_future(waits(result, 60.0, then=asyncio.Event()))
    await asyncio.sleep(0)
    result.set_result(None)
    waiting.cancel()
    await asyncio.wait([waiting], timeout=60)
    assert waiting.cancelled()


@pytest.mark.xfail(
    sys.version_info < (3, 11), reason="async-timeout cannot tell it from its own cancellation"
)
async def test_a_stop_that_arrives_with_the_deadline_is_not_lost(result):
    waiting = asyncio.ensure_future(waits(result, 0.01, then=asyncio.Event()))
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(0.011, waiting.cancel)
    time.sleep(0.02)  # both are due when the loop turns again
    await asyncio.wait([waiting], timeout=60)
    assert waiting.cancelled()
