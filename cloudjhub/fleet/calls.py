"""How a blocking EC2 call is made from the event loop: in a thread, within limits, patiently."""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from cloudjhub import metrics
from cloudjhub.errors import EC2Error, EC2Throttled, EC2Unreachable, NotFound
from cloudjhub.fleet.limits import Limits

log = logging.getLogger(__name__)

Result = TypeVar("Result")

_PATIENCE_SECONDS = 60.0  # for throttling, lost answers and ids too new to be known


class Calls:
    """The one bridge from short blocking calls to asyncio."""

    def __init__(self, threads: int):
        self.limits = Limits()
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="ec2")

    def close(self) -> None:
        """Take no more calls; those under way run to their end."""
        self._threads.shutdown(wait=False)

    async def patiently(
        self,
        action: str,
        call: Callable[..., Result],
        *arguments: Any,
        resources: int = 0,
        retry: type[EC2Error] | tuple[type[EC2Error], ...] = (NotFound, EC2Unreachable),
    ) -> Result:
        """Make a call that is safe to repeat, again for a while as long as ``retry`` is raised.

        NotFound is worth it where EC2 may not know everywhere yet what it has just made.
        """
        deadline = time.monotonic() + _PATIENCE_SECONDS
        pause = 0.5
        while True:
            try:
                return await self.once(action, call, *arguments, resources=resources)
            except retry as error:
                if time.monotonic() + pause > deadline:
                    raise
                log.info("%s again in %.1f s: %s", action, pause, error)
            await asyncio.sleep(pause)
            pause = min(pause * 2, 8.0)

    async def once(
        self, action: str, call: Callable[..., Result], *arguments: Any, resources: int = 0
    ) -> Result:
        """Make one call in a thread, within the limits; wait and repeat while throttled."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        pause = 1.0
        loop = asyncio.get_running_loop()
        while True:
            await self.limits.admit(action, resources)
            try:
                result = await loop.run_in_executor(self._threads, call, *arguments)
                if resources:
                    metrics.batch_sent(action, resources)
                return result
            except EC2Throttled as error:
                if time.monotonic() + pause > deadline:
                    raise
                log.warning("%s throttled, again within %.0f s: %s", action, pause, error)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, 20.0)
