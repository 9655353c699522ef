"""One read for all who ask at the same time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Result = TypeVar("Result")


_LONGEST_PAUSE_SECONDS = 2.0


class SharedRead(Generic[Result]):
    """Askers who come while a read is under way share the next one, which begins after them.

    While they keep coming, reads take half of the time at most: a listing of a thousand volumes
    costs the hub as much as it costs EC2.
    """

    def __init__(self, read: Callable[[], Awaitable[Result]]):
        self._read = read
        self._running: asyncio.Task[Result] | None = None
        self._next: asyncio.Task[Result] | None = None
        self._rested_at = 0.0

    async def get(self) -> Result:
        """The result of a read that began after this call; raises what the read raised."""
        if self._next is None:
            self._next = asyncio.create_task(self._after(self._running))
        return await asyncio.shield(self._next)

    async def _after(self, previous: asyncio.Task[Result] | None) -> Result:
        if previous is not None:
            await asyncio.wait([previous])
            await asyncio.sleep(max(0.0, self._rested_at - time.monotonic()))
        else:
            await asyncio.sleep(0)  # let whoever asks in the same turn of the loop share it
        self._running, self._next = self._next, None
        began = time.monotonic()
        try:
            return await self._read()
        finally:
            now = time.monotonic()
            self._rested_at = now + min(now - began, _LONGEST_PAUSE_SECONDS)
