"""Queues: order, places, pace, and what those who wait read. The clock is the test's."""

import asyncio
import random

import pytest
from prometheus_client import REGISTRY

from cloudjhub import line as line_module
from cloudjhub import progress
from cloudjhub.line import Gate, Line
from cloudjhub.progress import LET_IN, PLACE, StartReport, UsualTimes


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
    monkeypatch.setattr(line_module, "time", clock)
    monkeypatch.setattr(progress, "_TICK_SECONDS", 0.005)
    return clock


def report():
    return StartReport(UsualTimes())


async def settled():
    """Whatever can go on without anything from outside has done so."""
    for _ in range(10):
        await asyncio.sleep(0)


async def next_message(reader):
    """The next event that says something and does not only move the bar."""
    while "message" not in (event := await asyncio.wait_for(anext(reader), 60)):
        pass
    return event["message"]


# -- a line


def test_places_move_up_when_those_in_front_are_served_or_leave(clock):
    line = Line("test")
    with line.joined() as first, line.joined() as third:
        with line.joined() as leaving:
            assert [place.number for place in (first, third, leaving)] == [1, 2, 3]
        with line.joined() as last:
            line.serve(first)
            assert (third.number, last.number, len(line)) == (1, 2, 2)
    assert len(line) == 0


def test_the_gauge_counts_those_who_wait(clock):
    line = Line("gauge test")

    def waiting():
        return REGISTRY.get_sample_value("cloudjhub_logins_waiting", {"queue": "gauge test"})

    assert waiting() == 0
    with line.joined() as served, line.joined():
        assert waiting() == 2
        line.serve(served)
        line.serve(served)
        assert waiting() == 1
    assert waiting() == 0


def test_the_expected_time_is_place_times_measured_pace(clock):
    line = Line("test")
    with line.joined() as one, line.joined() as two, line.joined() as three, line.joined() as four:
        assert four.in_words() == "you are number 4 of 4"
        line.serve(one)
        clock.now += 20
        assert line.seconds(3) is None
        line.serve(two)
        assert four.in_words() == "you are number 2 of 2, 20 s so far, usually 40 s more"
        # Nothing moves for longer than usual: nobody is promised the old pace.
        clock.now += 100
        assert (
            three.in_words() == "you are number 1 of 2, 2 min 0 s so far, usually 1 min 40 s more"
        )
        line.why = "all 60 places are taken"
        assert four.in_words().startswith("all 60 places are taken; you are number 2 of 2")


def test_the_night_between_two_classes_is_not_the_pace_of_the_next(clock):
    line = Line("test")
    with line.joined() as one, line.joined() as two:
        line.serve(one)
        clock.now += 1
        line.serve(two)
    clock.now += 50000
    with line.joined():
        assert line.seconds(1) is None


# -- a gate


async def test_a_gate_lets_in_as_many_as_it_is_wide_in_the_order_they_came(clock):
    gate, entered, go = Gate("test", 2, LET_IN), [], {n: asyncio.Event() for n in range(6)}

    async def login(number):
        async with gate.turn(report()):
            entered.append(number)
            await go[number].wait()

    tasks = []
    for number in range(6):
        tasks.append(asyncio.ensure_future(login(number)))
        await settled()
    assert entered == [0, 1] and len(gate.line) == 4
    go[1].set()
    await settled()
    assert entered == [0, 1, 2]
    for event in go.values():
        event.set()
    await asyncio.wait_for(asyncio.gather(*tasks), 60)
    assert entered == [0, 1, 2, 3, 4, 5]
    assert len(gate.line) == 0


async def test_who_gives_up_in_line_or_inside_blocks_nobody(clock):
    gate = Gate("test", 1, LET_IN)
    hold = asyncio.Event()

    async def login():
        async with gate.turn(report()):
            await hold.wait()

    inside, in_line, patient = (asyncio.ensure_future(login()) for _ in range(3))
    await settled()
    in_line.cancel()
    await settled()
    assert len(gate.line) == 1
    inside.cancel()
    await settled()
    assert len(gate.line) == 0
    hold.set()
    await asyncio.wait_for(patient, 60)


async def test_who_is_let_in_and_cancelled_in_the_same_turn_passes_it_on(clock):
    gate = Gate("test", 1, LET_IN)
    holds = [asyncio.Event() for _ in range(3)]

    async def login(number):
        async with gate.turn(report()):
            await holds[number].wait()

    tasks = [asyncio.ensure_future(login(number)) for number in range(3)]
    await settled()
    holds[0].set()
    await asyncio.sleep(0)
    assert not gate._next.keys() & {1} and not tasks[1].done()
    tasks[1].cancel()
    await settled()
    assert len(gate.line) == 0
    holds[2].set()
    await asyncio.wait_for(tasks[2], 60)


async def test_whatever_happens_a_gate_is_never_overrun_and_ends_empty(clock):
    gate, chance, inside = Gate("test", 3, LET_IN), random.Random(7), []

    async def login():
        async with gate.turn(report()):
            inside.append(len(inside) + 1)
            assert gate._inside <= 3
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)

    tasks = []
    for _ in range(300):
        tasks.append(asyncio.ensure_future(login()))
        if chance.random() < 0.3:
            chance.choice(tasks).cancel()
        if chance.random() < 0.3:
            await asyncio.sleep(0)
    answers = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 60)
    assert {type(answer) for answer in answers} == {type(None), asyncio.CancelledError}
    assert (gate._inside, len(gate.line), gate._next) == (0, 0, {})
    async with gate.turn(report()):
        assert gate._inside == 1


# -- what is seen


async def test_who_waits_sees_the_line_move_and_who_comes_later_sees_where_it_stands(clock):
    line, seen = Line("test"), report()
    line.why = "all 3 places are taken"
    with line.joined() as one, line.joined() as two, line.joined() as place:  # noqa: SIM117
        with seen.phase(PLACE, place):
            reader = seen.events()
            assert await next_message(reader) == (
                "You wait for a machine: all 3 places are taken; you are number 3 of 3."
            )
            line.serve(one)
            clock.now += 5
            moved = await next_message(reader)
            assert "you are number 2 of 2, 5 s so far" in moved
            late = seen.events()
            assert "number 3 of 3" in await next_message(late)
            assert await next_message(late) == moved
            clock.now += 5
            line.serve(two)
            assert "number 1 of 1, 10 s so far, usually 10 s more" in await next_message(reader)
            assert len(seen._events) == 1


async def test_who_stands_still_is_told_every_half_minute(clock):
    line, seen = Line("test"), report()
    with line.joined() as place, seen.phase(PLACE, place):
        reader = seen.events()
        first, _ = await next_message(reader), await next_message(reader)
        clock.now += 29
        assert "message" not in await asyncio.wait_for(anext(reader), 60)
        clock.now += 1
        assert await next_message(reader) == f"{first[:-1]}, 30 s so far."
        clock.now += 30
        assert await next_message(reader) == f"{first[:-1]}, 60 s so far."
        assert len(seen._events) == 1


async def test_a_line_that_moves_all_the_time_is_told_now_and_then(clock):
    line, seen = Line("test"), report()
    places = [line.joined() for _ in range(120)]
    everybody = [place.__enter__() for place in places]
    with seen.phase(PLACE, everybody[-1]):
        reader = seen.events()
        await next_message(reader)
        told = 0
        for place in everybody[:-1]:
            line.serve(place)
            clock.now += 0.1
            told += "message" in await asyncio.wait_for(anext(reader), 60)
    assert 5 < told < 30
    for place in places:
        place.__exit__(None, None, None)


async def test_where_it_stands_is_said_when_the_start_ends_there(clock):
    line, seen = Line("test"), report()
    assert seen.too_late(1140).message == "Your server was not ready in 19 min 0 s."
    with line.joined() as place, seen.phase(PLACE, place):
        clock.now += 1140
        assert seen.too_late(1140).message == (
            "Your server was not ready in 19 min 0 s. "
            "You wait for a machine: you are number 1 of 1, 19 min 0 s so far."
        )
