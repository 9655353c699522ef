"""Many askers, one call: what arrives within a short window is sent together."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from cloudjhub.errors import (
    CannotHibernate,
    EC2Error,
    NoCapacity,
    NotFound,
    PolicyRefuses,
    QuotaReached,
    WrongState,
)

Item = TypeVar("Item")
Answer = TypeVar("Answer")

# EC2 refuses a call on several machines as a whole when it cannot serve one of them.
CAUSED_BY_ONE = (
    NotFound,
    WrongState,
    NoCapacity,
    QuotaReached,
    PolicyRefuses,
    CannotHibernate,
)

# Of these it need not be a member's fault: after so many single refusals the others are not tried.
_OFTEN_OF_ALL = (NoCapacity, QuotaReached, PolicyRefuses)
_ENOUGH_REFUSALS = 2


class Batcher(Generic[Item, Answer]):
    """Collects items and sends them as one.

    ``send`` takes a list of items and gives as many answers in the same order; an answer that
    is an exception is raised to its asker. If ``send`` raises an error that one member may have
    caused, the batch is halved until the culprit is alone. An asker who is cancelled before the
    window ends is left out; after that ``send`` runs to its end. ``admit`` returns when a call may
    be sent; whoever arrives until then is in that call.
    """

    def __init__(
        self,
        send: Callable[[list[Item]], Awaitable[list[Answer | Exception]]],
        *,
        window_seconds: float,
        admit: Callable[[], Awaitable[None]] | None = None,
        limit: int = 1000,
    ):
        self._send = send
        self._window_seconds = window_seconds
        self._admit = admit
        self._limit = limit
        self._waiting: list[tuple[Item, asyncio.Future[Answer]]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def submit(self, item: Item) -> Answer:
        """Have the item sent with whatever else arrives now; gives its own answer."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if len(self._waiting) == 1:
            self._spawn(self._flush_after_window())
        return await future

    async def aclose(self) -> None:
        """Give up what has not been sent and wait for nothing."""
        waiting, self._waiting = self._waiting, []
        for _, future in waiting:
            future.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _flush_after_window(self) -> None:
        await asyncio.sleep(self._window_seconds)
        if self._admit is not None:
            await self._admit()
        waiting, self._waiting = self._waiting, []
        wanted = [entry for entry in waiting if not entry[1].done()]
        for first in range(0, len(wanted), self._limit):
            self._spawn(self._deliver(wanted[first : first + self._limit]))

    async def _deliver(self, batch: list[tuple[Item, asyncio.Future[Answer]]]) -> None:
        """Send the batch, in halves of halves as long as one member may be the culprit."""
        parts, refused_in_a_row = [batch], 0
        try:
            while parts:
                part = parts.pop(0)
                try:
                    answers = await self._send([item for item, _ in part])
                    refused_in_a_row = 0
                except CAUSED_BY_ONE as error:
                    if len(part) > 1 and refused_in_a_row < _ENOUGH_REFUSALS:
                        middle = len(part) // 2
                        parts = [part[:middle], part[middle:], *parts]
                        continue
                    refused_in_a_row += isinstance(error, _OFTEN_OF_ALL)
                    answers = [own_copy(error) for _ in part]
                except Exception as error:
                    answers = [own_copy(error) for _ in part]
                for (_, future), answer in zip(part, answers, strict=True):
                    _resolve(future, answer)
        finally:
            for _, future in batch:
                future.cancel()  # nothing happens to those that have their answer


def _resolve(future: "asyncio.Future[Answer]", answer: Answer | Exception) -> None:
    if future.done():
        return
    if isinstance(answer, Exception):
        future.set_exception(answer)
    else:
        future.set_result(answer)


def own_copy(error: Exception) -> Exception:
    """The same error for one more asker: one object raised in many tasks would collect
    all their tracebacks."""
    if not isinstance(error, EC2Error):
        return error
    copy = type(error)(
        error.message, action=error.action, code=error.code, request_id=error.request_id
    )
    copy.remedy = error.remedy
    copy.__cause__ = error
    return copy
