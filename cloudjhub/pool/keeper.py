"""The one who looks after the pool: a task of the hub's process, from the hub's start on.

Nothing of it is written down. What there is comes from EC2's tags, what there should be from
server_config.json, so whatever ends the hub, the next one goes on from what it finds.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timezone

from cloudjhub import metrics
from cloudjhub.config import ClusterConfig
from cloudjhub.ec2_values import Instance
from cloudjhub.errors import CloudJHubError, EC2Error
from cloudjhub.fleet import Fleet
from cloudjhub.launch_spec import LaunchSpec, launch_kinds
from cloudjhub.naming import SHAPE_TAG
from cloudjhub.pool.aim import aim, wanted_now
from cloudjhub.pool.filling import Filling
from cloudjhub.pool.plan import Aim, Spare, Steps, next_steps
from cloudjhub.pool.watch import Questions, Watch

log = logging.getLogger(__name__)

_ROUND_SECONDS = 5.0
_OLDEST_VIEW_SECONDS = 60.0
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
        self._filling = Filling(self._fleet, self._watch, surroundings.now)
        self._kept: frozenset[str] = frozenset()
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
        config = self._around.config()
        if not self._has_work(config):
            self._fleet.spares.keep_for_pool(())
            return
        if not await self._sees():
            return
        kinds = await self._around.kinds(config)
        # From here to where the steps are marked nothing else can run: who takes a spare and who
        # ends it cannot both have it.
        goal = self._aim(config, kinds)
        steps = self._steps(goal, kinds)
        self._mark(steps)
        await self._carry_out(steps, kinds)
        await self._look_closer(goal)

    async def _sees(self) -> bool:
        """Whether the view is good enough; a hub where nobody waits may look more seldom."""
        if self._fleet.view.age_seconds > _OLDEST_VIEW_SECONDS:
            await self._fleet.view.next_listing()
        return self._fleet.view.age_seconds <= _OLDEST_VIEW_SECONDS

    def _has_work(self, config: ClusterConfig) -> bool:
        return bool(self._kept or config.pool.always or config.pool.hours)

    def _aim(self, config: ClusterConfig, kinds: tuple[LaunchSpec, ...]) -> Aim:
        shapes = tuple(kind.shape for kind in kinds)
        room = self._fleet.admission.room([kind.instance_type for kind in kinds])
        return aim(config, shapes, self._now(), self._watch.boot_seconds, room=room)

    def _spares(self) -> list[Instance]:
        spares = self._fleet.spares
        return [m for m in self._fleet.view.all() if m.state in _ALIVE and spares.is_free(m)]

    def _steps(self, goal: Aim, kinds: tuple[LaunchSpec, ...]) -> Steps:
        self._filling.made_of(goal.shapes)
        machines = self._spares()
        ours = [m for m in machines if m.tags.get(SHAPE_TAG) in goal.shapes]
        for useless in self._watch.look(ours, {m.id for m in self._fleet.view.all()}):
            log.warning("Spare %s does not answer; another takes its place", useless.id)
            self._fleet.spares.condemn(useless.id)
            machines.remove(useless)
        steps = next_steps([self._as_spare(machine) for machine in machines], goal)
        return self._filling.possible(steps, {each.id: each for each in machines}, kinds)

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
        await asyncio.gather(
            *(self._stop(instance_id) for instance_id in steps.stop),
            self._start(steps.start),
            self._filling.launch(steps.launch, kinds),
        )

    async def _stop(self, instance_id: str) -> None:
        try:
            hibernate = self._around.config().pool_state == "hibernated"
            await self._fleet.stop(instance_id, hibernate=hibernate)
        except EC2Error as error:
            self._complain(f"Spares run on for now: {error.action}: {error.code}: {error.message}")
        finally:
            self._fleet.spares.keep(instance_id)

    async def _start(self, instance_ids: tuple[str, ...]) -> None:
        try:
            await self._filling.start(instance_ids)
        finally:
            for instance_id in instance_ids:
                self._fleet.spares.keep(instance_id)

    async def _look_closer(self, goal: Aim) -> None:
        """While machines boot, listings come often and not only when a login waits."""
        stages = {machine.state for machine in self._spares()}
        if "pending" in stages or (goal.stopped and "stopping" in stages):
            await self._fleet.view.next_listing()

    def _complain(self, message: str) -> None:
        """Once, until something else is wrong or all is well again."""
        if message != self._complaint:
            log.warning("%s", message)
            self._complaint = message
