"""The shared view: how fresh it is for those who ask, and how often it looks."""

import asyncio

import pytest
from unit.listings import machine, shown

from cloudjhub.errors import EC2Unreachable, TimedOut

# -- refreshed


async def test_a_recent_listing_is_fresh_enough(view, listings, clock):
    await view._fetch_once()
    await view.refreshed()
    assert listings.looks == 1


async def test_an_old_listing_is_not_and_the_next_one_is_waited_for(view, listings, clock):
    await view._fetch_once()
    clock.ahead += 2.0
    waiting = asyncio.ensure_future(view.refreshed())
    await asyncio.sleep(0)
    assert not waiting.done()
    listings.machines = [machine(1)]
    await view._fetch_once()
    await asyncio.wait_for(waiting, 60)
    assert shown(view) == {"i-1": "running"}


async def test_a_look_that_began_before_the_question_does_not_answer_it(view, listings):
    asked = []
    listings.during = lambda: asked or asked.append(asyncio.ensure_future(view.refreshed()))
    listings.errors = [EC2Unreachable("gone", action="DescribeInstances")]
    await view._fetch_once()
    await asyncio.sleep(0)
    assert not asked[0].done()
    await view._fetch_once()
    await asyncio.wait_for(asked[0], 60)
    assert listings.looks == 2


@pytest.mark.parametrize(("seconds", "looks"), [(0.5, 1), (2.0, 2)], ids=["young", "old"])
async def test_a_look_under_way_answers_who_comes_soon_after_its_beginning(
    view, listings, clock, seconds, looks
):
    go_on, fetch = asyncio.Event(), view._fetch

    async def slowly():
        await go_on.wait()
        return await fetch()

    view._fetch = slowly
    looking = asyncio.ensure_future(view._fetch_once())
    await asyncio.sleep(0)
    clock.ahead += seconds
    asking = asyncio.ensure_future(view.refreshed())
    await asyncio.sleep(0)
    go_on.set()
    await looking
    await asyncio.sleep(0)
    if not asking.done():
        await view._fetch_once()
    await asyncio.wait_for(asking, 60)
    assert listings.looks == looks


async def test_who_waits_for_a_look_that_fails_gets_the_next(view, listings):
    listings.errors = [EC2Unreachable("gone", action="DescribeInstances")]
    looking = asyncio.ensure_future(view._fetch_once())
    await asyncio.sleep(0)
    asking = asyncio.ensure_future(view.refreshed())
    await looking
    await asyncio.sleep(0)
    assert not asking.done()
    await view._fetch_once()
    await asyncio.wait_for(asking, 60)


async def test_an_asker_who_is_cancelled_cancels_nobody_else(view):
    one, other = (asyncio.ensure_future(view.refreshed()) for _ in range(2))
    await asyncio.sleep(0)
    one.cancel()
    await asyncio.sleep(0)
    await view._fetch_once()
    await asyncio.wait_for(other, 60)
    assert one.cancelled()


async def test_a_hundred_askers_share_one_look(view, listings):
    askers = [asyncio.ensure_future(view.refreshed()) for _ in range(100)]
    await asyncio.sleep(0)
    await view._fetch_once()
    await asyncio.wait_for(asyncio.gather(*askers), 60)
    assert listings.looks == 1


async def test_who_waits_for_the_look_under_way_hears_when_the_view_ends(view, listings):
    waiting = asyncio.ensure_future(view.refreshed())
    await asyncio.sleep(0)
    looking = asyncio.ensure_future(view.run())
    await asyncio.sleep(0)
    assert listings.looks == 1
    looking.cancel()
    await asyncio.wait([looking, waiting], timeout=60)
    assert looking.cancelled() and waiting.cancelled()


async def test_who_waits_for_the_next_look_hears_when_the_view_ends(view):
    looking = asyncio.ensure_future(view.run())
    await asyncio.wait_for(view.changed(), 60)
    view._listed_at = None
    waiting = asyncio.ensure_future(view.refreshed())
    await asyncio.sleep(0)
    looking.cancel()
    await asyncio.wait([waiting], timeout=60)
    assert waiting.cancelled()


async def test_a_stop_that_arrives_with_the_listing_is_not_lost(view):
    """As asyncio.wait_for does before Python 3.12."""
    waiting = asyncio.ensure_future(view.next_listing())
    await asyncio.sleep(0.01)
    async with view._changed:
        view._changed.notify_all()
    waiting.cancel()
    await asyncio.wait([waiting], timeout=60)
    assert waiting.cancelled()


# -- pace


async def looks_until(listings, count):
    while listings.looks < count:
        await asyncio.sleep(0.001)


async def test_while_nobody_waits_it_rests(listings, running):
    view = running(busy_seconds=0.001, quiet_seconds=600.0)
    await asyncio.wait_for(view.changed(), 60)
    await asyncio.sleep(0.05)
    assert listings.looks == 1


async def test_while_someone_waits_it_looks_often_and_rests_afterwards(listings, running):
    view = running(busy_seconds=0.001, quiet_seconds=600.0)
    with view.watching():
        await asyncio.wait_for(looks_until(listings, 20), 60)
    await asyncio.wait_for(view.changed(), 60)
    looked = listings.looks
    await asyncio.sleep(0.05)
    assert listings.looks == looked


async def test_it_looks_now_and_then_by_itself(listings, running):
    running(busy_seconds=0.001, quiet_seconds=0.02)
    await asyncio.wait_for(looks_until(listings, 5), 60)


async def test_someone_who_begins_to_wait_wakes_it(listings, running):
    view = running(quiet_seconds=600.0)
    await asyncio.wait_for(view.changed(), 60)
    await asyncio.wait_for(view.next_listing(), 60)
    assert listings.looks >= 2


async def test_many_who_wait_do_not_make_it_look_more_often(listings, running):
    view = running(busy_seconds=0.3)
    await asyncio.wait_for(view.changed(), 60)
    waiting = [asyncio.ensure_future(view.next_listing()) for _ in range(100)]
    await asyncio.wait_for(asyncio.gather(*waiting), 60)
    # The view may look again before the last one has turned away.
    assert listings.looks <= 3


async def test_those_who_wait_one_after_the_other_do_not_make_it_look_for_each(listings, running):
    view = running(busy_seconds=600.0)
    await asyncio.wait_for(view.changed(), 60)
    for _ in range(20):
        with view.watching():
            await asyncio.sleep(0.001)
    assert listings.looks == 1


# -- until


async def test_until_returns_once_the_machine_is_as_wanted(listings, running):
    listings.machines = [machine(1, "stopping")]

    def stop_at_last():
        if listings.looks == 3:
            listings.machines = [machine(1, "stopped")]

    listings.during = stop_at_last
    view = running()
    waiting = view.until(
        "i-1", lambda seen: seen is not None and seen.state == "stopped", what="x", seconds=60.0
    )
    await asyncio.wait_for(waiting, 60)
    assert listings.looks >= 4


async def test_until_gives_up_and_says_what_it_waited_for(listings, running):
    view = running()
    with pytest.raises(TimedOut, match="in vain for machine i-1 to shut down"):
        await view.until("i-1", lambda seen: False, what="machine i-1 to shut down", seconds=0.02)
