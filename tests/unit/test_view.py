"""The shared view: what it shows ahead of listings, how old it is, how often it looks."""

import asyncio
import logging

import pytest
from unit.listings import machine, shown

from cloudjhub.errors import EC2Unreachable
from cloudjhub.fleet.view import SETTLE_SECONDS

# -- what is shown


async def test_before_the_first_listing_nothing_is_known_and_the_age_says_so(view):
    assert (shown(view), view.age_seconds) == ({}, float("inf"))


async def test_a_listing_replaces_the_one_before(view, listings):
    listings.machines = [machine(1), machine(2)]
    await view._fetch_once()
    listings.machines = [machine(2, "stopped")]
    await view._fetch_once()
    assert view.get("i-2").state == "stopped"
    await view._fetch_once()
    assert shown(view) == {"i-2": "stopped"}
    assert view.get("i-1") is None


async def test_a_machine_that_one_listing_misses_is_still_there(view, listings):
    listings.machines = [machine(1)]
    await view._fetch_once()
    listings.machines = []
    await view._fetch_once()
    assert shown(view) == {"i-1": "running"}


async def test_a_launched_machine_counts_although_listings_lag(view, listings, clock):
    view.tell([machine(1, "pending")])
    assert shown(view) == {"i-1": "pending"}
    clock.ahead += SETTLE_SECONDS - 1
    await view._fetch_once()
    assert shown(view) == {"i-1": "pending"}


async def test_a_launched_machine_survives_listings_that_forget_it_again(view, listings):
    view.tell([machine(1, "pending")])
    for listings.machines in ([machine(1, "pending")], [], []):
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


async def test_an_answered_state_of_a_machine_that_is_not_listed_yet_stays(view):
    view.tell([machine(1, "pending")])
    view.tell_states({"i-1": "shutting-down"})
    await view._fetch_once()
    assert shown(view) == {"i-1": "shutting-down"}


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
    assert view.age_seconds < 99
    await view._fetch_once()
    assert shown(view) == {}


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
            await asyncio.wait_for(view.changed(), 60)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR and record.exc_info


async def test_waiters_hear_of_a_failed_look_and_the_next_succeeds(listings, running):
    listings.errors = [EC2Unreachable("gone", action="DescribeInstances")] * 2
    view = running()
    with pytest.raises(EC2Unreachable):
        await asyncio.wait_for(view.refreshed(), 60)
    # The second failure may belong to that waiter or to the next one.
    for _ in range(2):
        try:
            await asyncio.wait_for(view.refreshed(), 60)
            break
        except EC2Unreachable:
            pass
    assert view.age_seconds < float("inf")
