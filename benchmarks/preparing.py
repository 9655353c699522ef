"""What a class finds when it comes: nothing, a stopped machine each, or a pool of ready ones."""

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any

from hub_under_test import HubUnderTest
from questions import DEADLINE_SECONDS, Questions, until

from cloudjhub import remote
from cloudjhub.config import ClusterConfig, load
from cloudjhub.demo.stack import Demo
from cloudjhub.ec2 import EC2
from cloudjhub.ec2_values import Instance
from cloudjhub.errors import MachineNotAnswering, TimedOut
from cloudjhub.launch_spec import launch_spec, run_arguments
from cloudjhub.naming import HOST_KEY_TAG, Owner, instance_name, owner_tags
from cloudjhub.remote_values import Target

_OLD_VIEW_SECONDS = 5.0  # as long as a start ever waits between two listings
_READY_SPARES = 'cloudjhub_spares{state="ready"}'
_POOL_WANTED = "cloudjhub_pool_wanted"


@dataclass(frozen=True)
class New:
    """They find nothing: their machines are launched."""

    names: Sequence[str]

    @property
    def server_config(self) -> dict[str, Any]:
        """What goes into server_config.json."""
        return {}

    async def prepare(self, hub: HubUnderTest) -> None:
        """Make what is to be there; takes no part in what is measured."""


@dataclass(frozen=True)
class Stopped(New):
    """They have been here before: a machine each, with a home, that is stopped.

    Made in EC2 with the tags that a start writes; a thousand starts would take too long. The hub
    finds them by these tags, as it does when its database was lost.
    """

    async def prepare(self, hub: HubUnderTest) -> None:
        faults = hub.demo.ec2.faults
        faults.throttle(False)
        for stage in ("pending", "boot", "stopping"):
            faults.slow(stage, 0.0)
        try:
            await asyncio.to_thread(_make_stopped, hub.demo, self.names)
        finally:
            faults.clear()
        await until(partial(_are_seen, hub.ask, len(self.names)), "the hub to see the machines")


@dataclass(frozen=True)
class Pool(New):
    """They are new, and as many machines as there are people run already, kept by the pool.

    What is taken is not replaced while it is measured: by then the pool's hours have ended, and
    what is left over is kept as the next ones begin soon.
    """

    @property
    def server_config(self) -> dict[str, Any]:
        count = len(self.names)
        return {"POOL": count, "POOL_MAX": count, "SPARE_SECONDS": 24 * 3600}

    async def prepare(self, hub: HubUnderTest) -> None:
        count = len(self.names)
        await until(partial(_shows, hub.ask, _READY_SPARES, count), "the pool to be full")
        later = {"POOL": _hours_to_come(count)}
        hub.demo.folder.write("server_config.json", {**hub.demo.server_config, **later})
        await until(partial(_shows, hub.ask, _POOL_WANTED, 0), "the pool's hours to be over")
        # The buckets are full again, as they are an hour later.
        hub.demo.ec2.faults.throttle(True)


KINDS: dict[str, type[New]] = {"new": New, "stopped": Stopped, "pool": Pool}


def _hours_to_come(count: int) -> dict[str, int]:
    """A timetable in which nothing is wanted now, but within a quarter of an hour."""
    begin = datetime.now(timezone.utc) + timedelta(minutes=12)
    end = begin + timedelta(hours=1)
    return {f"* {begin:%H:%M}-{end:%H:%M} UTC": count}


async def _shows(ask: Questions, gauge: str, value: float) -> bool:
    return await ask.gauge(gauge) == value


# Stopped machines -----------------------------------------------------------------------------


async def _are_seen(ask: Questions, count: int) -> bool:
    """Whether a start finds them: they are in the hub's list, or it is too old for a start."""
    if await ask.gauge('cloudjhub_machines{state="stopped"}') == count:
        return True
    age = await ask.gauge("cloudjhub_view_age_seconds")
    return age is not None and age > _OLD_VIEW_SECONDS


def _make_stopped(demo: Demo, names: Sequence[str]) -> None:
    config = load(demo.folder / "server_config.json")
    endpoint = config.ec2_endpoint_url
    ec2 = EC2(cluster=config.cluster_name, region=config.region, endpoint_url=endpoint)
    ids = [machine.id for machine in _launched(ec2, config, len(names))]
    _until_all(ec2, ids, lambda machine: machine.state == "running" and machine.home_volume_id)
    machines = {machine.id: machine for machine in ec2.instances()}
    for name, instance_id in zip(names, ids, strict=True):
        machine = machines[instance_id]
        _give(ec2, config, machine, Owner(name), _fingerprint(demo, config, machine))
    ec2.stop(ids)
    _until_all(ec2, ids, lambda machine: machine.state == "stopped")


def _launched(ec2: EC2, config: ClusterConfig, count: int) -> list[Instance]:
    spec = launch_spec(config, ec2.image(config.worker_ami))
    return ec2.run(run_arguments(spec, count=count, client_token=uuid.uuid4().hex))


def _give(
    ec2: EC2, config: ClusterConfig, machine: Instance, owner: Owner, fingerprint: str
) -> None:
    assert machine.home_volume_id is not None
    name = instance_name(config.cluster_name, owner)
    tags = {**owner_tags(owner), "Name": name, HOST_KEY_TAG: fingerprint}
    ec2.tag([machine.id, machine.home_volume_id], tags)


def _fingerprint(demo: Demo, config: ClusterConfig, machine: Instance) -> str:
    """Of the machine's host key: stand-ins' are known, others are asked."""
    if stand_ins := demo.ec2.machines.kind.standins:
        return stand_ins.fingerprint(machine.id)
    target = Target(
        machine.private_ip or "",
        config.worker_ssh_port,
        config.worker_username,
        config.worker_key_file,
    )
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        try:
            with remote.connect(target, timeout_seconds=10) as session:
                return session.fingerprint
        except MachineNotAnswering:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.1)


def _until_all(ec2: EC2, ids: Sequence[str], holds: Callable[[Instance], object]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    wanted = set(ids)
    while not wanted <= {machine.id for machine in ec2.instances() if holds(machine)}:
        if time.monotonic() > deadline:
            states = Counter(machine.state for machine in ec2.instances())
            raise TimedOut(f"Not all machines are there after {DEADLINE_SECONDS} s: {states}")
        time.sleep(0.2)
