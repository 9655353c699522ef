"""The keeper of a pool on the EC2 in memory. Rounds, clock and answers are the test's."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta, timezone

from cloudjhub.config import ClusterConfig
from cloudjhub.errors import MachineNotAnswering
from cloudjhub.fleet.admission import Limit
from cloudjhub.fleet.upkeep import Upkeep
from cloudjhub.launch_spec import launch_kinds, launch_spec
from cloudjhub.pool.keeper import Keeper, Surroundings
from cloudjhub.pool.watch import Questions


class Pool:
    """A keeper, what it is told, and what is around it."""

    def __init__(self, fleet, ec2, values, image):
        self.fleet, self.ec2 = fleet, ec2
        self._values, self._image = values, image
        self._now = datetime.now(timezone.utc)
        self.zones: dict[str, str] = {}
        self.deaf: set[str] = set()
        self.slow: set[str] = set()
        self.hears = True
        self.keys: dict[str, str] = {}
        self.configure(POOL=2)
        fleet.admission._limit = lambda: Limit(self.config.max_machines)
        self.keeper = self.another()
        self.upkeep = Upkeep(fleet, lambda: self.config.spare_seconds)
        self.upkeep._task.cancel()

    def configure(self, **changes):
        """server_config.json as it is from now on."""
        self._values |= changes
        self.config = ClusterConfig.model_validate(self._values)

    def another(self) -> Keeper:
        """The keeper of a hub that has just started; rounds are the test's."""
        questions = Questions(
            self._prepare, self._answers, self.fleet.spares.ready, deaf=lambda: not self.hears
        )
        keeper = Keeper(
            Surroundings(self.fleet, lambda: self.config, self._kinds, questions, self.now)
        )
        keeper._task.cancel()
        return keeper

    def now(self) -> datetime:
        """The keeper's time, which only the test moves."""
        return self._now

    @property
    def spec(self):
        """What is launched first."""
        return launch_spec(self.config, self._image)

    async def _kinds(self, config):
        image = replace(self._image, id=config.worker_ami)
        return launch_kinds(config, image, self.zones)

    async def _prepare(self, machine, key):
        await asyncio.sleep(0)
        if machine.id in self.deaf | self.slow:
            raise MachineNotAnswering("Not yet.")
        return self.keys.setdefault(machine.id, f"SHA256:{machine.id}")

    async def _answers(self, machine):
        return machine.id not in self.deaf

    async def round(self, times=1):
        """Rounds with everything that they began, and what EC2 shows afterwards."""
        for _ in range(times):
            await self.keeper.round()
            await asyncio.gather(*self.keeper._watch.asking())
            await self.see()

    async def tidy(self):
        """A round of the upkeep, which removes what the pool gave up."""
        await self.upkeep.round()

    async def see(self):
        """Let the view see what happened."""
        await self.fleet.view.next_listing()
        await self.fleet.view.next_listing()

    def pass_by(self, **time):
        """So much time passes for the keeper."""
        self._now += timedelta(**time)

    def hours(self, *minutes: int) -> str:
        """A timetable's entry from one minute of the day that begins now to another."""
        self._now = self._now.replace(second=0, microsecond=0)
        begin, end = ((self._now + timedelta(minutes=m)).strftime("%H:%M") for m in minutes)
        return f"* {begin}-{end} UTC"

    def states(self) -> list[str]:
        """Of everything that still costs money."""
        ended = ("shutting-down", "terminated")
        return sorted(m.state for m in self.ec2.machines.values() if m.state not in ended)

    def launched(self) -> list[int]:
        """How many machines each launch asked for."""
        return [arguments["MaxCount"] for (arguments,) in self.ec2.made("run")]

    def free(self) -> set[str]:
        """What the next login could get."""
        return {m.id for m in self.fleet.view.all() if self.fleet.spares.is_free(m)}
