"""Queues of logins: who is next, who is where, and how long that usually takes.

A line only knows order and pace. What it says of a place is asked for by the pages that are open,
so a move of the line costs nothing where nobody looks.
"""

import asyncio
import time
from bisect import bisect_left, insort
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from cloudjhub import metrics
from cloudjhub.progress import Phase, StartReport, in_words

_REMEMBERED = 50


class Pace:
    """How long one place of a line takes, measured over the last ones that were served."""

    def __init__(self) -> None:
        self._served: deque[float] = deque(maxlen=_REMEMBERED)

    def add(self) -> None:
        """One was served now."""
        self._served.append(time.monotonic())

    def rests(self) -> None:
        """The line is empty: the time until the next one comes says nothing of its pace."""
        self._served.clear()

    def seconds(self, places: int) -> float | None:
        """Until so many are served; None without two measurements.

        A line that has stood still for longer than its pace is as slow as that.
        """
        if len(self._served) < 2:
            return None
        first, last = self._served[0], self._served[-1]
        each = (last - first) / (len(self._served) - 1)
        return places * max(each, time.monotonic() - last)


class Line:
    """First come, first served."""

    def __init__(self, name: str):
        self.name = name
        self.why = ""  # what holds it up, for those who wait
        self._pace = Pace()
        self._serials: list[int] = []
        self._last_serial = 0
        self._gauge = metrics.logins_waiting.labels(name)

    def __len__(self) -> int:
        return len(self._serials)

    @contextmanager
    def joined(self) -> Iterator["Place"]:
        """A place at its end, until the block ends or it is served."""
        self._last_serial += 1
        place = Place(self, self._last_serial)
        self._serials.append(place.serial)
        self._gauge.inc()
        try:
            yield place
        finally:
            self._remove(place)

    def serve(self, place: "Place") -> None:
        """It is this one's turn."""
        if self._remove(place):
            self._pace.add()
        if not self._serials:
            self._pace.rests()

    def back(self, place: "Place") -> None:
        """It was not served after all: it stands where it stood."""
        insort(self._serials, place.serial)
        self._gauge.inc()

    def number(self, serial: int) -> int:
        """Where that one stands, from 1."""
        return bisect_left(self._serials, serial) + 1

    def seconds(self, places: int) -> float | None:
        """How long so many places usually take; None where nobody can say."""
        return self._pace.seconds(places)

    def _remove(self, place: "Place") -> bool:
        index = bisect_left(self._serials, place.serial)
        if index == len(self._serials) or self._serials[index] != place.serial:
            return False
        del self._serials[index]
        self._gauge.dec()
        return True


class Place:
    """Somebody's place in a line; it moves by itself."""

    def __init__(self, line: Line, serial: int):
        self.serial = serial
        self.why = ""  # what holds up this one, if it is not what holds up the line
        self._line = line
        self._since = time.monotonic()

    @property
    def number(self) -> int:
        """1 is next."""
        return self._line.number(self.serial)

    def in_words(self) -> str:
        """Why it waits, where it stands, how long it has waited and how long it takes."""
        why = self.why or self._line.why
        why = f"{why}; " if why else ""
        waited = time.monotonic() - self._since
        so_far = f", {in_words(waited)} so far" if waited >= 1 else ""
        usual = self._line.seconds(self.number)
        expected = f", usually {in_words(max(usual, 1))} more" if usual is not None else ""
        return f"{why}you are number {self.number} of {len(self._line)}{so_far}{expected}"


class Gate:
    """Lets so many through at the same time, in the order in which they came."""

    def __init__(self, name: str, width: int, phase: Phase):
        self.line = Line(name)
        self.width = width
        self._phase = phase
        self._inside = 0
        self._next: dict[int, asyncio.Future[None]] = {}

    @asynccontextmanager
    async def turn(self, report: StartReport) -> AsyncIterator[None]:
        """Inside it one of the places is taken; who has to wait for it sees where they stand."""
        if self._inside < self.width and not self._next:
            self._inside += 1
        else:
            await self._waited(report)
        try:
            yield
        finally:
            self._left()

    async def _waited(self, report: StartReport) -> None:
        called = asyncio.get_running_loop().create_future()
        with self.line.joined() as place, report.phase(self._phase, place):
            self._next[place.serial] = called
            try:
                await called
            except asyncio.CancelledError:
                if called.done() and not called.cancelled():
                    self._left()  # was let in at the very moment at which it gave up
                raise
            finally:
                self._next.pop(place.serial, None)
            self.line.serve(place)

    def _left(self) -> None:
        self._inside -= 1
        while self._next and self._inside < self.width:
            called = self._next.pop(next(iter(self._next)))
            if not called.done():
                self._inside += 1
                called.set_result(None)
