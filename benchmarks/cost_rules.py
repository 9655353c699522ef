"""Rules about idle machines, each as somebody who looks at one machine now and then.

They see what can be seen of a person's week, never the truth. Ours is the program itself: the
machine's tracker of work (``cloudjhub.worker.idle``) and the culler's policy.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Protocol

from cost_class import Job, Person

from cloudjhub.culler.pace import Pace
from cloudjhub.culler.policy import judge, terms_of
from cloudjhub.idle_config import IdleConfig
from cloudjhub.worker.idle.looker import LOOK_SECONDS
from cloudjhub.worker.idle.processes import SESSION_SECONDS
from cloudjhub.worker.idle.reports import is_due
from cloudjhub.worker.idle.work import Limits, Seen, Work

# Of a server and JupyterLab without anything to do, and while somebody clicks; percent of one core.
_AT_REST_PERCENT = 2.0
_IN_USE_PERCENT = 8.0
_BEGIN = datetime(2026, 9, 7, tzinfo=timezone.utc)  # a Monday


class Watcher(Protocol):
    """Looks at one machine from its start on."""

    #: between two looks
    seconds: float

    def look(self, now: float, jobs: Sequence[Job]) -> bool:
        """Whether the machine is stopped now; ``jobs`` are those that run."""


class Rule(Protocol):
    """What is done about idle machines."""

    name: str
    #: whether memory survives a stop
    hibernates: bool

    def watcher(self, person: Person, now: float, before: Watcher | None) -> Watcher:
        """For a machine that has just been started; ``before``: who last watched it, if anyone."""


# The original's, and JupyterHub's own ----------------------------------------------------------


@dataclass(frozen=True)
class TabRule:
    """Traffic through the proxy counts, and an open tab is traffic: its WebSocket is kept alive.

    As harvard/cloudJHub 67168f2 sets up JupyterHub 0.9.6: proxy's times read every 15 s, a look
    every 300 s. ``output``: besides, JupyterHub's report of what the notebook server says, which
    counts output of kernels, every 300 s (since JupyterHub 1.0).
    """

    name: str
    output: bool
    timeout_seconds: float = 3600.0
    read_seconds: float = 15.0
    look_seconds: float = 300.0
    hibernates: bool = False

    def watcher(self, person: Person, now: float, before: Watcher | None) -> "TabWatcher":
        return TabWatcher(self, person, now)


class TabWatcher:
    """What the hub hears of one machine."""

    def __init__(self, rule: TabRule, person: Person, now: float):
        self.seconds = rule.look_seconds
        self._rule = rule
        self._person = person
        self._started = self._heard = now

    def look(self, now: float, jobs: Sequence[Job]) -> bool:
        """The tab, clicks and output up to when the hub last asked."""
        rule = self._rule
        read = now - now % rule.read_seconds
        last = [self._person.clicked(read) or 0.0]
        last += [min(tab.end, read) for tab in self._person.tabs if tab.begin <= read]
        if rule.output:
            told = now - now % Pace().report_seconds
            mine = [job for job in self._person.jobs if self._started <= job.begin <= told]
            last += [min(job.end, told) for job in mine if job.kind == "printing"]
        self._heard = max(self._heard, *last)
        return now - self._heard > rule.timeout_seconds


# Ours -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OurRule:
    """This project, with a config as in server_config.json."""

    name: str
    config: IdleConfig
    pace: Pace = field(default_factory=Pace)

    @property
    def hibernates(self) -> bool:
        """As configured."""
        return self.config.idle_action == "hibernate"

    def watcher(self, person: Person, now: float, before: Watcher | None) -> "OurWatcher":
        if self.hibernates and isinstance(before, OurWatcher):
            before.woken(now)
            return before
        return OurWatcher(self, person, now)


class OurWatcher:
    """A machine that looks at itself, and the hub that judges by what it was told."""

    def __init__(self, rule: OurRule, person: Person, now: float):
        config = rule.config
        self.seconds = LOOK_SECONDS
        self._rule = rule
        self._person = person
        self._terms = terms_of(config, person.name, ())
        limits = Limits(
            config.busy_cpu_percent,
            config.busy_gpu_percent,
            60.0 * config.busy_minutes,
            self._terms.timeout_seconds,
        )
        self._work = Work(now, limits)
        self._cpu = 0.0
        self.woken(now)

    def woken(self, now: float) -> None:
        """The hub has just started the machine, which counts as activity."""
        self._started = self._looked = self._told = self._told_at = self._judged = now

    def look(self, now: float, jobs: Sequence[Job]) -> bool:
        """Look at the machine, report it, judge it, each when it is due."""
        self._work.look(now, self._seen(now, jobs))
        self._report(now)
        if now - self._judged < self._rule.pace.round_seconds:
            return False
        self._judged = now
        return judge(
            self._terms,
            idle_seconds=now - self._told,
            age_seconds=now - self._started,
            quiet=self._rule.config.never_idle(_BEGIN + timedelta(seconds=now)),
        ).stops

    def _seen(self, now: float, jobs: Sequence[Job]) -> Seen:
        """What the machine can see of it."""
        there = _IN_USE_PERCENT if self._person.is_there(now) else _AT_REST_PERCENT
        percent = there + sum(job.percent(now) for job in jobs)
        self._cpu += percent / 100 * (now - self._looked)
        self._looked = now
        most = self._terms.keep_seconds  # from when they asked for it
        kept = [min(job.end, job.begin + most) for job in jobs if job.kept]
        self._work.keep(max(kept, default=0.0))
        return Seen(
            acted=self._person.clicked(now),
            kernels=_of(jobs, "silent", "printing", "stuck"),
            terminals=_of(jobs, "terminal", "editor"),
            sessions=_of([job for job in jobs if now - job.begin >= SESSION_SECONDS], "ssh"),
            cpu_seconds=self._cpu,
        )

    def _report(self, now: float) -> None:
        work, interval = self._work.last_work, self._rule.pace.work_report_seconds
        if is_due(work, self._told, self._told_at, now, interval):
            self._told, self._told_at = work, now


def _of(jobs: Sequence[Job], *kinds: str) -> tuple[str, ...]:
    return tuple(job.kind for job in jobs if job.kind in kinds)


class NeverRule:
    """Machines run on."""

    name = "always on"
    hibernates = False

    def watcher(self, person: Person, now: float, before: Watcher | None) -> "NeverWatcher":
        return NeverWatcher()


class NeverWatcher:
    """Does not look."""

    seconds = math.inf

    def look(self, now: float, jobs: Sequence[Job]) -> bool:
        return False
