"""What a waiting user is told: phases in plain words, with elapsed and usual time."""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Protocol

from cloudjhub import metrics
from cloudjhub.deadlines import timeout
from cloudjhub.errors import TimedOut

_TICK_SECONDS = 1.0
_TICKS_PER_SECOND = 50  # of all pages together
_LONGEST_SILENCE_SECONDS = 30.0  # for those who stand in a queue that does not move
_REMEMBERED = 50
_UNKNOWN_SECONDS = 15.0  # what a phase counts as for the bar until one was measured


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
PLACE = Phase("place", "You wait for a machine", "There is a place for you", 5, 15)
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
MOVE = Phase(
    "move",
    "Copying your files to another zone; if that takes longer than your page waits, start again "
    "and it goes on",
    "Copied",
    15,
    40,
)
LET_IN = Phase("let_in", "Your machine is up; the hub is busy with others", "", 75, 77)
HOME = Phase("home", "Connecting your files", "Connected", 75, 80)
NOTEBOOK = Phase("notebook", "Starting your notebook server", "Your notebook server runs", 80, 98)


class UsualTimes:
    """Median duration of each phase over the last starts of this hub.

    Until there is one, what servers of an earlier hub took counts; their states remember it.
    """

    def __init__(self) -> None:
        self._seconds = _durations()
        self._earlier = _durations()
        self.readers = 0  # pages that look on just now

    def add(self, phase: Phase, seconds: float) -> None:
        """Remember one duration."""
        self._seconds[phase.name].append(seconds)

    def add_earlier(self, seconds: Mapping[str, float]) -> None:
        """What a start of an earlier hub took, by the names of phases."""
        for name, value in seconds.items():
            self._earlier[name].append(value)

    def usual(self, phase: Phase) -> float | None:
        """Seconds; None until there is a measurement."""
        known = self._seconds.get(phase.name) or self._earlier.get(phase.name)
        return median(known) if known else None


def _durations() -> dict[str, deque[float]]:
    return defaultdict(lambda: deque(maxlen=_REMEMBERED))


class Queued(Protocol):
    """A place in a queue; ``cloudjhub.line.Place`` is one."""

    @property
    def number(self) -> int:
        """1 is next."""
        ...

    def in_words(self) -> str:
        """Where it stands, since when, and how long it usually takes."""
        ...


@dataclass
class _Current:
    """The phase that runs; ``place`` if it is a queue."""

    phase: Phase
    usual: float | None
    place: Queued | None
    began: float = field(default_factory=lambda: time.monotonic())

    def elapsed(self) -> float:
        return time.monotonic() - self.began

    def sentence(self) -> str:
        """As it is said when the phase begins, and again where its queue has moved."""
        if self.place is not None:
            return f"{self.phase.doing}: {self.place.in_words()}."
        known = self.usual is not None and self.usual >= 1
        return f"{self.phase.doing}{f'; usually {in_words(self.usual)}' if known else ''}."

    def sentence_when_late(self) -> str:
        compared = f", usually {in_words(self.usual)}" if self.usual is not None else ""
        return f"{self.phase.doing}: {in_words(self.elapsed())} so far{compared}."

    def percent(self) -> int:
        """Where the bar stands: within the phase's part, nearing its end without reaching it."""
        share = self.elapsed() / (self.elapsed() + (self.usual or _UNKNOWN_SECONDS) / 2)
        return int(self.phase.first + share * (self.phase.last - self.phase.first))


class StartReport:
    """Events of one start, kept, so that every page that asks gets all of them.

    The moves of a queue are not kept: an open page asks where it stands, and not too often.
    """

    def __init__(self, times: UsualTimes):
        self.took: dict[str, float] = {}  # seconds of each phase that ended well
        self._times = times
        self._events: list[dict[str, Any]] = []
        self._news = asyncio.Event()
        self._current: _Current | None = None
        self._percent = 0
        self._past = ""
        self._next_patience = 0.0

    @contextmanager
    def phase(self, phase: Phase, place: Queued | None = None) -> Iterator[None]:
        """Say that the phase runs; when it ends well, remember how long it took.

        ``place`` makes it a queue, of which is said where one stands and not what is usual.
        """
        current = self._current = _Current(phase, self._times.usual(phase), place)
        self._next_patience = max(2 * (current.usual or _UNKNOWN_SECONDS), 5.0)
        self._say(f"{self._past}{current.sentence()}", phase.first)
        self._past = ""
        try:
            yield
        except BaseException:
            metrics.phase_failed(phase.name)
            raise
        took = current.elapsed()
        if place is None:
            self._times.add(phase, took)
            self.took[phase.name] = round(took, 1)
        metrics.phase_took(phase.name, took)
        self._past = f"{phase.done} after {in_words(took)}. " if phase.done and took >= 1 else ""
        self._current = None

    def note(self, message: str) -> None:
        """Say something besides the phases."""
        self._say(message, None)

    def too_late(self, seconds: float) -> TimedOut:
        """The error of a start that is given up after that time; says where it stood."""
        where = f" {self._current.sentence()}" if self._current is not None else ""
        return TimedOut(f"Your server was not ready in {in_words(seconds)}.{where}")

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        """Everything said so far, then everything as it is said; the bar moves in between."""
        told, place = 0, _Watch()
        self._times.readers += 1
        try:
            while True:
                while told < len(self._events):
                    told += 1
                    yield self._events[told - 1]
                if not await self._something_new():
                    self._lose_patience()
                    if self._current is not None and told == len(self._events):
                        yield self._moment(self._current, place)
        finally:
            self._times.readers -= 1

    async def _something_new(self) -> bool:
        # A thousand pages that are told every second would keep the hub from its work.
        tick = max(_TICK_SECONDS, self._times.readers / _TICKS_PER_SECOND)
        try:
            async with timeout(tick):
                await self._news.wait()
        except asyncio.TimeoutError:
            return False
        return True

    def _moment(self, current: _Current, watch: "_Watch") -> dict[str, Any]:
        event: dict[str, Any] = {"progress": self._advanced(current.percent())}
        if current.place is not None and watch.is_due(current.place.number):
            event["message"] = current.sentence()
        return event

    def _say(self, message: str, percent: int | None) -> None:
        event: dict[str, Any] = {"message": message}
        if percent is not None:
            event["progress"] = self._advanced(percent)
        self._events.append(event)
        # Those who wait are woken; who looks next waits for the news after these.
        self._news.set()
        self._news = asyncio.Event()

    def _advanced(self, percent: int) -> int:
        # What is tried again begins earlier on the bar, which does not go back.
        self._percent = max(self._percent, percent)
        return self._percent

    def _lose_patience(self) -> None:
        """Say how long a phase has taken when that is twice the usual, and at each doubling."""
        if self._current is None or self._current.elapsed() < self._next_patience:
            return
        if self._current.place is not None:
            return  # each page is told by itself, and more often
        self._next_patience = self._current.elapsed() * 2
        self._say(self._current.sentence_when_late(), self._current.percent())


class _Watch:
    """What one page was last told of a place."""

    def __init__(self) -> None:
        self._number = 0
        self._at = 0.0

    def is_due(self, number: int) -> bool:
        """Whether the move is worth a line: the farther away, the less often. So is waiting."""
        silent = time.monotonic() - self._at
        halved = number <= self._number / 2
        moved = number != self._number and (halved or silent >= 1 + number / 20)
        if not moved and silent < _LONGEST_SILENCE_SECONDS:
            return False
        self._number, self._at = number, time.monotonic()
        return True


def in_words(seconds: float) -> str:
    """A duration as it is told to people."""
    whole = round(seconds)
    return f"{whole} s" if whole < 100 else f"{whole // 60} min {whole % 60} s"
