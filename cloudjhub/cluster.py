"""What all spawners of one hub process share: the fleet, the SSH threads, the usual times."""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cloudjhub import metrics
from cloudjhub.config import ClusterConfig
from cloudjhub.config_file import ConfigFile
from cloudjhub.ec2 import EC2
from cloudjhub.fleet import Fleet, FleetSettings, gauges
from cloudjhub.fleet.admission import Limit
from cloudjhub.fleet.upkeep import Upkeep
from cloudjhub.hearing import Hearing
from cloudjhub.line import Gate
from cloudjhub.pool.keeper import Keeper, Surroundings, kinds_today
from cloudjhub.pool.preparation import Visitor
from cloudjhub.pool.watch import Questions
from cloudjhub.probe import Turns
from cloudjhub.progress import LET_IN, UsualTimes
from cloudjhub.quota import Quota

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ClusterSettings:
    """From the spawner's traits."""

    config_file: Path
    fleet: FleetSettings
    ssh_threads: int
    ssh_logins: int = 8
    questions_per_second: float = 200.0


class Cluster:
    """One per hub process and configuration file. Nothing is made before it is needed."""

    def __init__(self, settings: ClusterSettings):
        self.settings = settings
        self.times = UsualTimes()
        self.hearing = Hearing()
        self.ssh_threads = ThreadPoolExecutor(settings.ssh_threads, thread_name_prefix="ssh")
        self.letting_in = Gate("let_in", settings.ssh_logins, LET_IN)
        self.questions = Turns(settings.questions_per_second)
        self._file = ConfigFile(settings.config_file)
        self._fleet: Fleet | None = None
        self._upkeep: Upkeep | None = None
        self._keeper: Keeper | None = None
        self._quota: Quota | None = None
        self._visitor = Visitor(self.config)
        self._making = asyncio.Lock()

    def config(self) -> ClusterConfig:
        """The configuration as of now. Raises ConfigError if there never was a good one."""
        return self._file.current()

    async def fleet(self) -> Fleet:
        """The fleet, made at first use. Raises ConfigError."""
        async with self._making:
            if self._fleet is None:
                await self._look_after_machines(self.config())
        assert self._fleet is not None
        return self._fleet

    async def _look_after_machines(self, config: ClusterConfig) -> None:
        """All of it or, if something fails, nothing."""
        # In a thread: loading EC2's service description takes a tenth of a second.
        ec2 = await asyncio.to_thread(self._ec2, config)
        async with AsyncExitStack() as made:
            fleet = Fleet(ec2, self.settings.fleet, self._limit)
            made.push_async_callback(fleet.aclose)
            upkeep = Upkeep(fleet, lambda: self.config().spare_seconds)
            made.push_async_callback(upkeep.aclose)
            keeper = self._keeper_of(fleet)
            made.push_async_callback(keeper.aclose)
            gauges.watch(fleet)
            self._quota = Quota(self.config)
            made.pop_all()
        self._fleet, self._upkeep, self._keeper = fleet, upkeep, keeper
        log.info("Looking after the machines of cluster %s", config.cluster_name)

    async def upkeep(self) -> Upkeep:
        """What tidies up behind the fleet. Raises ConfigError."""
        await self.fleet()
        assert self._upkeep is not None
        return self._upkeep

    def spare_host_key(self, instance_id: str) -> str | None:
        """Fingerprint that a machine of the pool showed at its first boot; None if unknown."""
        return self._keeper.host_key(instance_id) if self._keeper else None

    def _keeper_of(self, fleet: Fleet) -> Keeper:
        visitor = self._visitor
        questions = Questions(
            visitor.prepare, visitor.answers, fleet.spares.ready, deaf=self.hearing.deaf
        )
        return Keeper(Surroundings(fleet, self.config, partial(kinds_today, fleet), questions))

    async def aclose(self) -> None:
        """Stop looking after the machines; they stay as they are."""
        if self._keeper is not None:
            await self._keeper.aclose()
        self._visitor.close()
        if self._quota is not None:
            await self._quota.aclose()
        if self._upkeep is not None:
            await self._upkeep.aclose()
        if self._fleet is not None:
            await self._fleet.aclose()
        self.ssh_threads.shutdown(wait=False, cancel_futures=True)

    def _limit(self) -> Limit:
        config = self.config()
        return Limit(config.max_machines, config.when_full)

    def _ec2(self, config: ClusterConfig) -> EC2:
        return EC2(
            cluster=config.cluster_name,
            region=config.region,
            endpoint_url=config.ec2_endpoint_url,
            threads=self.settings.fleet.ec2_threads,
            told=metrics.ec2_called,
        )


_clusters: dict[Path, Cluster] = {}


def cluster_for(settings: ClusterSettings) -> Cluster:
    """The hub's one cluster of this configuration file. Call it inside the hub's event loop.

    The first spawner's settings count: a second fleet beside the first would not know its claims.
    """
    if settings.config_file not in _clusters:
        _clusters[settings.config_file] = Cluster(settings)
    return _clusters[settings.config_file]
