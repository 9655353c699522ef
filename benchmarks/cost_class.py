"""A class of people and what they do in a week: the truth that a rule about idle machines meets.

All times are seconds from Monday, 0:00. Everything is drawn from a seed, each person from their own
share of it, so that nobody's week changes with the size of the class.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

MINUTE = 60.0
HOUR = 3600.0
DAY = 24 * HOUR
WEEK = 7 * DAY

#: who touches nothing for longer is away, and does not work
LONGEST_PAUSE = 30 * MINUTE

# What a job is, to those who look at the machine. Of these "stuck" and "editor" are no work: a
# kernel that waits for input or runs in circles, a program left open in a terminal.
JobKind = Literal["silent", "printing", "background", "terminal", "ssh", "quiet", "stuck", "editor"]
NO_WORK = ("stuck", "editor")


@dataclass(frozen=True)
class Habits:
    """Of a whole class; shares are of all visits."""

    forgotten_tabs: float = 0.3  # a tab stays open where the computer does not go to sleep
    silent: float = 0.08  # a notebook computes on and prints nothing
    printing: float = 0.05  # the same, with a line now and then
    background: float = 0.04  # a process that left its terminal, with work for a processor
    terminal: float = 0.02  # a program in a terminal, with little work for the processor
    quiet: float = 0.01  # a process that left its terminal, with little work for the processor
    stuck: float = 0.02
    editor: float = 0.015
    by_ssh: float = 0.04  # instead of a browser
    long_pauses: float = 0.2  # of visits over an hour: away in between, with everything left open
    keep: float = 1.0  # of quiet jobs: their owner has asked to keep the machine for so long


@dataclass(frozen=True)
class Span:
    """From and until."""

    begin: float
    end: float

    def holds(self, moment: float) -> bool:
        """Whether it is then."""
        return self.begin <= moment < self.end


@dataclass(frozen=True)
class Job(Span):
    """Something that goes on without its owner."""

    kind: JobKind
    #: percent of one processor, by turns of so many seconds
    load: tuple[tuple[float, float], ...]
    kept: bool = False  # its owner has the machine kept until it is done

    @property
    def works(self) -> bool:
        """Whether a stop would lose something."""
        return self.kind not in NO_WORK

    def percent(self, moment: float) -> float:
        """How busy it keeps processors."""
        into = (moment - self.begin) % sum(seconds for seconds, _ in self.load)
        for seconds, percent in self.load:
            if into < seconds:
                return percent
            into -= seconds
        return 0.0


@dataclass(frozen=True)
class Person:
    """Somebody's week. Touches are moments at which they need their machine, in order."""

    name: str
    presences: Sequence[Span]
    tabs: Sequence[Span]  # open, on a computer that is awake
    jobs: Sequence[Job]
    touches: Sequence[float]
    clicks: Sequence[float]  # the touches that go through the notebook server

    def is_there(self, moment: float) -> bool:
        """Whether they sit before it."""
        return any(presence.holds(moment) for presence in self.presences)

    def clicked(self, moment: float) -> float | None:
        """When they last did something through the server."""
        before = bisect_right(self.clicks, moment)
        return self.clicks[before - 1] if before else None

    def next_touch(self, moment: float) -> float | None:
        """When they need the machine again."""
        after = bisect_right(self.touches, moment)
        return self.touches[after] if after < len(self.touches) else None

    def work_seconds(self) -> float:
        """For how long it is needed, by somebody before it or a job."""
        spans = sorted(
            [*self.presences, *(job for job in self.jobs if job.works)], key=lambda s: s.begin
        )
        total, until = 0.0, 0.0
        for span in spans:
            total += max(0.0, span.end - max(span.begin, until))
            until = max(until, span.end)
        return total


def people(count: int, seed: int, habits: Habits) -> list[Person]:
    """A class."""
    return [_Week(number, seed, habits).person() for number in range(count)]


# One person -----------------------------------------------------------------------------------

_LECTURES = (0 * DAY + 9 * HOUR, 2 * DAY + 9 * HOUR)  # Monday and Wednesday at nine
_LABS = tuple(
    day * DAY + hour * HOUR for day in (1, 3) for hour in (10, 14)
)  # one for each of four
# Homework is due on Thursday and on Sunday at midnight: visits of one's own a day, from Monday on.
_OWN_VISITS = (0.4, 0.5, 1.2, 0.9, 0.3, 0.6, 1.3)
_SATURDAY = 5


class _Week:
    """Draws one person's week."""

    def __init__(self, number: int, seed: int, habits: Habits):
        self._number = number
        self._habits = habits
        self._draw = Random(f"{seed}/{number}")
        self._presences: list[Span] = []
        self._tabs: list[Span] = []
        self._jobs: list[Job] = []
        self._touches: list[float] = []
        self._clicks: list[float] = []

    def person(self) -> Person:
        """All of it."""
        visits = self._visits()
        nexts = [*(visit.begin for visit in visits[1:]), WEEK]
        for visit, until in zip(visits, nexts, strict=True):
            self._visit(visit, until)
        return Person(
            name=f"user{self._number:04d}",
            presences=self._presences,
            tabs=self._tabs,
            jobs=self._jobs,
            touches=sorted(self._touches),
            clicks=sorted(self._clicks),
        )

    # -- when they come

    def _visits(self) -> list[Span]:
        """Lectures, a lab, evenings of one's own; what overlaps with an earlier one is left out."""
        wanted = sorted([*self._classes(), *self._evenings()], key=lambda span: span.begin)
        kept: list[Span] = []
        for visit in wanted:
            free_from = kept[-1].end + LONGEST_PAUSE if kept else 0.0
            if free_from < visit.begin and visit.end < WEEK:
                kept.append(visit)
        return kept

    def _classes(self) -> list[Span]:
        draw = self._draw
        found = []
        for begin in _LECTURES:
            if draw.random() < 0.85:
                late, over = draw.uniform(-5, 15) * MINUTE, draw.uniform(-15, 10) * MINUTE
                found.append(Span(begin + late, begin + 90 * MINUTE + over))
        if draw.random() < 0.9:
            lab = _LABS[self._number % len(_LABS)]
            late, long = draw.uniform(-5, 10) * MINUTE, draw.uniform(90, 120) * MINUTE
            found.append(Span(lab + late, lab + long))
        return found

    def _evenings(self) -> list[Span]:
        draw = self._draw
        diligence = draw.uniform(0.5, 1.5)
        found = []
        for day, visits in enumerate(_OWN_VISITS):
            for _ in range(_whole(draw, diligence * visits)):
                earliest = 11.0 if day >= _SATURDAY else 16.0
                begin = day * DAY + draw.triangular(earliest, 26.0, 20.5) * HOUR
                found.append(Span(begin, begin + self._long(70 * MINUTE, 10 * MINUTE, 4.5 * HOUR)))
        return found

    def _long(self, median: float, least: float, most: float) -> float:
        seconds = median * self._draw.lognormvariate(0.0, 0.7)
        return min(max(seconds, least), most)

    # -- what they do

    def _visit(self, visit: Span, until: float) -> None:
        """``until``: the next visit begins."""
        by_ssh = self._draw.random() < self._habits.by_ssh
        for presence in self._parts(visit):
            self._presences.append(presence)
            self._touch(presence, by_ssh)
        if by_ssh:
            self._jobs.append(Job(visit.begin, visit.end, "ssh", ((60.0, 5.0),)))
        else:
            self._tabs.append(Span(visit.begin, self._tab_closes(visit, until)))
        self._leave_something(visit, until)

    def _parts(self, visit: Span) -> list[Span]:
        """The visit, or what is left of it around a long pause."""
        draw, length = self._draw, visit.end - visit.begin
        pause = draw.uniform(35, 100) * MINUTE
        if draw.random() >= self._habits.long_pauses or length < pause + HOUR / 2:
            return [visit]
        begin = visit.begin + draw.uniform(0.2, 0.8) * (length - pause)
        return [Span(visit.begin, begin), Span(begin + pause, visit.end)]

    def _touch(self, presence: Span, by_ssh: bool) -> None:
        """They come, and do something every few minutes until they go."""
        moment = presence.begin
        # Who works by SSH logs in to the hub all the same, to have the machine started.
        self._clicks.append(moment)
        while moment < presence.end:
            self._touches.append(moment)
            if not by_ssh:
                self._clicks.append(moment)
            pause = self._draw.expovariate(1 / (4 * MINUTE))
            moment += min(max(pause, 5.0), LONGEST_PAUSE)

    def _tab_closes(self, visit: Span, until: float) -> float:
        if self._draw.random() >= self._habits.forgotten_tabs:
            return visit.end
        return min(visit.end + self._long(6 * HOUR, HOUR / 2, WEEK), until)

    def _leave_something(self, visit: Span, until: float) -> None:
        """At most one job, begun shortly before they go."""
        habits = self._habits
        at = self._draw.random()
        shares: dict[JobKind, float] = {
            "silent": habits.silent,
            "printing": habits.printing,
            "background": habits.background,
            "terminal": habits.terminal,
            "quiet": habits.quiet,
            "stuck": habits.stuck,
            "editor": habits.editor,
        }
        for kind, share in shares.items():
            if at < share:
                self._jobs.append(self._job(kind, visit, until))
                return
            at -= share

    def _job(self, kind: JobKind, visit: Span, until: float) -> Job:
        draw = self._draw
        begin = max(visit.begin, visit.end - draw.uniform(1, 4) * MINUTE)
        length = self._long(2.5 * HOUR, 20 * MINUTE, 11 * HOUR)
        # What is no work goes on until its owner sees it, or the week is over.
        end = until if kind in NO_WORK else min(begin + length, WEEK)
        kept = kind == "quiet" and draw.random() < self._habits.keep
        return Job(begin, end, kind, self._load(kind), kept)

    def _load(self, kind: JobKind) -> tuple[tuple[float, float], ...]:
        draw = self._draw
        if kind == "background":  # computes, and reads in between
            busy = draw.uniform(20, 90) * MINUTE, draw.uniform(70, 190)
            return (busy, (draw.uniform(2, 15) * MINUTE, draw.uniform(5, 20)))
        percent = {"silent": 100.0, "printing": 100.0, "stuck": 1.0, "editor": 1.0}
        return ((60.0, percent.get(kind) or draw.uniform(2, 20)),)


def _whole(draw: Random, expected: float) -> int:
    """A whole number that is so on average."""
    return int(expected) + (draw.random() < expected % 1)
