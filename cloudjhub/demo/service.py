"""A program that the demo keeps running: started, waited for, started again when it ends."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable

import aiohttp

from cloudjhub.demo.child import Child, Program
from cloudjhub.demo.folder import DemoError

_MOST_RESTARTS = 5
_WITHIN_SECONDS = 60.0


async def answers(url: str) -> bool:
    """Whether something speaks HTTP there and is not in trouble."""
    timeout = aiohttp.ClientTimeout(total=2)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as http, http.get(url) as answer:
            return answer.status < 500
    except (aiohttp.ClientError, asyncio.TimeoutError):
        return False


class Service:
    """One program and its address. ``changed`` is called after each start of it."""

    def __init__(
        self, program: Program, health_url: str, *, changed: Callable[[], None] = lambda: None
    ):
        self.program = program
        self.health_url = health_url
        self.failure: asyncio.Future[None] | None = None
        self._changed = changed
        self._child: Child | None = None
        self._watch: asyncio.Task[None] | None = None
        self._starts: deque[float] = deque(maxlen=_MOST_RESTARTS)

    @property
    def pid(self) -> int | None:
        """The running program's process id; None while there is none."""
        return self._child.pid if self._child and self._child.running else None

    async def start(self, deadline_seconds: float = 60) -> None:
        """Start it and wait until it answers; from then on it is started again when it ends."""
        self.failure = asyncio.get_running_loop().create_future()
        await self._launch(deadline_seconds)
        self._watch = asyncio.create_task(self._keep(deadline_seconds))

    async def stop(self) -> None:
        """End it for good."""
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
        if self._child is not None:
            await self._child.stop()

    async def crash(self) -> None:
        """Kill it as an accident would; it is then started again like after any other end."""
        if self._child is not None:
            self._child.kill()
            await self._child.ended()

    async def ready(self, deadline_seconds: float = 60) -> None:
        """Wait until it answers. Raises DemoError with its last words when it does not."""
        deadline = time.monotonic() + deadline_seconds
        while not (self.pid and await answers(self.health_url)):
            if time.monotonic() > deadline:
                raise self._error(f"did not answer in {deadline_seconds:.0f} s")
            await asyncio.sleep(0.1)

    async def _launch(self, deadline_seconds: float) -> None:
        self._starts.append(time.monotonic())
        self._child = await Child.start(self.program)
        self._changed()
        ready = asyncio.create_task(self.ready(deadline_seconds))
        ended = asyncio.create_task(self._child.ended())
        try:
            await asyncio.wait({ready, ended}, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                raise self._error(f"ended with code {ended.result()} while it started")
            await ready
        finally:
            ready.cancel()
            ended.cancel()

    async def _keep(self, deadline_seconds: float) -> None:
        """Start it again whenever it ends, but not for ever."""
        assert self._child is not None and self.failure is not None
        while True:
            code = await self._child.ended()
            print(f"The {self.program.name} ended (code {code}); starting it again.", flush=True)
            try:
                self._refuse_endless_restarts()
                await self._launch(deadline_seconds)
            except DemoError as error:
                self.failure.set_exception(error)
                return

    def _refuse_endless_restarts(self) -> None:
        oldest = self._starts[0]
        if len(self._starts) == _MOST_RESTARTS and time.monotonic() - oldest < _WITHIN_SECONDS:
            raise self._error(f"ended {_MOST_RESTARTS} times within a minute")

    def _error(self, what: str) -> DemoError:
        tail = self._child.log_tail() if self._child else ""
        return DemoError(f"The {self.program.name} {what}. Its last words:\n\n{tail}\n")
