"""Which machines run although no server of the hub needs them, and which slept too long. Pure."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict

from cloudjhub.culler.findings import PLANNED, Finding
from cloudjhub.culler.policy import NEVER
from cloudjhub.ec2_values import Instance
from cloudjhub.idle_config import IdleConfig
from cloudjhub.naming import (
    CLUSTER_TAG,
    RETIRED_TAG,
    ROLE_TAG,
    SERVER_TAG,
    USER_TAG,
    WORKER_ROLE,
    Owner,
    owner_tags,
    retired_from,
    was_somebodys,
)

#: EC2 keeps a hibernated machine's memory for sixty days.
#: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/hibernating-prerequisites.html
LONGEST_SLEEP = timedelta(days=55)
# EC2 does not hibernate a machine right after its start, and a plain stop would lose its memory.
_AWAKE_SECONDS = 300.0
_WAKES_AT_ONCE = 5
_REFUSED = "EC2 would not start it; tried again an hour later"
_MANY = 5
#: what passes between two rounds counts at most as so much: a longer time nobody looked
_LONGEST_ROUND_SECONDS = 180.0


class Server(BaseModel):
    """A server that the hub knows: it is ready, or ``pending`` says what is under way."""

    model_config = ConfigDict(frozen=True)

    user: str
    server: str
    instance_id: str | None
    pending: str | None

    @property
    def owner(self) -> Owner:
        """Whose machine it runs on."""
        return Owner(self.user, self.server)


class HubKnows(BaseModel):
    """What the hub answers when it is asked for its servers, all of them."""

    servers: list[Server]
    users: list[str] | None = None  # every user's name, where it was asked for
    #: seconds, where not everybody's, by the users' names as values of tags
    limits: dict[str, int] = {}


class InUse:
    """Which machines the servers have, or may be about to have."""

    def __init__(self, servers: Iterable[Server]):
        self._ids: set[str] = set()
        self._owners: set[tuple[str, str]] = set()
        self._set_aside: set[str] = set()
        for server in servers:
            self._add(server)

    def _add(self, server: Server) -> None:
        if server.instance_id:
            self._ids.add(server.instance_id)
        # One that is ready has its machine. While one starts or stops, or where the hub has no id,
        # any machine of the owner may be it, also one that is being replaced.
        if server.pending or not server.instance_id:
            tags = owner_tags(server.owner)
            self._owners.add((tags[USER_TAG], tags[SERVER_TAG]))
            self._set_aside.add(retired_from(server.owner))

    def holds(self, machine: Instance) -> bool:
        """Whether some server has the machine or may get it."""
        tags = machine.tags
        return (
            machine.id in self._ids
            or (tags.get(USER_TAG), tags.get(SERVER_TAG)) in self._owners
            or tags.get(RETIRED_TAG) in self._set_aside
        )


@dataclass
class Sightings:
    """For how long things have been seen without a break, by looks that saw everything.

    Time in which nobody could look does not count, nor does more between two looks than
    ``longest_seconds``.
    """

    longest_seconds: float = _LONGEST_ROUND_SECONDS
    _seconds: dict[str, float] = field(default_factory=dict)
    _looked_at: float | None = None

    def look(self, keys: Iterable[str], now: float) -> Mapping[str, float]:
        """Seconds of each; 0 for what is seen for the first time. What is not seen is forgotten."""
        passed = 0.0
        if self._looked_at is not None:
            passed = min(max(0.0, now - self._looked_at), self.longest_seconds)
        known = self._seconds
        self._seconds = {key: known[key] + passed if key in known else 0.0 for key in keys}
        self._looked_at = now
        return dict(self._seconds)

    def interrupted(self) -> None:
        """A look that did not see everything: what passes until the next one does not count."""
        self._looked_at = None


def is_sweepable(machine: Instance, cluster: str) -> bool:
    """Whether it is a user's machine of this cluster; spares are left to the pool's keeper."""
    return (
        machine.tags.get(CLUSTER_TAG) == cluster
        and machine.tags.get(ROLE_TAG) == WORKER_ROLE
        and was_somebodys(machine.tags)
    )


def strays(machines: Iterable[Instance], in_use: InUse, cluster: str) -> list[Instance]:
    """Users' machines that run although no server needs them."""
    return [
        machine
        for machine in machines
        if machine.state == "running"
        and is_sweepable(machine, cluster)
        and not in_use.holds(machine)
    ]


def sighting(machine: Instance) -> str:
    """What a machine is remembered by: one that was off in between is another."""
    return f"{machine.id} {machine.launched_at}"


def is_doubtful(found: Sequence[Instance], machines: Iterable[Instance], cluster: str) -> bool:
    """Whether so many have no server that it is rather the hub that is wrong.

    A hub that lost its database, or that a part of the network is hidden from, knows no servers
    although people work on them.
    """
    running = sum(each.state == "running" and is_sweepable(each, cluster) for each in machines)
    return len(found) >= _MANY and 2 * len(found) > running


def judged(
    machine: Instance,
    seconds: float,
    config: IdleConfig,
    grace_seconds: float,
    *,
    quiet: bool = False,
) -> Finding:
    """What becomes of a machine that was seen without a server for so long.

    ``quiet``: it is an hour in which nothing is stopped.
    """
    whose = owner_text(machine)
    why = "runs although it was set aside" if RETIRED_TAG in machine.tags else "runs without server"
    if config.sweep == "report":
        return Finding("machine", machine.id, whose, why, seconds=seconds)
    if math.isinf(grace_seconds):
        why = f"{why}; its owner's may be idle for ever"
        return Finding("machine", machine.id, whose, why, seconds=seconds)
    if quiet:
        why = f"{why}; in these hours nothing is stopped"
        return Finding("machine", machine.id, whose, why, seconds=seconds)
    if seconds <= 0 or seconds < grace_seconds:
        why = f"{why}; stopped if that lasts for {grace_seconds:.0f} s"
        return Finding("machine", machine.id, whose, why, seconds=seconds)
    step = "hibernate" if machine.hibernation_configured else "stop"
    return Finding("machine", machine.id, whose, why, step, PLANNED, seconds)


def grace_of(
    machine: Instance,
    config: IdleConfig,
    limits: Mapping[str, int],
    *,
    woken: bool,
    doubtful: bool,
) -> float:
    """Seconds for which it may run without a server; infinite where the owner's may idle for ever.

    At least the owner's limit: it may work although its server was silent for long. ``limits``: as
    in ``HubKnows``.
    ``woken``: by a sweep, only to hibernate again. ``doubtful``: as ``is_doubtful`` says; then as
    long as an idle server has.
    """
    if woken:
        return _AWAKE_SECONDS
    least = _AWAKE_SECONDS if machine.hibernation_configured else 0.0
    if doubtful:
        least = max(least, config.idle_timeout_seconds)
    return max(least, config.sweep_grace_seconds, _owners_limit(machine, config, limits))


def _owners_limit(machine: Instance, config: IdleConfig, limits: Mapping[str, int]) -> float:
    whose = machine.tags.get(USER_TAG)
    if whose is None:
        return 0.0
    limit = limits.get(whose, config.idle_timeout_seconds)
    return limit if limit != NEVER else config.max_age_hours * 3600 or math.inf


def sleepers(
    machines: Iterable[Instance],
    in_use: InUse,
    config: IdleConfig,
    cluster: str,
    now: datetime,
    *,
    refused: Collection[str] = (),
) -> list[Finding]:
    """Machines that hibernate for so long that they have to be woken and hibernated again.

    ``refused``: ids of those that EC2 would not start a while ago; others come first.
    """
    due = [
        (since, machine)
        for machine in machines
        if machine.state == "stopped"
        and machine.hibernated
        and is_sweepable(machine, cluster)
        and RETIRED_TAG not in machine.tags
        and not in_use.holds(machine)
        and (since := _asleep_since(machine)) is not None
        and now - since > LONGEST_SLEEP
    ]
    due.sort(key=lambda each: (each[0], each[1].id))
    found = [
        Finding(
            "machine",
            m.id,
            owner_text(m),
            f"hibernates since {since:%Y-%m-%d}; EC2 keeps its memory for 60 days",
        )
        for since, m in due
    ]
    return found if config.sweep == "report" else _woken(found, refused)


def _woken(found: list[Finding], refused: Collection[str]) -> list[Finding]:
    """A few at a time: all of a class that went on holiday together would be up at once."""
    may = [each for each in found if each.id not in refused]
    waiting = [replace(each, why=f"{each.why}; {_REFUSED}") for each in found if each.id in refused]
    now = [replace(each, step="wake", outcome=PLANNED) for each in may[:_WAKES_AT_ONCE]]
    return now + may[_WAKES_AT_ONCE:] + waiting


def _asleep_since(machine: Instance) -> datetime | None:
    """Where EC2 does not say when it went to sleep: since its last start, which is earlier."""
    return machine.stopped_at or machine.launched_at


def owner_text(machine: Instance) -> str:
    """Whose, as the tags say."""
    return "/".join(filter(None, (machine.tags.get(USER_TAG), machine.tags.get(SERVER_TAG))))
