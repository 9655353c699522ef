"""A machine's week under a rule, and what the truth says of each stop."""

from collections.abc import Sequence
from dataclasses import dataclass

from cost_class import WEEK, Job, Person
from cost_rules import Rule, Watcher


@dataclass(frozen=True)
class Stop:
    """A machine was stopped while somebody was there or something worked on it: wrongly."""

    person: str
    at: float
    was_there: bool
    lost: tuple[Job, ...]  # what worked

    @property
    def wrong(self) -> bool:
        """Whether it was needed."""
        return self.was_there or bool(self.lost)


@dataclass(frozen=True)
class Life:
    """One machine's week."""

    runs: Sequence[tuple[float, float]]
    stops: Sequence[Stop]

    @property
    def seconds(self) -> float:
        """For how long it ran."""
        return sum(end - begin for begin, end in self.runs)


def live(person: Person, rule: Rule, end: float = WEEK) -> Life:
    """Started when its owner needs it, stopped when the rule says so."""
    runs: list[tuple[float, float]] = []
    stops: list[Stop] = []
    watcher: Watcher | None = None
    memory_since = 0.0
    begin = person.next_touch(-1.0)
    while begin is not None and begin < end:
        watcher = rule.watcher(person, begin, watcher)
        if not rule.hibernates:
            memory_since = begin
        jobs = [job for job in person.jobs if job.end > begin and job.begin >= memory_since]
        stop = _stop(person, watcher, begin, end, jobs)
        runs.append((begin, stop.at if stop else end))
        if stop is None:
            break
        stops.append(stop)
        begin = person.next_touch(stop.at)
    return Life(runs, stops)


def _stop(
    person: Person, watcher: Watcher, begin: float, end: float, jobs: Sequence[Job]
) -> Stop | None:
    """When a machine that started is stopped again; None if not before the end."""
    now = begin + watcher.seconds
    while now < end:
        running = [job for job in jobs if job.holds(now)]
        if watcher.look(now, running):
            working = tuple(job for job in running if job.works)
            return Stop(person.name, now, person.is_there(now), working)
        now += watcher.seconds
    return None
