"""How many machines a cluster has, may have and wants: limits, pool, quotas."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from cloudjhub import config as config_file
from cloudjhub.account.inventory import Inventory, MachineFound
from cloudjhub.account.quotas import STANDARD, quota, quota_code, used
from cloudjhub.config import ClusterConfig
from cloudjhub.deploy import idleness
from cloudjhub.deploy.costs import Costs, Sum, usd
from cloudjhub.deploy.desk import Desk, counted, table
from cloudjhub.deploy.manager_look import Said
from cloudjhub.deploy.supply import mean_spares, most_spares
from cloudjhub.errors import ConfigError, EC2Error
from cloudjhub.idle_config import IdleConfig
from cloudjhub.pool.timetable import Hours, Timetable

_AHEAD_MINUTES = 12 * 60
_MINUTE = timedelta(minutes=1)
_ON = ("pending", "running")
_FILE = "server_config.json"


@dataclass(frozen=True)
class QuotaUse:
    """vCPUs of the account in this region, whoever uses them."""

    code: str
    limit: int | None  # None: not to be had
    used: int | None


@dataclass(frozen=True)
class Pool:
    """What is to be ready now, and how that changes in the next hours.

    ``mean`` and ``most``: over a week. ``month``: USD, what that many machines with disks cost.
    """

    state: str
    wanted: int
    changes: tuple[tuple[datetime, int], ...]
    mean: float = 0.0
    most: int = 0
    month: Sum = field(default_factory=Sum)


@dataclass(frozen=True)
class Outlook:
    """``pool``, ``idle`` and ``max_machines`` None: not known, and ``why`` says why."""

    quotas: tuple[QuotaUse, ...] = ()
    pool: Pool | None = None
    max_machines: int | None = None
    when_full: str = ""
    why: str = "nobody asked"
    idle: IdleConfig | None = None


def look(at: Desk, found: Inventory, said: Said, now: datetime) -> Outlook:
    """Asks for the quotas; the rest is what the manager said."""
    types = [machine.instance_type for machine in found.workers]
    if said.config is None:
        return Outlook(quotas(at, types), why=said.why)
    try:
        config = checked(said.config)
    except ConfigError as error:  # somebody has broken it; the hub goes on with what it said before
        finding = error.findings[0].partition(". (")[0].rstrip(".")
        return Outlook(quotas(at, types), why=f"the hub refuses what the manager has: {finding}")
    uses = quotas(at, [*config.worker_instance_types, *types])
    pool = pool_of(config, now)
    return Outlook(uses, pool, config.max_machines, config.when_full, why="", idle=config)


def checked(values: Mapping[str, Any]) -> ClusterConfig:
    """As the hub reads it. Raises ConfigError for what the hub would refuse.

    Keys that this version does not know are left out: the manager may have a later one.
    """
    known = {field.alias for field in ClusterConfig.model_fields.values()}
    kept = {key: value for key, value in values.items() if key in known}
    # The manager's file is not on this computer: one that is there stands for it.
    return config_file.parse(json.dumps(kept | {"WORKER_KEY_FILE": __file__}), _FILE)


def quotas(at: Desk, types: Iterable[str]) -> tuple[QuotaUse, ...]:
    """Of every quota that the cluster's machines count against."""
    codes = sorted({quota_code(name) for name in types} - {""}) or [STANDARD]
    return tuple(QuotaUse(code, quota(at.clients.quotas, code), _used(at, code)) for code in codes)


def _used(at: Desk, code: str) -> int | None:
    try:
        return used(at.clients.ec2, code)
    except EC2Error:
        return None


def pool_of(config: ClusterConfig, now: datetime) -> Pool:
    """Pure."""
    wanted, most = config.pool, config.pool_max
    current = min(wanted.wanted(now), most)
    mean = mean_spares(wanted, most)
    spare = Costs(config.region).spare_month(
        config.worker_instance_type,
        config.root_disk_gib + config.home_disk_gib,
        runs=config.pool_state == "running",
    )
    return Pool(
        config.pool_state,
        current,
        tuple(_changes(wanted, most, current, now)),
        mean,
        most_spares(wanted, most),
        spare.times(mean) if mean else Sum(),
    )


def _changes(
    wanted: Timetable, most: int, current: int, now: datetime
) -> Iterable[tuple[datetime, int]]:
    """When another number begins to hold; hours begin and end at whole minutes."""
    first = now.replace(second=0, microsecond=0)
    for step in range(1, _AHEAD_MINUTES + 1):
        moment = first + step * _MINUTE
        if not any(_may_turn(hours, moment) for hours, _ in wanted.hours):
            continue
        count = min(wanted.wanted(moment), most)
        if count != current:
            yield moment, count
            current = count


def _may_turn(hours: Hours, moment: datetime) -> bool:
    """Whether hours may begin or end at a moment; at a full hour where clocks change."""
    minute = moment.astimezone(ZoneInfo(hours.zone)).minute
    return minute in (0, hours.begin.minute, hours.end.minute)


# -- in words


def as_text(outlook: Outlook, found: Inventory) -> str:
    """Machines by type and zone, spares, limits and quotas."""
    lines = [_on(outlook, found), _spares(outlook, found)]
    lines += [idleness.in_words(outlook.idle)] if outlook.idle else []
    lines += [_quota(use) for use in outlook.quotas]
    kinds = by_type_and_zone(found)
    if kinds:
        rows = [(kind, zone, str(on), str(off)) for (kind, zone), (on, off) in kinds.items()]
        lines += ["", table(("TYPE", "ZONE", "ON", "OFF"), rows)]
    return "\n".join(lines)


def _on(outlook: Outlook, found: Inventory) -> str:
    on = sum(machine.state in _ON for machine in found.workers)
    if outlook.max_machines is None:
        return f"On: {counted(on, 'machine')}; MAX_MACHINES is not known ({outlook.why})."
    if not outlook.max_machines:
        return f"On: {counted(on, 'machine')}; MAX_MACHINES is 0, so only the quota limits them."
    full = {"refuse": "more are refused"}.get(outlook.when_full, "more wait for their turn")
    return f"On: {on} of at most {outlook.max_machines} machines (MAX_MACHINES); {full}."


def _spares(outlook: Outlook, found: Inventory) -> str:
    now = spares(found)
    counts = ", ".join(f"{count} {state}" for state, count in now.items() if count) or "none"
    if outlook.pool is None:
        return f"Spares: {counts}; how many are wanted is not known ({outlook.why})."
    pool = outlook.pool
    later = ", ".join(f"{count} from {moment:%H:%M} UTC" for moment, count in pool.changes)
    then = f"; then {later}" if later else ""
    return f"Spares: {counts}; wanted {pool.state}: {pool.wanted} now{then}."


def _quota(use: QuotaUse) -> str:
    if use.limit is None:
        return f"Quota {use.code} cannot be read; see the Service Quotas console, under EC2."
    many = "an unknown number" if use.used is None else str(use.used)
    return f"Quota {use.code}: {many} of {use.limit} vCPUs in use, by all of this account here."


def spares(found: Inventory) -> dict[str, int]:
    """Machines that wait for somebody, by EC2's state."""
    states = Counter(machine.state for machine in found.workers if machine.is_spare)
    known = ("running", "pending", "stopped", "stopping")
    return {state: states.get(state, 0) for state in known}


def by_type_and_zone(found: Inventory) -> dict[tuple[str, str], tuple[int, int]]:
    """Type and zone -> users' machines that are on, and that are off."""
    groups: dict[tuple[str, str], list[MachineFound]] = {}
    for machine in found.workers:
        groups.setdefault((machine.instance_type, machine.zone), []).append(machine)
    return {key: _counts(machines) for key, machines in sorted(groups.items())}


def _counts(machines: list[MachineFound]) -> tuple[int, int]:
    on = sum(machine.state in _ON for machine in machines)
    return on, len(machines) - on


# -- for programs


def as_data(outlook: Outlook, found: Inventory) -> dict[str, Any]:
    """The same as plain values; null where something is not known."""
    pool = outlook.pool
    return {
        "usd_per_month_pool": pool and usd(pool.month),
        "machines_on": sum(machine.state in _ON for machine in found.workers),
        "max_machines": outlook.max_machines,
        "when_full": outlook.when_full or None,
        "spares": spares(found),
        "pool": pool
        and {
            "state": pool.state,
            "wanted_now": pool.wanted,
            "mean_of_a_week": round(pool.mean, 2),
            "changes": [
                {"at": moment.isoformat(), "wanted": count} for moment, count in pool.changes
            ],
        },
        "idle": outlook.idle
        and {
            "timeout_seconds": outlook.idle.idle_timeout_seconds,
            "action": outlook.idle.idle_action,
            "keep_hours": outlook.idle.keep_hours,
            "max_age_hours": outlook.idle.max_age_hours,
            "sweep": outlook.idle.sweep,
        },
        "not_known_because": outlook.why or None,
        "quotas": [
            {"code": use.code, "vcpus": use.limit, "vcpus_used": use.used} for use in outlook.quotas
        ],
        "machines_by_type_and_zone": [
            {"type": kind, "zone": zone, "on": on, "off": off}
            for (kind, zone), (on, off) in by_type_and_zone(found).items()
        ],
    }
