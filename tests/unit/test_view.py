"""The shared view: what it shows ahead of listings, how old it is, how often it looks."""

import asyncio
import logging
import time

import pytest

from cloudjhub.ec2_values import Instance
from cloudjhub.errors import EC2Unreachable, TimedOut
from cloudjhub.fleet import view as view_module
from cloudjhub.fleet.view import SETTLE_SECONDS, View


class Listings:
    """What EC2 lists. Each look takes ``seconds``; ``errors`` are raised by the next looks."""

    def __init__(self):
        self.machines: list[Instance] = []
        self.errors: list[Exception] = []
        self.looks = 0
        self.during = None  # called in the middle of a look

    async def fetch(self):
        self.looks += 1
        listed = list(self.machines)
        await asyncio.sleep(0)
        if self.during:
            self.during()
        if self.errors:
            raise self.errors.pop(0)
        return listed


@pytest.fixture
def listings():
    return Listings()


@pytest.fixture
async def view(listings):
    """A view whose looks are the test's: ``await view._fetch_once()``."""
    return View(listings.fetch, busy_seconds=1.0, quiet_seconds=30.0)


@pytest.fixture
async def running(listings):
    """Starts views that look by themselves and ends them after the test."""
    tasks = []

    def run(**seconds):
        view = View(listings.fetch, **{"busy_seconds": 0.005, "quiet_seconds": 600.0, **seconds})
        tasks.append(asyncio.ensure_future(view.run()))
        return view

    yield run
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class Clock:
    def __init__(self):
        self.ahead = 0.0

    def monotonic(self):
        return time.monotonic() + self.ahead


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(view_module, "time", clock)
    return clock


def machine(number=1, state="running", **changes) -> Instance:
    return Instance(f"i-{number}", state, **changes)


def shown(view) -> dict[str, str]:
    return {each.id: each.state for each in view.all()}


# -- what is shown


async def test_before_the_first_listing_nothing_is_known_and_the_age_says_so(view):
    assert (shown(view), view.age_seconds) == ({}, float("inf"))


async def test_a_listing_replaces_the_one_before(view, listings):
    listings.machines = [machine(1), machine(2)]
    await view._fetch_once()
    listings.machines = [machine(2, "stopped")]
    await view._fetch_once()
    assert shown(view) == {"i-2": "stopped"}
    assert view.get("i-1") is None


async def test_a_launched_machine_counts_although_listings_lag(view, listings, clock):
    view.tell([machine(1, "pending")])
    assert shown(view) == {"i-1": "pending"}
    clock.ahead += SETTLE_SECONDS - 1
    await view._fetch_once()
    assert shown(view) == {"i-1": "pending"}


async def test_a_launched_machine_that_is_never_listed_is_gone_after_a_while(view, clock):
    view.tell([machine(1, "pending")])
    clock.ahead += SETTLE_SECONDS + 1
    await view._fetch_once()
    assert shown(view) == {}


async def test_once_a_launched_machine_is_listed_the_listing_counts(view, listings):
    view.tell([machine(1, "pending")])
    listings.machines = [machine(1, "terminated")]
    await view._fetch_once()
    assert shown(view) == {"i-1": "terminated"}


async def test_an_answered_state_counts_until_a_listing_that_began_later(view, listings):
    listings.machines = [machine(1, "stopped")]
    await view._fetch_once()
    view.tell_states({"i-1": "pending"})
    assert shown(view) == {"i-1": "pending"}
    listings.machines = [machine(1, "running")]
    await view._fetch_once()
    assert shown(view) == {"i-1": "running"}


async def test_an_answered_state_outlives_a_listing_that_began_before_it(view, listings):
    listings.machines = [machine(1, "running")]
    listings.during = lambda: view.tell_states({"i-1": "stopping"})
    await view._fetch_once()
    assert shown(view) == {"i-1": "stopping"}
    listings.during = None
    await view._fetch_once()
    assert shown(view) == {"i-1": "running"}


async def test_an_answered_state_of_an_unknown_machine_makes_none(view):
    view.tell_states({"i-9": "stopping"})
    assert shown(view) == {}


async def test_written_tags_count_although_listings_lag_and_then_the_listing_does(
    view, listings, clock
):
    listings.machines = [machine(1, tags={"a": "old", "b": "old", "c": "old"})]
    await view._fetch_once()
    view.tell_tags("i-1", {"a": "new"})
    view.tell_tags("i-1", {"b": None})
    await view._fetch_once()
    assert view.get("i-1").tags == {"a": "new", "c": "old"}
    clock.ahead += SETTLE_SECONDS + 1
    await view._fetch_once()
    assert view.get("i-1").tags == {"a": "old", "b": "old", "c": "old"}


async def test_tags_may_be_told_before_the_machine_is_listed(view, listings):
    view.tell_tags("i-1", {"a": "new"})
    listings.machines = [machine(1)]
    await view._fetch_once()
    assert view.get("i-1").tags == {"a": "new"}


# -- failures


async def test_a_failed_look_keeps_the_last_state_and_the_age_grows(view, listings, clock):
    listings.machines = [machine(1)]
    await view._fetch_once()
    clock.ahead += 100
    listings.errors = [EC2Unreachable("gone", action="DescribeInstances")]
    listings.machines = []
    await view._fetch_once()
    assert shown(view) == {"i-1": "running"}
    assert view.age_seconds > 99
    await view._fetch_once()
    assert shown(view) == {}
    assert view.age_seconds < 99


async def test_an_outage_is_logged_when_it_begins_and_when_it_ends(view, listings, caplog):
    caplog.set_level(logging.WARNING, "cloudjhub.fleet.view")
    listings.errors = [EC2Unreachable("gone", action="DescribeInstances")] * 3
    for _ in range(5):
        await view._fetch_once()
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2
    assert "last known state stays in force" in messages[0]
    assert "answers again" in messages[1]


async def test_an_unexpected_error_is_logged_whole_and_the_looking_goes_on(
    listings, running, caplog
):
    listings.errors = [RuntimeError("surprise")]
    listings.machines = [machine(1)]
    view = running()
    with view.watching():
        while not shown(view):
            await asyncio.wait_for(view.changed(), 10)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR and record.exc_info


async def test_waiters_hear_of_a_failed_look_and_the_next_succeeds(listings, running):
    listings.errors = [EC2Unreachable("gone", action="DescribeInstances")] * 2
    view = running()
    with pytest.raises(EC2Unreachable):
        await asyncio.wait_for(view.refreshed(), 10)
    # The second failure may belong to that waiter or to the next one.
    for _ in range(2):
        try:
            await asyncio.wait_for(view.refreshed(), 10)
            break
        except EC2Unreachable:
            pass
    assert view.age_seconds < float("inf")


# -- refreshed


async def test_a_recent_listing_is_fresh_enough(view, listings):
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
    await asyncio.wait_for(waiting, 10)
    assert shown(view) == {"i-1": "running"}


async def test_a_look_that_began_before_the_question_does_not_answer_it(view, listings):
    asked = []
    listings.during = lambda: asked or asked.append(asyncio.ensure_future(view.refreshed()))
    listings.errors = [EC2Unreachable("gone", action="DescribeInstances")]
    await view._fetch_once()
    await asyncio.sleep(0)
    assert not asked[0].done()
    await view._fetch_once()
    await asyncio.wait_for(asked[0], 10)
    assert listings.looks == 2


async def test_an_asker_who_is_cancelled_cancels_nobody_else(view):
    one, other = (asyncio.ensure_future(view.refreshed()) for _ in range(2))
    await asyncio.sleep(0)
    one.cancel()
    await asyncio.sleep(0)
    await view._fetch_once()
    await asyncio.wait_for(other, 10)
    assert one.cancelled()


async def test_a_hundred_askers_share_one_look(view, listings):
    askers = [asyncio.ensure_future(view.refreshed()) for _ in range(100)]
    await asyncio.sleep(0)
    await view._fetch_once()
    await asyncio.wait_for(asyncio.gather(*askers), 10)
    assert listings.looks == 1


# -- pace


async def looks_until(listings, count):
    while listings.looks < count:
        await asyncio.sleep(0.001)


async def test_while_nobody_waits_it_rests(listings, running):
    view = running(busy_seconds=0.001, quiet_seconds=600.0)
    await asyncio.wait_for(view.changed(), 10)
    await asyncio.sleep(0.05)
    assert listings.looks == 1


async def test_while_someone_waits_it_looks_often_and_rests_afterwards(listings, running):
    view = running(busy_seconds=0.001, quiet_seconds=600.0)
    with view.watching():
        await asyncio.wait_for(looks_until(listings, 20), 10)
    await asyncio.wait_for(view.changed(), 10)
    looked = listings.looks
    await asyncio.sleep(0.05)
    assert listings.looks == looked


async def test_it_looks_now_and_then_by_itself(listings, running):
    running(busy_seconds=600.0, quiet_seconds=0.001)
    await asyncio.wait_for(looks_until(listings, 5), 10)


async def test_someone_who_begins_to_wait_wakes_it(listings, running):
    view = running(quiet_seconds=600.0)
    await asyncio.wait_for(view.changed(), 10)
    await asyncio.wait_for(view.next_listing(), 10)
    assert listings.looks == 2


async def test_many_who_wait_do_not_make_it_look_more_often(listings, running):
    view = running(busy_seconds=600.0)
    await asyncio.wait_for(view.changed(), 10)
    waiting = [asyncio.ensure_future(view.next_listing()) for _ in range(100)]
    await asyncio.wait_for(asyncio.gather(*waiting), 10)
    assert listings.looks == 2


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
    await asyncio.wait_for(waiting, 10)
    assert listings.looks >= 4


async def test_until_gives_up_and_says_what_it_waited_for(listings, running):
    view = running()
    with pytest.raises(TimedOut, match="in vain for machine i-1 to shut down"):
        await view.until("i-1", lambda seen: False, what="machine i-1 to shut down", seconds=0.02)
