"""Things to be done later: one clock thread and a few workers, for any number of machines."""

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

log = logging.getLogger(__name__)


class Scheduler:
    """Runs ``function(*args)`` some seconds from now, on one of ``workers`` threads.

    Functions due at the same moment may run at the same time and in any order. What a
    function raises is logged.
    """

    def __init__(self, workers: int, clock: Callable[[], float] = time.monotonic):
        self._now = clock
        self._due: list[tuple[float, int, Callable[..., Any], tuple[Any, ...]]] = []
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._closed = False
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="local-ec2")
        self._clock = threading.Thread(target=self._run, name="local-ec2-clock", daemon=True)

    def start(self) -> None:
        self._clock.start()

    def after(self, seconds: float, function: Callable[..., Any], *args: Any) -> None:
        """Nothing happens if the scheduler is closed by then."""
        with self._changed:
            due = self._now() + max(0.0, seconds)
            heapq.heappush(self._due, (due, next(self._order), function, args))
            self._changed.notify()

    def close(self) -> None:
        """Forgets what is not due yet and waits for what runs."""
        with self._changed:
            self._closed = True
            self._due.clear()
            self._changed.notify()
        if self._clock.is_alive():
            self._clock.join()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _run(self) -> None:
        with self._changed:
            while not self._closed:
                wait = self._due[0][0] - self._now() if self._due else None
                if wait is not None and wait <= 0:
                    _, _, function, args = heapq.heappop(self._due)
                    self._pool.submit(_run_logged, function, args)
                else:
                    self._changed.wait(wait)


def _run_logged(function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    try:
        function(*args)
    except Exception:
        log.exception("local EC2: %s%r failed", getattr(function, "__name__", function), args)
