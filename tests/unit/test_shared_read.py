"""One read for all who ask at the same time."""

import asyncio

import pytest

from cloudjhub.fleet.shared_read import SharedRead


class Source:
    """A read that ends when it is told to. Its results count the reads."""

    def __init__(self):
        self.began = 0
        self.errors = {}  # number of the read -> what it raises
        self._may_end: dict[int, asyncio.Event] = {}
        self._entered = asyncio.Condition()

    def let_end(self, number):
        self._may_end.setdefault(number, asyncio.Event()).set()

    async def read(self):
        self.began += 1
        number = self.began
        async with self._entered:
            self._entered.notify_all()
        await self._may_end.setdefault(number, asyncio.Event()).wait()
        if number in self.errors:
            raise self.errors[number]
        return number

    async def begun(self, number):
        async with self._entered:
            await self._entered.wait_for(lambda: self.began >= number)


@pytest.fixture
def source():
    return Source()


@pytest.fixture
def shared(source):
    return SharedRead(source.read)


def ask(shared, count):
    return [asyncio.ensure_future(shared.get()) for _ in range(count)]


async def answers_of(asks):
    return await asyncio.wait_for(asyncio.gather(*asks, return_exceptions=True), 60)


async def test_all_who_ask_at_once_share_one_read(shared, source):
    source.let_end(1)
    assert await answers_of(ask(shared, 50)) == [1] * 50
    assert source.began == 1


async def test_who_asks_during_a_read_shares_the_next_which_begins_after_it(shared, source):
    early = ask(shared, 2)
    await source.begun(1)
    late = ask(shared, 20)
    await asyncio.sleep(0)
    assert source.began == 1
    source.let_end(1)
    source.let_end(2)
    assert await answers_of(early) == [1, 1]
    assert await answers_of(late) == [2] * 20
    assert source.began == 2


async def test_nothing_is_kept_for_who_asks_later(shared, source):
    for number in (1, 2, 3):
        source.let_end(number)
        assert await answers_of(ask(shared, 1)) == [number]


async def test_an_error_reaches_all_who_shared_the_read_and_is_not_remembered(shared, source):
    source.errors[1] = OSError("gone")
    source.let_end(1)
    source.let_end(2)
    assert [type(answer) for answer in await answers_of(ask(shared, 3))] == [OSError] * 3
    assert await answers_of(ask(shared, 3)) == [2] * 3


async def test_a_failed_read_does_not_fail_the_one_that_waits_behind_it(shared, source):
    source.errors[1] = OSError("gone")
    early = ask(shared, 1)
    await source.begun(1)
    late = ask(shared, 1)
    source.let_end(1)
    source.let_end(2)
    assert isinstance((await answers_of(early))[0], OSError)
    assert await answers_of(late) == [2]


async def test_an_asker_who_is_cancelled_cancels_nobody_else(shared, source):
    asks = ask(shared, 3)
    await source.begun(1)
    asks[0].cancel()
    await asyncio.sleep(0)
    source.let_end(1)
    answers = await answers_of(asks)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert answers[1:] == [1, 1]


async def test_a_read_that_all_have_given_up_does_not_block_the_next(shared, source):
    asks = ask(shared, 2)
    await source.begun(1)
    for each in asks:
        each.cancel()
    later = ask(shared, 1)
    source.let_end(1)
    source.let_end(2)
    assert await answers_of(later) == [2]
