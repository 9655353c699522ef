"""Whether the account may run as many vCPUs as the class needs, and have one more address."""

from dataclasses import dataclass
from typing import Literal

from cloudjhub.account import addresses
from cloudjhub.account.quotas import ELASTIC_IPS, quota, quota_code, used, where_to_ask
from cloudjhub.account.types import InstanceType
from cloudjhub.deploy.checks.world import World
from cloudjhub.deploy.findings import Finding, note
from cloudjhub.deploy.supply import most_spares
from cloudjhub.naming import CLUSTER_TAG, MANAGER_ROLE, ROLE_TAG, WORKER_ROLE

_ELSEWHERE = "Look it up in the Service Quotas console, under EC2."


def check(world: World) -> list[Finding]:
    findings: list[Finding] = []
    judged: set[str] = set()
    for name in world.settings.worker_instance_types:
        code = quota_code(name)
        if name in world.types and code not in judged:
            findings += _vcpus(world, world.types[name], first=not judged)
            judged.add(code)
    return [*findings, *_addresses(world)]


def _vcpus(world: World, worker: InstanceType, *, first: bool) -> list[Finding]:
    code = quota_code(worker.name)
    where = f"quota {code or 'of vCPUs'} for {worker.name}"
    limit = quota(world.clients.quotas, code) if code else None
    if limit is None:
        what = "cannot be read, so nobody knows how many students fit."
        return [note(what, where, _ELSEWHERE)]
    manager = world.types.get(world.settings.manager_instance_type)
    counts = manager is not None and quota_code(manager.name) == code and not world.managers
    own = manager.vcpus if manager and counts else 0
    # Users' machines and spares of this cluster that run are part of the class to come.
    ours = {CLUSTER_TAG: world.settings.cluster_name, ROLE_TAG: WORKER_ROLE}
    left = limit - used(world.clients.ec2, code, without=ours) - own
    return _judge(world, where, _Room(code, limit, left, worker.vcpus), first=first)


@dataclass(frozen=True)
class _Room:
    """vCPUs of one quota, and what a user's machine takes of them."""

    code: str
    limit: int
    left: int
    each: int

    @property
    def fitting(self) -> int:
        return max(0, self.left // self.each)

    def missing(self, machines: int) -> int:
        return machines * self.each - self.left


def _judge(world: World, where: str, room: _Room, *, first: bool) -> list[Finding]:
    """An error where the class does not fit; a note where only the limits are higher."""
    settings = world.settings
    spares = most_spares(settings.timetable, settings.pool_max)
    spares = spares if settings.pool_state == "running" else 0
    most = settings.max_machines or settings.class_size + spares
    wanted = max(min(settings.class_size, most), 1)
    what = f"{room.limit} vCPUs leave room for {room.fitting} users' machines at once"
    if room.fitting < wanted:
        what += f", the class has {settings.class_size}." if settings.class_size else "."
        return [_short(world, what, where, room, wanted, "error" if first else "note")]
    if room.fitting < most:
        who = "MAX_MACHINES allows" if settings.max_machines else "class and pool together take"
        what += f"; {who} {most}."
        return [_short(world, what, where, room, most, "note")]
    if settings.class_size or settings.max_machines or not first:
        return []
    return [note(f"{what}.", where, "Say --class_size to have it compared.")]


def _short(
    world: World, what: str, where: str, room: _Room, wanted: int, level: Literal["error", "note"]
) -> Finding:
    console = where_to_ask(room.code, world.settings.region)
    remedy = f"{room.missing(wanted)} vCPUs are missing. {console} Or choose smaller machines."
    return Finding(what, where, remedy, level)


def _addresses(world: World) -> list[Finding]:
    """The manager gets an Elastic IP of its own."""
    limit = quota(world.clients.quotas, ELASTIC_IPS)
    if limit is None or addresses.of(world.clients.ec2, world.settings.cluster_name, MANAGER_ROLE):
        return []
    taken = addresses.count(world.clients.ec2)
    if taken < limit:
        return []
    what = f"all {limit} Elastic IPs that the account may have are taken; the manager needs one."
    ask = where_to_ask(ELASTIC_IPS, world.settings.region)
    remedy = f"Release one that nobody uses. Or: {ask}"
    return [Finding(what, f"quota {ELASTIC_IPS} of Elastic IPs", remedy)]
