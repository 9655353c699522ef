"""What a waiting user is told. The clock is the test's."""

import asyncio
import itertools

import pytest

from cloudjhub import progress
from cloudjhub.progress import BOOT, LAUNCH, LOOK, START, StartReport, UsualTimes

PHASES = [value for value in vars(progress).values() if isinstance(value, progress.Phase)]
ORDERLY_START = [LOOK, LAUNCH, START, BOOT, progress.HOME, progress.NOTEBOOK]


class Clock:
    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    """Time that passes when the test says so; readers look every few milliseconds."""
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    monkeypatch.setattr(progress, "_TICK_SECONDS", 0.005)
    return clock


@pytest.fixture
def times():
    return UsualTimes()


@pytest.fixture
def report(clock, times):
    return StartReport(times)


async def first(count, reader):
    """That many events."""
    return [await asyncio.wait_for(anext(reader), 60) for _ in range(count)]


async def next_message(reader):
    """The next event that says something and does not only move the bar."""
    while "message" not in (event := await asyncio.wait_for(anext(reader), 60)):
        pass
    return event


async def said(report) -> list[str]:
    """All messages so far."""
    report.note("END")
    messages = []
    reader = report.events()
    while (event := await next_message(reader))["message"] != "END":
        messages.append(event["message"])
    return messages


async def test_every_reader_gets_everything_from_the_beginning(report):
    with report.phase(LOOK):
        early = await first(1, report.events())
        report.note("Something besides.")
    with report.phase(LAUNCH):
        one, two = await first(3, report.events()), await first(3, report.events())
    assert one == two and one[:1] == early
    assert [event["message"] for event in one] == [
        "Looking for your machine.",
        "Something besides.",
        "Getting you a new machine.",
    ]


async def test_a_reader_that_waits_gets_what_is_said_then(report):
    reader = report.events()
    waiting = asyncio.ensure_future(next_message(reader))
    await asyncio.sleep(0)
    report.note("Now.")
    assert await waiting == {"message": "Now."}


async def test_a_reader_that_goes_away_takes_nothing_from_the_other(report):
    gone = asyncio.ensure_future(anext(report.events()))
    await asyncio.sleep(0)
    gone.cancel()
    report.note("Still here.")
    assert (await first(1, report.events()))[0]["message"] == "Still here."


@pytest.mark.parametrize("phase", PHASES, ids=lambda phase: phase.name)
async def test_the_bar_moves_forward_within_its_part_and_never_beyond(report, clock, phase):
    shown = []
    with report.phase(phase):
        reader = report.events()
        shown.append((await anext(reader))["progress"])
        for seconds in (0, 1, 5, 10, 60, 3600, 86400):
            clock.now += seconds
            shown.append((await asyncio.wait_for(anext(reader), 60))["progress"])
    assert shown == sorted(shown)
    assert shown[0] == phase.first
    assert shown[-1] > phase.first
    assert shown[-1] <= phase.last <= 100


def test_the_phases_of_an_orderly_start_follow_each_other_on_the_bar():
    for before, after in itertools.pairwise(ORDERLY_START):
        assert before.first < before.last <= after.first
    assert ORDERLY_START[-1].last < 100


async def test_without_a_measurement_no_usual_time_is_claimed(report):
    with report.phase(BOOT):
        pass
    assert await said(report) == ["Your machine is booting."]


async def test_after_the_first_start_the_next_is_told_the_usual_time(times, report, clock):
    with report.phase(BOOT):
        clock.now += 42
    another = StartReport(times)
    with another.phase(BOOT):
        assert await said(another) == ["Your machine is booting; usually 42 s."]


async def test_the_usual_time_is_the_median_of_the_last_starts(times):
    assert times.usual(BOOT) is None
    for seconds in [1000.0] * 50 + [10.0] * 26 + [90.0] * 24:
        times.add(BOOT, seconds)
    assert times.usual(BOOT) == 10.0
    assert times.usual(LOOK) is None


async def test_a_phase_that_failed_does_not_count_as_a_measurement(times, report, clock):
    with pytest.raises(RuntimeError), report.phase(BOOT):
        clock.now += 300
        raise RuntimeError
    assert times.usual(BOOT) is None


async def test_a_finished_phase_is_told_with_the_time_it_took(report, clock):
    with report.phase(LAUNCH):
        clock.now += 130
    with report.phase(START):
        assert (await said(report))[-1] == (
            "You have a machine after 2 min 10 s. Starting your machine."
        )


async def test_a_phase_that_takes_twice_the_usual_time_says_so_and_again_at_each_doubling(
    times, report, clock
):
    times.add(BOOT, 20.0)
    with report.phase(BOOT):
        reader, other = report.events(), report.events()
        await first(1, reader)
        clock.now += 39
        assert list(await anext(reader)) == ["progress"]
        clock.now += 2
        late = await next_message(reader)
        clock.now += 40
        assert list(await anext(reader)) == ["progress"]
        clock.now += 2
        later = await next_message(reader)
        everything = [event for event in await first(3, other) if "message" in event]
    assert late["message"] == "Your machine is booting: 41 s so far, usually 20 s."
    assert later["message"] == "Your machine is booting: 83 s so far, usually 20 s."
    assert everything[1:] == [late, later]


async def test_two_readers_lose_patience_once(report, clock):
    with report.phase(BOOT):
        readers = [report.events(), report.events()]
        for reader in readers:
            await first(1, reader)
        clock.now += 31
        lates = [await next_message(reader) for reader in readers]
        assert lates[0] == lates[1]
        assert len(await said(report)) == 2


async def test_after_the_last_phase_the_bar_stands_still(report, clock):
    with report.phase(LOOK):
        pass
    reader = report.events()
    await first(1, reader)
    waiting = asyncio.ensure_future(anext(reader))
    done, _ = await asyncio.wait([waiting], timeout=0.03)
    assert not done
    waiting.cancel()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (59.0, "59 s"),
        (99.4, "99 s"),
        (100.0, "1 min 40 s"),
        (119.7, "2 min 0 s"),
        (3600.0, "60 min 0 s"),
    ],
)
def test_times_are_told_in_seconds_or_minutes(seconds, text):
    assert progress.in_words(seconds) == text
