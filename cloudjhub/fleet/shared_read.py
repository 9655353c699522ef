"""One read for all who ask at the same time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Result = TypeVar("Result")


class SharedRead(Generic[Result]):
    """Askers who come while a read is under way share the next one, which begins after them."""

    def __init__(self, read: Callable[[], Awaitable[Result]]):
        self._read = read
        self._running: asyncio.Task[Result] | None = None
        self._next: asyncio.Task[Result] | None = None

    async def get(self) -> Result:
        """The result of a read that began after this call; raises what the read raised."""
        if self._next is None:
            self._next = asyncio.create_task(self._after(self._running))
        return await asyncio.shield(self._next)

    async def _after(self, previous: asyncio.Task[Result] | None) -> Result:
        if previous is not None:
            await asyncio.wait([previous])
        else:
            await asyncio.sleep(0)  # let whoever asks in the same turn of the loop share it
        self._running, self._next = self._next, None
        return await self._read()
