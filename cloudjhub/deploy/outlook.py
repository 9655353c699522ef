"""How many machines a cluster has, may have and wants: limits, pool, quotas."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cloudjhub.account.inventory import Inventory, MachineFound
from cloudjhub.account.quotas import STANDARD, quota, quota_code, used
from cloudjhub.deploy.desk import Desk, counted, table
from cloudjhub.deploy.manager_look import Said
from cloudjhub.deploy.supply import listed
from cloudjhub.errors import EC2Error
from cloudjhub.pool.timetable import Timetable, timetable

_HOURS_AHEAD = 12
_STEP = timedelta(minutes=5)
_ON = ("pending", "running")
#: what the hub does where its file does not say
_DEFAULT_POOL_MAX = 50


@dataclass(frozen=True)
class QuotaUse:
    """vCPUs of the account in this region, whoever uses them."""

    code: str
    limit: int | None  # None: not to be had
    used: int | None


@dataclass(frozen=True)
class Pool:
    """What is to be ready now, and how that changes in the next hours."""

    state: str
    wanted: int
    changes: tuple[tuple[datetime, int], ...]


@dataclass(frozen=True)
class Outlook:
    """``pool`` and ``max_machines`` None: not known, and ``why`` says why."""

    quotas: tuple[QuotaUse, ...] = ()
    pool: Pool | None = None
    max_machines: int | None = None
    when_full: str = ""
    why: str = "nobody asked"


def look(at: Desk, found: Inventory, said: Said, now: datetime) -> Outlook:
    """Asks for the quotas; the rest is what the manager said."""
    config = said.config
    types = listed(config.get("WORKER_INSTANCE_TYPE", [])) if config else []
    uses = quotas(at, [*types, *(machine.instance_type for machine in found.workers)])
    if config is None:
        return Outlook(uses, why=said.why)
    try:
        pool = pool_of(config, now)
    except (TypeError, ValueError) as error:  # of a file that somebody has broken meanwhile
        return Outlook(uses, why=f"POOL on the manager cannot be read: {error}")
    return Outlook(
        uses, pool, config.get("MAX_MACHINES", 0), config.get("WHEN_FULL", "queue"), why=""
    )


def quotas(at: Desk, types: Iterable[str]) -> tuple[QuotaUse, ...]:
    """Of every quota that the cluster's machines count against."""
    codes = sorted({quota_code(name) for name in types} - {""}) or [STANDARD]
    return tuple(QuotaUse(code, quota(at.clients.quotas, code), _used(at, code)) for code in codes)


def _used(at: Desk, code: str) -> int | None:
    try:
        return used(at.clients.ec2, code)
    except EC2Error:
        return None


def pool_of(config: dict[str, Any], now: datetime) -> Pool:
    """Pure. Raises ValueError or TypeError for what is none."""
    wanted, most = timetable(config.get("POOL", 0)), config.get("POOL_MAX", _DEFAULT_POOL_MAX)
    current = min(wanted.wanted(now), most)
    return Pool(
        config.get("POOL_STATE", "running"), current, tuple(_changes(wanted, most, current, now))
    )


def _changes(
    wanted: Timetable, most: int, current: int, now: datetime
) -> Iterable[tuple[datetime, int]]:
    """When another number begins to hold, to five minutes."""
    if not wanted.hours:
        return
    first = now.replace(minute=now.minute - now.minute % 5, second=0, microsecond=0)
    for step in range(1, _HOURS_AHEAD * 12 + 1):
        moment = first + step * _STEP
        count = min(wanted.wanted(moment), most)
        if count != current:
            yield moment, count
            current = count


# -- in words


def as_text(outlook: Outlook, found: Inventory) -> str:
    """Machines by type and zone, spares, limits and quotas."""
    lines = [_on(outlook, found), _spares(outlook, found)]
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
        "machines_on": sum(machine.state in _ON for machine in found.workers),
        "max_machines": outlook.max_machines,
        "when_full": outlook.when_full or None,
        "spares": spares(found),
        "pool": pool
        and {
            "state": pool.state,
            "wanted_now": pool.wanted,
            "changes": [
                {"at": moment.isoformat(), "wanted": count} for moment, count in pool.changes
            ],
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
