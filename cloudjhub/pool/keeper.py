"""The one who looks after the pool: a task of the hub's process, from the hub's start on.

Nothing of it is written down. What there is comes from EC2's tags, what there should be from
server_config.json, so whatever ends the hub, the next one goes on from what it finds.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from cloudjhub import metrics
from cloudjhub.config import ClusterConfig
from cloudjhub.ec2_values import Instance
from cloudjhub.errors import CloudJHubError, EC2Error, EC2Unreachable, NoCapacity
from cloudjhub.fleet import Fleet
from cloudjhub.fleet.refill import launch_spares, refill_token
from cloudjhub.launch_spec import LaunchSpec, launch_kinds
from cloudjhub.naming import SHAPE_TAG
from cloudjhub.pool.aim import aim, wanted_now
from cloudjhub.pool.plan import Aim, Spare, Steps, next_steps
from cloudjhub.pool.watch import Questions, Watch

log = logging.getLogger(__name__)

_ROUND_SECONDS = 5.0
_OLDEST_VIEW_SECONDS = 60.0
_FIRST_PAUSE_SECONDS = 60.0
_LONGEST_PAUSE_SECONDS = 900.0
_DEAD_BOOTS = 3  # in a row, until it is rather the AMI's fault
_ALIVE = ("pending", "running", "stopping", "stopped")


class Everything:
    """Holds whatever one asks for: as long as nobody knows what the pool needs, all stays."""

    def __contains__(self, item: object) -> bool:
        return True


def utc_now() -> datetime:
    """The time."""
    return datetime.now(timezone.utc)


async def kinds_today(fleet: Fleet, config: ClusterConfig) -> tuple[LaunchSpec, ...]:
    """What the pool is made of, the best first. Raises ConfigError, EC2Error."""
    image = await fleet.image(config.worker_ami)
    return launch_kinds(config, image, await fleet.zones(config.subnet_ids))


@dataclass(frozen=True)
class Surroundings:
    """What the keeper works with."""

    fleet: Fleet
    config: Callable[[], ClusterConfig]
    kinds: Callable[[ClusterConfig], Awaitable[tuple[LaunchSpec, ...]]]  # the best first
    questions: Questions
    now: Callable[[], datetime] = utc_now


class Keeper:
    """Refills, shrinks and renews the pool. Make it in the event loop; close it with aclose()."""

    def __init__(self, surroundings: Surroundings):
        self._around = surroundings
        self._fleet = surroundings.fleet
        self._now = surroundings.now
        self._watch = Watch(surroundings.questions, surroundings.now)
        self._kept: frozenset[str] = frozenset()
        self._pause_seconds = 0.0
        self._not_before: datetime | None = None
        self._attempt = 0
        self._complaint = ""
        self._fleet.spares.keep_for_pool(Everything())
        metrics.watch("pool_wanted", self, Keeper.wanted)
        metrics.watch("spares", self, Keeper.counts)
        self._task = asyncio.create_task(self._run(), name="cloudjhub-pool")

    async def aclose(self) -> None:
        """End; what EC2 was told goes on, and the next hub takes it up."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._watch.aclose()

    def wanted(self) -> int:
        """How many are to be ready now."""
        return wanted_now(self._around.config(), self._now())

    def counts(self) -> dict[str, int]:
        """How many spares there are: ready, or in which state of EC2."""
        stages = Counter({"ready": 0, **dict.fromkeys(_ALIVE, 0)})
        stages.update(self._stage(machine) for machine in self._spares())
        return dict(stages)

    def host_key(self, instance_id: str) -> str | None:
        """Fingerprint of the key that the spare showed at its first boot, if this hub saw it."""
        return self._watch.host_key(instance_id)

    async def _run(self) -> None:
        while True:
            try:
                await self.round()
            except CloudJHubError as error:
                self._complain(str(error))
            except Exception:
                log.exception("The pool's keeper failed and goes on in the next round")
            await asyncio.sleep(_ROUND_SECONDS)

    # -- one round

    async def round(self) -> None:
        """Look at what there is and do what comes next."""
        if self._fleet.view.age_seconds > _OLDEST_VIEW_SECONDS:
            return
        config = self._around.config()
        if not self._has_work(config):
            self._fleet.spares.keep_for_pool(())
            return
        kinds = await self._around.kinds(config)
        # From here to where the steps are marked nothing else can run: who takes a spare and who
        # ends it cannot both have it.
        goal = self._aim(config, kinds)
        steps = self._steps(goal)
        self._mark(steps)
        await self._carry_out(steps, kinds)
        await self._look_closer(goal)

    def _has_work(self, config: ClusterConfig) -> bool:
        return bool(self._kept or config.pool.always or config.pool.hours)

    def _aim(self, config: ClusterConfig, kinds: tuple[LaunchSpec, ...]) -> Aim:
        shapes = tuple(kind.shape for kind in kinds)
        room = self._fleet.admission.room()
        return aim(config, shapes, self._now(), self._watch.boot_seconds, room=room)

    def _spares(self) -> list[Instance]:
        spares = self._fleet.spares
        return [m for m in self._fleet.view.all() if m.state in _ALIVE and spares.is_free(m)]

    def _steps(self, goal: Aim) -> Steps:
        machines = self._spares()
        ours = [m for m in machines if m.tags.get(SHAPE_TAG) in goal.shapes]
        for useless in self._watch.look(ours, {m.id for m in self._fleet.view.all()}):
            log.warning("Spare %s does not answer; another takes its place", useless.id)
            self._fleet.spares.condemn(useless.id)
            machines.remove(useless)
        return next_steps([self._as_spare(machine) for machine in machines], goal)

    def _stage(self, machine: Instance) -> str:
        return "ready" if self._fleet.spares.is_ready(machine) else machine.state

    def _as_spare(self, machine: Instance) -> Spare:
        born = machine.launched_at or self._now()
        return Spare(
            id=machine.id,
            stage=self._stage(machine),
            shape=machine.tags.get(SHAPE_TAG, ""),
            age_seconds=(self._now() - born).total_seconds(),
            kept=machine.id in self._kept,
        )

    def _mark(self, steps: Steps) -> None:
        spares = self._fleet.spares
        self._kept = steps.keep
        spares.keep_for_pool(steps.keep)
        for instance_id in steps.end:
            log.info("The pool no longer needs spare %s", instance_id)
            spares.condemn(instance_id)  # the upkeep removes it
        for instance_id in (*steps.stop, *steps.start):
            spares.withhold(instance_id)

    async def _carry_out(self, steps: Steps, kinds: tuple[LaunchSpec, ...]) -> None:
        self._fleet.admission.for_pool = steps.launch + len(steps.start)
        try:
            await asyncio.gather(
                *(self._switch(self._fleet.stop, instance_id) for instance_id in steps.stop),
                *(self._switch(self._fleet.start, instance_id) for instance_id in steps.start),
                self._refill(steps.launch, kinds),
            )
        finally:
            self._fleet.admission.for_pool = 0

    async def _switch(self, how: Callable[[str], Awaitable[None]], instance_id: str) -> None:
        try:
            await how(instance_id)
        except EC2Error as error:
            self._complain(f"Spare {instance_id} stays as it is for now: {error}")
        finally:
            self._fleet.spares.keep(instance_id)

    async def _look_closer(self, goal: Aim) -> None:
        """While machines boot, listings come often and not only when a login waits."""
        stages = {machine.state for machine in self._spares()}
        if "pending" in stages or (goal.stopped and "stopping" in stages):
            await self._fleet.view.next_listing()

    # -- refilling

    async def _refill(self, count: int, kinds: tuple[LaunchSpec, ...]) -> None:
        kinds = tuple(kind for kind in kinds if not self._is_refused(kind))
        if not count or not kinds or self._is_paused():
            return
        if self._watch.dead_boots >= _DEAD_BOOTS:
            self._watch.dead_boots -= 1  # one try after each pause
            self._pause(f"{_DEAD_BOOTS} new machines in a row did not come up")
            return
        try:
            await self._launch(count, kinds)
        except EC2Error as error:
            # Where no answer came the machines may have, and the same token finds them.
            self._attempt += not isinstance(error, EC2Unreachable)
            self._pause(str(error))
        else:
            self._pause_seconds, self._complaint = 0.0, ""

    async def _launch(self, count: int, kinds: tuple[LaunchSpec, ...]) -> None:
        first, *others = kinds
        try:
            launched = await launch_spares(self._fleet, first, count, self._token(first))
        except NoCapacity:
            if not others:
                raise
            await self._launch(count, tuple(others))
        else:
            self._attempt += not launched
            log.info("Launched %d of %d spares", len(launched), count)

    def _is_refused(self, kind: LaunchSpec) -> bool:
        return self._fleet.capacity.is_refused(kind.instance_type, kind.zone)

    def _token(self, kind: LaunchSpec) -> str:
        known = [machine.id for machine in self._fleet.view.all()]
        return refill_token(self._fleet.cluster, kind.shape, known, self._attempt)

    def _is_paused(self) -> bool:
        return self._not_before is not None and self._now() < self._not_before

    def _pause(self, why: str) -> None:
        longer = max(2 * self._pause_seconds, _FIRST_PAUSE_SECONDS)
        self._pause_seconds = min(longer, _LONGEST_PAUSE_SECONDS)
        self._not_before = self._now() + timedelta(seconds=self._pause_seconds)
        self._complain(f"The pool cannot be filled now and is tried again later: {why}")

    def _complain(self, message: str) -> None:
        """Once, until something else is wrong or all is well again."""
        if message != self._complaint:
            log.warning("%s", message)
            self._complaint = message
