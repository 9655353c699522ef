"""How machines come into the pool: launched or started, and how soon again after a refusal."""

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from cloudjhub.capacity import START, TAKEN_BACK
from cloudjhub.ec2_values import Instance, Kind
from cloudjhub.errors import EC2Error, EC2Unreachable, NoFreeAddress
from cloudjhub.fleet import Fleet
from cloudjhub.fleet.launches import goes_on
from cloudjhub.fleet.refill import launch_spares, may_start, refill_token, start_spares
from cloudjhub.launch_spec import LaunchSpec
from cloudjhub.pool.plan import Steps
from cloudjhub.pool.watch import Watch

log = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS = 60.0
_LONGEST_PAUSE_SECONDS = 900.0
_DEAD_BOOTS = 3  # in a row, until it is rather the AMI's fault
_MOST_STARTS = 1000  # machines in one call


class Pause:
    """After a refusal EC2 is left alone for a while, longer each time; the log says why once."""

    def __init__(self, what: str, now: Callable[[], datetime]):
        self._what = what
        self._now = now
        self._seconds = 0.0
        self._ends: datetime | None = None
        self._said = ""

    def is_on(self) -> bool:
        """Whether it is too early to try again."""
        return self._ends is not None and self._now() < self._ends

    def begin(self, why: EC2Error | str) -> None:
        """It did not work, as ``why`` says."""
        longer = max(2 * self._seconds, _FIRST_PAUSE_SECONDS)
        self._seconds = min(longer, _LONGEST_PAUSE_SECONDS)
        self._ends = self._now() + timedelta(seconds=self._seconds)
        # EC2's own words hold what differs from one refusal to the next.
        same = why if isinstance(why, str) else f"{why.action} {why.code}"
        if same != self._said:
            log.warning("%s now and is tried again later: %s", self._what, why)
            self._said = same

    def over(self) -> None:
        """It works, or is another thing from now on."""
        self._seconds, self._ends, self._said = 0.0, None, ""


class Filling:
    """What the keeper asks EC2 for, and its memory of what came of it."""

    def __init__(self, fleet: Fleet, watch: Watch, now: Callable[[], datetime]):
        self._fleet = fleet
        self._watch = watch
        self._launching = Pause("The pool cannot be filled", now)
        self._starting = Pause("The start of stopped spares fails", now)
        self._shapes: tuple[str, ...] = ()
        self._attempt = 0
        self._doubted = 0  # dead boots that a pause has followed already
        self._started: set[str] = set()
        self._refusals: Counter[str] = Counter()  # of each spare's starts
        self._most_starts = _MOST_STARTS

    def made_of(self, shapes: tuple[str, ...]) -> None:
        """What was wrong with other kinds of machines says nothing of these."""
        if shapes != self._shapes:
            self._shapes = shapes
            self._watch.dead_boots = 0
            self._launching.over()
            self._starting.over()

    def possible(
        self, steps: Steps, spares: Mapping[str, Instance], kinds: Sequence[LaunchSpec]
    ) -> Steps:
        """The steps, without launches and starts for which it is too early."""
        return replace(
            steps,
            launch=self._launches(steps.launch, spares.values()) if self._usable(kinds) else 0,
            start=self._starts(steps.start, spares),
        )

    # -- launches

    def _launches(self, count: int, spares: Collection[Instance]) -> int:
        """All that are missing; one at a time as long as new machines do not come up."""
        dead = self._watch.dead_boots
        if self._launching.is_on():
            self._doubted = dead
            return 0
        if dead < _DEAD_BOOTS:
            self._doubted = 0
            return count
        if dead > self._doubted:
            self._doubted = dead
            self._launching.begin(f"{_DEAD_BOOTS} or more new machines in a row did not come up")
            return 0
        return 0 if any(self._may_come_up(spare) for spare in spares) else min(count, 1)

    def _may_come_up(self, spare: Instance) -> bool:
        up = spare.state in ("pending", "running")
        return up and not self._fleet.spares.is_ready(spare)

    async def launch(self, count: int, kinds: Sequence[LaunchSpec]) -> None:
        """So many, of the best kind that EC2 has, unless logins took the room meanwhile."""
        count = self._fitting(count, {kind.instance_type for kind in kinds})
        if not count:
            return
        try:
            with self._fleet.admission.pool(count):
                await self._launch(count, kinds)
        except EC2Error as error:
            # Where no answer came the machines may have, and the same token finds them.
            self._attempt += not isinstance(error, EC2Unreachable)
            self._launching.begin(error)
        else:
            if self._watch.dead_boots < _DEAD_BOOTS:
                self._launching.over()

    async def _launch(self, count: int, kinds: Sequence[LaunchSpec]) -> None:
        """Raises the last refusal where there is none of any kind."""
        full_subnets: set[str] = set()
        refusal: EC2Error | None = None
        for kind in self._usable(kinds):
            if kind.subnet_id in full_subnets:
                continue
            try:
                launched = await launch_spares(self._fleet, kind, count, self._token(kind))
            except EC2Error as error:
                if not goes_on(self._fleet.capacity, kind, error, kinds[0]):
                    raise
                refusal = error
                if isinstance(error, NoFreeAddress):
                    full_subnets.add(kind.subnet_id)
            else:
                self._attempt += not launched
                log.info("Launched %d of %d spares", len(launched), count)
                return
        if refusal is not None:
            raise refusal

    def _usable(self, kinds: Sequence[LaunchSpec]) -> list[LaunchSpec]:
        return [kind for kind in kinds if not self._fleet.capacity.is_refused(*kind.kind)]

    def _token(self, kind: LaunchSpec) -> str:
        known = [machine.id for machine in self._fleet.view.all()]
        return refill_token(self._fleet.cluster, kind.shape, known, self._attempt)

    # -- starts

    def _starts(self, ids: Sequence[str], spares: Mapping[str, Instance]) -> tuple[str, ...]:
        """As many as EC2 may have room for; none while users' starts wait for their turn."""
        self._note_failed(ids, spares)
        if self._starting.is_on() or not may_start(self._fleet):
            return ()
        refused = self._fleet.capacity.is_refused
        able = [each for each in ids if not refused(*_kind(spares[each]))]
        # One that EC2 refuses for its own sake does not keep the others from starting.
        able.sort(key=lambda each: (self._refusals[each], each))
        return tuple(able[: self._most_starts])

    def _note_failed(self, ids: Sequence[str], spares: Mapping[str, Instance]) -> None:
        """Of those that were started: which are stopped again and have never been ready."""
        self._refusals = Counter({each: self._refusals[each] for each in ids})
        self._started = {
            each
            for each in self._started & spares.keys()
            if not self._fleet.spares.is_ready(spares[each])
        }
        failed = self._started.intersection(ids)
        self._started -= failed
        for each in failed:
            if TAKEN_BACK in spares[each].state_reason:
                self._fleet.capacity.refused(*_kind(spares[each]), action=START)
        if failed:
            self._refused(failed, f"{', '.join(sorted(failed))}: stopped again")

    async def start(self, ids: Collection[str]) -> None:
        """These, with one call for each type and zone, apart from those of users."""
        members: defaultdict[Kind, list[str]] = defaultdict(list)
        for each in ids:
            machine = self._fleet.view.get(each)
            members[_kind(machine) if machine else Kind("", "")].append(each)
        for kind, of_kind in members.items():
            of_kind = of_kind[: self._fitting(len(of_kind), [kind.instance_type])]
            if not of_kind:
                continue
            try:
                with self._fleet.admission.pool(len(of_kind)):
                    await start_spares(self._fleet, of_kind, kind)
            except EC2Error as error:
                self._refused(of_kind, error)
            else:
                self._started.update(of_kind)
        if ids and not self._starting.is_on():
            self._starting.over()
            self._most_starts = min(2 * self._most_starts, _MOST_STARTS)

    def _refused(self, ids: Collection[str], why: EC2Error | str) -> None:
        self._refusals.update(ids)
        self._most_starts = max(1, len(ids) // 2)
        self._starting.begin(why)

    def _fitting(self, count: int, types: Collection[str]) -> int:
        """What of it the cluster's limit lets be powered on at this moment."""
        room = self._fleet.admission.room(list(types))
        return count if room is None else min(count, room)


def _kind(machine: Instance) -> Kind:
    return Kind(machine.instance_type, machine.zone)
