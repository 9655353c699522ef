"""What the progress page shows: everything, to everyone, with elapsed and usual times."""

import asyncio
import re

import pytest
from sites import BRISK

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

SITE = {"more_config": BRISK}


async def test_two_pages_get_everything_from_the_first_event_on(no_faults):
    site = no_faults
    await site.user("student01")
    site.ec2.faults.hold("boot")
    await site.begin("student01")
    early, late, booting = [], [], asyncio.Event()

    async def listen_from_the_start():
        async for event in site.progress("student01"):
            early.append(event)
            if "booting" in event.get("message", ""):
                booting.set()

    async def listen_later():
        await asyncio.wait_for(booting.wait(), 120)
        async for event in site.progress("student01"):
            late.append(event)
            site.ec2.faults.let_go("boot")

    await asyncio.gather(listen_from_the_start(), listen_later())
    assert _messages(late) == _messages(early)
    said = " ".join(_messages(early))
    for phase in ("Getting you a new machine", "Your machine is booting", "Starting your notebook"):
        assert phase in said
    for events in (early, late):
        assert events[-1]["ready"] is True
        percents = [event["progress"] for event in events if "progress" in event]
        assert percents == sorted(percents) and percents[-1] == 100


async def test_the_time_a_phase_took_and_usually_takes_is_said(no_faults):
    site = no_faults
    # The median of all starts so far decides, so these must be most of them.
    site.ec2.faults.slow("boot", 2.0)
    students = [await site.user(name) for name in ("student02", "student03", "student04")]
    starts = await asyncio.gather(*(student.start_server() for student in students))
    assert re.search(r"It answers after \d+ s\.", " ".join(_messages(starts[0].events)))
    site.ec2.faults.hold("boot")
    await site.user("student05")
    await site.begin("student05")
    events = []
    async for event in site.progress("student05"):
        events.append(event)
        if " so far" in event.get("message", ""):
            site.ec2.faults.let_go("boot")
    said = " ".join(_messages(events))
    assert re.search(r"Your machine is booting; usually \d+ s\.", said), said
    assert re.search(r"Your machine is booting: \d+ s so far, usually \d+ s\.", said), said


async def test_a_page_that_comes_after_the_end_is_told_so_at_once(site):
    await (await site.user("student07")).start_server()
    events = [event async for event in site.progress("student07")]
    assert len(events) == 1 and events[0]["ready"] is True and events[0]["progress"] == 100


async def test_a_page_that_comes_after_a_failure_is_told_why(no_faults):
    site = no_faults
    await site.user("student08")
    site.ec2.faults.refuse("RunInstances", "VcpuLimitExceeded", "Too many.", status=400, times=9)
    with site.config(WHEN_FULL="refuse"):
        await site.failed_start("student08")
    for _ in range(2):
        (event,) = [event async for event in site.progress("student08")]
        assert event["failed"] is True and event["progress"] == 100
        assert "The account's quota of vCPUs is used up." in event["message"].replace("&#39;", "'")


async def test_a_failed_start_is_not_shown_in_the_next(no_faults):
    site = no_faults
    student = await site.user("student09")
    site.ec2.faults.refuse("RunInstances", "VcpuLimitExceeded", "Too many.", status=400, times=9)
    with site.config(WHEN_FULL="refuse"):
        await site.failed_start("student09")
    site.ec2.faults.clear()
    start = await student.start_server()
    assert not any("quota" in message for message in _messages(start.events))
    assert start.events[-1]["ready"] is True


def _messages(events):
    return [event["message"] for event in events if event.get("message")]
