"""What a hub's meter has written, for a span of time."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Stall:
    """The loop was late by more than 50 ms; seconds."""

    late: float
    loop: float  # CPU of the loop's own thread
    threads: float  # CPU of all other threads: while one runs Python, the loop cannot
    queued: float  # ready to run, and no core was free
    ours_share: float  # of the moments at which the loop's thread was looked at
    stacks: dict[str, int]

    @classmethod
    def of(cls, raw: dict[str, Any]) -> "Stall":
        """From the meter's record."""
        share = raw["ours"] / raw["seen"] if raw["seen"] else 0.0
        kept = ("late", "loop", "threads", "queued", "stacks")
        return cls(**{name: raw[name] for name in kept}, ours_share=share)

    @property
    def by_us(self) -> float:
        """Seconds of it that are owed to this project's code.

        While the loop's thread worked or waited for a disk: the share of looks that found our
        code. While it waited for another thread: all, as only we have threads that work. While
        it waited for a core: none.
        """
        other = min(self.threads, max(0.0, self.late - self.loop - self.queued))
        own = max(0.0, self.late - self.queued - other)
        return own * self.ours_share + other


@dataclass(frozen=True)
class Lateness:
    """How late a loop was over some time; seconds."""

    seconds: float
    lates: Sequence[float]
    stalls: Sequence[Stall]

    @property
    def longest(self) -> float:
        """The longest stall."""
        return max(self.lates, default=0.0)

    @property
    def p99(self) -> float:
        """99 of 100 moments wait no longer than this until the loop turns to them.

        In a stall of L seconds a share (L - x) of the moments waits longer than x.
        """
        return _level(self.lates, 0.01 * self.seconds)

    @property
    def longest_by_us(self) -> float:
        """Of the stalls above 50 ms, the most that one owes to our code."""
        return max((stall.by_us for stall in self.stalls), default=0.0)

    @property
    def by_us(self) -> float:
        """All that stalls above 50 ms owe to our code."""
        return sum(stall.by_us for stall in self.stalls)

    def stacks(self, most: int) -> list[tuple[str, int]]:
        """Where the loop's thread was found most often."""
        found: Counter[str] = Counter()
        for stall in self.stalls:
            found.update(stall.stacks)
        return found.most_common(most)


def read(file: Path, began: float, ended: float) -> Lateness:
    """What was measured between the two times (time.monotonic)."""
    lates: list[float] = []
    stalls: list[Stall] = []
    for line in _lines(file):
        if line["at"] < began:
            continue
        pairs = zip(line["when"], line["late"], strict=True)
        lates += [late for when, late in pairs if began <= when <= ended]
        stalls += [Stall.of(raw) for raw in line["stalls"] if began <= raw["at"] <= ended]
    return Lateness(ended - began, lates, stalls)


def _lines(file: Path) -> Iterable[dict[str, Any]]:
    if not file.exists():
        return
    with file.open() as lines:
        for line in lines:
            if line.endswith("\n"):  # the last may be half written
                yield json.loads(line)


def _level(lates: Sequence[float], most: float) -> float:
    """The smallest x for which what is above x adds up to no more than ``most``."""
    above = 0.0
    ordered = sorted(lates, reverse=True)
    for count, (late, lower) in enumerate(zip(ordered, [*ordered[1:], 0.0], strict=True), 1):
        step = (late - lower) * count
        if above + step > most:
            return late - (most - above) / count
        above += step
    return 0.0
