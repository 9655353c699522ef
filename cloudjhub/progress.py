"""What a waiting user is told: phases in plain words, with elapsed and usual time."""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

from cloudjhub import metrics
from cloudjhub.deadlines import timeout

_TICK_SECONDS = 1.0
_REMEMBERED = 50


@dataclass(frozen=True)
class Phase:
    """One step of a start; ``done`` "" where its end is not worth a word.

    ``first`` and ``last`` are its part of the progress bar, percent.
    """

    name: str
    doing: str
    done: str
    first: int
    last: int


LOOK = Phase("look", "Looking for your machine", "", 2, 5)
SHUTDOWN = Phase("shutdown", "Your machine is still shutting down", "It has shut down", 5, 10)
LAUNCH = Phase("launch", "Getting you a new machine", "You have a machine", 5, 15)
START = Phase("start", "Starting your machine", "Switched on", 15, 40)
BOOT = Phase("boot", "Your machine is booting", "It answers", 40, 75)
RECOVER = Phase(
    "recover",
    "Your machine does not answer; switching it off and on again",
    "Switched off",
    10,
    15,
)
REPLACE = Phase(
    "replace",
    "Your machine stays silent; you get another one with your files",
    "The silent one is set aside",
    10,
    15,
)
HOME = Phase("home", "Connecting your files", "Connected", 75, 80)
NOTEBOOK = Phase("notebook", "Starting your notebook server", "Your notebook server runs", 80, 98)


class UsualTimes:
    """Median duration of each phase over the last starts of this hub."""

    def __init__(self) -> None:
        self._seconds: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_REMEMBERED))

    def add(self, phase: Phase, seconds: float) -> None:
        """Remember one duration."""
        self._seconds[phase.name].append(seconds)

    def usual(self, phase: Phase) -> float | None:
        """Seconds; None until there is a measurement."""
        known = self._seconds.get(phase.name)
        return median(known) if known else None


class StartReport:
    """Events of one start, kept, so that every page that asks gets all of them."""

    def __init__(self, times: UsualTimes):
        self._times = times
        self._events: list[dict[str, Any]] = []
        self._news = asyncio.Condition()
        self._phase: Phase | None = None
        self._phase_began = 0.0
        self._began = time.monotonic()
        self._past = ""
        self._next_patience = 0.0

    @contextmanager
    def phase(self, phase: Phase) -> Iterator[None]:
        """Say that the phase runs; when it ends well, remember how long it took."""
        self._phase, self._phase_began = phase, time.monotonic()
        usual = self._times.usual(phase)
        self._next_patience = max(2 * (usual or 15.0), 5.0)
        expectation = f"; usually {_seconds(usual)}" if usual is not None and usual >= 1 else ""
        self._say(f"{self._past}{phase.doing}{expectation}.", phase.first)
        self._past = ""
        try:
            yield
        except BaseException:
            metrics.phase_failed(phase.name)
            raise
        took = time.monotonic() - self._phase_began
        self._times.add(phase, took)
        metrics.phase_took(phase.name, took)
        self._past = f"{phase.done} after {_seconds(took)}. " if phase.done and took >= 1 else ""
        self._phase = None

    def note(self, message: str) -> None:
        """Say something besides the phases."""
        self._say(message, None)

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        """Everything said so far, then everything as it is said; the bar moves in between."""
        told = 0
        while True:
            while told < len(self._events):
                yield self._events[told]
                told += 1
            if not await self._something_new(told):
                self._lose_patience()
                if self._phase is not None and told == len(self._events):
                    yield {"progress": self._percent()}

    async def _something_new(self, told: int) -> bool:
        async with self._news:
            try:
                async with timeout(_TICK_SECONDS):
                    await self._news.wait_for(lambda: len(self._events) > told)
            except asyncio.TimeoutError:
                return False
        return True

    def _say(self, message: str, percent: int | None) -> None:
        event: dict[str, Any] = {"message": message}
        if percent is not None:
            event["progress"] = percent
        self._events.append(event)
        # Whoever is not woken by this sees it at the next tick.
        task = asyncio.ensure_future(self._wake())
        task.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def _wake(self) -> None:
        async with self._news:
            self._news.notify_all()

    def _lose_patience(self) -> None:
        """Say how long a phase has taken when that is twice the usual, and at each doubling."""
        elapsed = time.monotonic() - self._phase_began
        if self._phase is None or elapsed < self._next_patience:
            return
        self._next_patience = elapsed * 2
        usual = self._times.usual(self._phase)
        compared = f", usually {_seconds(usual)}" if usual is not None else ""
        self._say(f"{self._phase.doing}: {_seconds(elapsed)} so far{compared}.", self._percent())

    def _percent(self) -> int:
        """Where the bar stands: within the phase's part, nearing its end without reaching it."""
        assert self._phase is not None
        usual = self._times.usual(self._phase) or 15.0
        elapsed = time.monotonic() - self._phase_began
        share = elapsed / (elapsed + usual / 2)
        return int(self._phase.first + share * (self._phase.last - self._phase.first))


def _seconds(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole} s" if whole < 100 else f"{whole // 60} min {whole % 60} s"
