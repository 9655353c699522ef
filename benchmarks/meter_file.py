"""What a hub's meter has written, for a span of time."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Stall:
    """The loop was late by more than 50 ms; seconds."""

    late: float
    loop: float  # CPU of the loop's own thread
    threads: float  # CPU of all other threads: while one runs Python, the loop cannot
    queued: float  # ready to run, and no core was free
    collected: float  # garbage collection, which goes over everything in the process
    collected_by_threads: float
    ours_share: float  # of the moments at which the loop's thread was looked at
    stacks: dict[str, int]

    @classmethod
    def of(cls, raw: dict[str, Any]) -> "Stall":
        """From the meter's record."""
        kept = {name: raw[name] for name in (f.name for f in fields(cls)) if name in raw}
        return cls(**kept, ours_share=_share(raw))

    @property
    def behind_threads(self) -> float:
        """Seconds of it in which the loop waited for other threads; only we have such that work."""
        threads = max(0.0, self.threads - self.collected_by_threads)
        return min(threads, max(0.0, self.late - self.loop - self.queued))

    @property
    def by_us(self) -> float:
        """Seconds of it that are owed to this project's code.

        While the loop's thread worked or waited for a disk: the share of looks that found our
        code. While it waited for another thread: all. While it waited for a core, or garbage
        was collected: none.
        """
        others = self.queued + self.behind_threads + self.collected + self.collected_by_threads
        return max(0.0, self.late - others) * self.ours_share + self.behind_threads


@dataclass(frozen=True)
class Step:
    """One callback of the loop that took more than 50 ms; seconds."""

    took: float
    loop: float  # CPU of the loop's own thread; the rest are waits: disk, other threads, a core
    collected: float  # garbage collection
    ours_share: float
    stacks: dict[str, int]

    @classmethod
    def of(cls, raw: dict[str, Any]) -> "Step":
        """From the meter's record."""
        collected = raw["collected"] + raw["collected_by_threads"]
        return cls(raw["took"], raw["loop"], collected, _share(raw), raw["stacks"])

    @property
    def by_us(self) -> float:
        """Seconds in which our code was under way, and not the collector of garbage."""
        return max(0.0, self.took - self.collected) * self.ours_share


@dataclass(frozen=True)
class Lateness:
    """How late a loop was over some time; seconds."""

    seconds: float
    lates: Sequence[float]
    stalls: Sequence[Stall]
    steps: Sequence[Step]
    collections: Sequence[float] = ()  # of garbage, those longer than 10 ms

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
    def longest_step(self) -> Step | None:
        """In which our code has kept the loop longest, if more than 50 ms."""
        longest = max(self.steps, key=lambda step: step.by_us, default=None)
        return longest if longest and longest.by_us > 0.05 else None

    @property
    def longest_behind_threads(self) -> float:
        """Of the stalls above 50 ms, the most that one waited for our threads."""
        return max((stall.behind_threads for stall in self.stalls), default=0.0)

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
    steps: list[Step] = []
    collections: list[float] = []
    for line in _lines(file):
        if line["at"] < began:
            continue
        pairs = zip(line["when"], line["late"], strict=True)
        lates += [late for when, late in pairs if began <= when <= ended]
        stalls += [Stall.of(raw) for raw in line["stalls"] if began <= raw["at"] <= ended]
        steps += [Step.of(raw) for raw in line["steps"] if began <= raw["at"] <= ended]
        if line["at"] <= ended:
            collections += line["collections"]
    return Lateness(ended - began, lates, stalls, steps, collections)


def written_until(file: Path) -> float:
    """The time (time.monotonic) up to which all that was measured is in the file."""
    return max((line["at"] for line in _lines(file)), default=0.0)


def _share(raw: dict[str, Any]) -> float:
    return raw["ours"] / raw["seen"] if raw["seen"] else 0.0


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
    for count, late in enumerate(ordered, 1):
        lower = ordered[count] if count < len(ordered) else 0.0
        step = (late - lower) * count
        if above + step > most:
            return late - (most - above) / count
        above += step
    return 0.0
