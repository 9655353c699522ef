"""Many askers, one call."""

import asyncio

import pytest

from cloudjhub.errors import BadLaunch, EC2Error, NoCapacity, NotFound, WrongState
from cloudjhub.fleet.batch import CAUSED_BY_ONE, Batcher, own_copy


class Line:
    """Records what is sent. ``bad`` items make the whole call fail, as EC2 does."""

    def __init__(self, bad=(), error=NotFound):
        self.sent: list[list] = []
        self.bad = set(bad)
        self.error = error

    async def send(self, items):
        self.sent.append(items)
        if self.bad & set(items):
            raise self.error("bad", action="X", code="c", request_id="r")
        return [item * 10 for item in items]


def batcher(line, **settings) -> Batcher:
    return Batcher(line.send, window_seconds=0.01, **settings)


async def ask_all(batcher, items):
    asks = [batcher.submit(item) for item in items]
    return await asyncio.wait_for(asyncio.gather(*asks, return_exceptions=True), 60)


async def test_askers_within_a_window_share_one_call_and_get_their_own_answers():
    line = Line()
    assert await ask_all(batcher(line), range(30)) == [item * 10 for item in range(30)]
    assert line.sent == [list(range(30))]


async def test_askers_after_the_window_get_a_call_of_their_own():
    line, late = Line(), []
    shared = batcher(line)
    late.append(await ask_all(shared, [1, 2]))
    late.append(await ask_all(shared, [3]))
    assert (late, line.sent) == ([[10, 20], [30]], [[1, 2], [3]])


async def test_who_asks_while_a_call_is_under_way_is_sent_without_waiting_for_it():
    line, entered, go_on = Line(), asyncio.Event(), asyncio.Event()

    async def slow_at_first(items):
        if not line.sent:
            line.sent.append(items)
            entered.set()
            await go_on.wait()
            return items
        return await line.send(items)

    shared = Batcher(slow_at_first, window_seconds=0.01)
    first = asyncio.ensure_future(shared.submit(1))
    await entered.wait()
    assert await asyncio.wait_for(shared.submit(2), 60) == 20
    assert not first.done()
    go_on.set()
    assert await first == 1


async def test_no_call_is_larger_than_the_limit():
    line = Line()
    answers = await ask_all(batcher(line, limit=4), range(10))
    assert answers == [item * 10 for item in range(10)]
    assert sorted(map(len, line.sent)) == [2, 4, 4]


@pytest.mark.parametrize("error", CAUSED_BY_ONE)
@pytest.mark.parametrize("culprit", [0, 13, 31])
async def test_the_culprit_is_alone_in_the_end_and_the_others_are_served(error, culprit):
    line = Line(bad=[culprit], error=error)
    answers = await ask_all(batcher(line), range(32))
    assert isinstance(answers.pop(culprit), error)
    assert answers == [item * 10 for item in range(32) if item != culprit]
    # Two calls for each halving of 32: 64, 32, 16, ... and the first.
    assert len(line.sent) == 1 + 2 * 5
    served = [item for items in line.sent if not line.bad & set(items) for item in items]
    assert sorted(served) == [item for item in range(32) if item != culprit]


async def test_when_all_are_bad_each_hears_it_and_the_calls_are_bounded():
    line = Line(bad=range(16))
    answers = await ask_all(batcher(line), range(16))
    assert [type(answer) for answer in answers] == [NotFound] * 16
    assert len(line.sent) == 2 * 16 - 1


async def test_each_of_several_culprits_hears_of_itself():
    line = Line(bad=[3, 4, 9], error=WrongState)
    answers = await ask_all(batcher(line), range(12))
    failed = [index for index, answer in enumerate(answers) if isinstance(answer, WrongState)]
    assert failed == [3, 4, 9]


async def test_an_error_that_no_single_one_caused_goes_to_all_as_their_own_object():
    line = Line(bad=[1], error=BadLaunch)
    answers = await ask_all(batcher(line), range(5))
    assert len(line.sent) == 1
    assert [type(answer) for answer in answers] == [BadLaunch] * 5
    assert len({id(answer) for answer in answers}) == 5
    assert {(a.message, a.action, a.code, a.request_id) for a in answers} == {
        ("bad", "X", "c", "r")
    }


async def test_an_unexpected_error_reaches_everyone_too():
    async def send(items):
        raise KeyError("surprise")

    answers = await ask_all(Batcher(send, window_seconds=0.0), [1, 2])
    assert [type(answer) for answer in answers] == [KeyError, KeyError]


async def test_an_answer_that_is_an_exception_is_raised_to_its_asker_only():
    async def send(items):
        return [item if item % 2 else NoCapacity("none", action="X") for item in items]

    answers = await ask_all(Batcher(send, window_seconds=0.0), [1, 2, 3])
    assert answers[0] == 1 and answers[2] == 3
    assert isinstance(answers[1], NoCapacity)


async def test_an_asker_who_is_cancelled_before_the_call_is_left_out():
    line = Line()
    shared = batcher(line)
    asks = [asyncio.ensure_future(shared.submit(item)) for item in range(4)]
    await asyncio.sleep(0)
    asks[1].cancel()
    answers = await asyncio.gather(*asks, return_exceptions=True)
    assert isinstance(answers[1], asyncio.CancelledError)
    assert line.sent == [[0, 2, 3]]


async def test_when_all_askers_of_a_window_are_cancelled_nothing_is_sent_and_the_next_is_served():
    line = Line()
    shared = batcher(line)
    ask = asyncio.ensure_future(shared.submit(1))
    await asyncio.sleep(0)
    ask.cancel()
    await asyncio.gather(ask, return_exceptions=True)
    assert await ask_all(shared, [2]) == [20]
    assert [items for items in line.sent if items] == [[2]]


async def test_an_asker_who_is_cancelled_during_the_call_does_not_disturb_it():
    entered, go_on, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def send(items):
        entered.set()
        await go_on.wait()
        ended.set()
        return items

    shared = Batcher(send, window_seconds=0.0)
    one, other = (asyncio.ensure_future(shared.submit(item)) for item in (1, 2))
    await entered.wait()
    one.cancel()
    go_on.set()
    assert await asyncio.wait_for(other, 60) == 2
    await asyncio.wait([one])
    assert one.cancelled() and ended.is_set()


async def test_closing_ends_the_call_under_way_and_its_askers():
    entered = asyncio.Event()

    async def send(items):
        entered.set()
        await asyncio.Event().wait()

    shared = Batcher(send, window_seconds=0.0)
    ask = asyncio.ensure_future(shared.submit(1))
    await entered.wait()
    await shared.aclose()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(ask, 60)


async def test_closing_ends_those_whose_window_is_still_open():
    line = Line()
    shared = Batcher(line.send, window_seconds=600.0)
    ask = asyncio.ensure_future(shared.submit(1))
    await asyncio.sleep(0)
    await shared.aclose()
    await asyncio.wait([ask], timeout=60)
    assert ask.cancelled() and line.sent == []


async def test_closing_in_the_middle_of_a_halving_ends_both_halves():
    entered = asyncio.Event()

    async def send(items):
        if len(items) == 4:
            raise NoCapacity("none", action="X")
        entered.set()
        await asyncio.Event().wait()

    shared = Batcher(send, window_seconds=0.0)
    asks = [asyncio.ensure_future(shared.submit(item)) for item in range(4)]
    await entered.wait()
    await shared.aclose()
    await asyncio.wait(asks, timeout=60)
    assert all(ask.cancelled() for ask in asks)


async def test_missing_capacity_for_a_whole_class_is_told_in_few_calls():
    line = Line(bad=range(300), error=NoCapacity)
    answers = await ask_all(batcher(line), range(300))
    assert [type(answer) for answer in answers] == [NoCapacity] * 300
    assert len(line.sent) < 30


def test_a_copy_of_an_error_says_the_same_and_names_the_first():
    error = EC2Error("m", action="a", code="c", request_id="r")
    copy = own_copy(error)
    assert copy is not error and copy.__cause__ is error
    assert str(copy) == str(error)
