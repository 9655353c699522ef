"""``cloudjhub status``: what runs, whose it is, since when, what it costs, and what is wanted."""

import argparse
import json
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from cloudjhub.account.inventory import DiskFound, Inventory, MachineFound
from cloudjhub.deploy import manager_look, outlook, sources
from cloudjhub.deploy.costs import Costs, usd
from cloudjhub.deploy.desk import DONE, Desk, counted, desk, ended, known, say, table, unknown
from cloudjhub.deploy.prices import DATED, HOURS_PER_MONTH
from cloudjhub.deploy.settings import ManagerLogin
from cloudjhub.deploy.terminate_workers import home_owner
from cloudjhub.naming import BUILDER_ROLE, LAUNCHED_TAG, RETIRED_TAG

DESCRIPTION = """What a cluster has: the manager's address, users' machines, their homes, spares and
limits, the account's quota, and what all of it costs now and at rest. What the pool wants and
MAX_MACHINES stand on the manager: they are shown where KEY_PATH opens it. Changes nothing. Exit
codes: 0 shown, 1 no such cluster or AWS cannot be asked, 2 wrong arguments."""


def parser(prog: str | None = None) -> argparse.ArgumentParser:
    """The verb's arguments."""
    made = sources.Parser(prog=prog, description=DESCRIPTION)
    sources.add_arguments(made, ManagerLogin)
    made.add_argument("--json", action="store_true", help="for programs: one JSON object")
    return made


def main(arguments: Sequence[str] | None = None, *, prog: str | None = None) -> int:
    """The verb; gives its exit code."""
    options = parser(prog).parse_args(arguments)

    def act() -> int:
        account = sources.read(options, ManagerLogin)
        return _show(desk(account, prog), account, as_json=options.json)

    return ended(act)


def _show(at: Desk, account: ManagerLogin, *, as_json: bool) -> int:
    found = known(at)
    if found is None:
        return unknown(at)
    costs, now = Costs(at.account.region), datetime.now(timezone.utc)
    said = manager_look.server_config(at, account, found.manager)
    seen = outlook.look(at, found, said, now)
    if as_json:
        data = as_data(found, costs) | outlook.as_data(seen, found)
        say(json.dumps(data, indent=2))
    else:
        say(as_text(found, costs, now, seen))
    return DONE


# -- for people


def as_text(
    found: Inventory, costs: Costs, now: datetime, seen: outlook.Outlook | None = None
) -> str:
    """Everything as tables, with the totals at the end."""
    parts = [
        _headline(found, costs, now),
        outlook.as_text(seen, found) if seen else "",
        _machines(found, costs, now),
        _homes(found, costs),
        _rest(found, costs),
        _totals(found, costs, seen.pool if seen else None),
    ]
    return "\n\n".join(part for part in parts if part)


def _headline(found: Inventory, costs: Costs, now: datetime) -> str:
    manager = found.manager
    if manager is None:
        return (
            f"Cluster {found.cluster} in {costs.region} has no manager: its launch has not "
            "finished, or its teardown."
        )
    where = manager.public_ip or manager.private_ip or "no address"
    unfinished = "" if LAUNCHED_TAG in manager.tags else "\nIts launch has not finished."
    return (
        f"Cluster {found.cluster} in {costs.region}\n"
        f"Manager {manager.id} ({manager.instance_type}) at {where}: {manager.state} "
        f"{_since(manager, now)}, {costs.machine_hour(manager)} an hour{unfinished}"
    )


def _machines(found: Inventory, costs: Costs, now: datetime) -> str:
    machines = [*found.workers, *found.builders]
    if not machines:
        return "No users' machines."
    rows = [
        (
            _whose(machine),
            machine.id,
            machine.instance_type,
            _state(machine),
            _since(machine, now),
            str(costs.machine_hour(machine)),
            machine.image_id,
        )
        for machine in sorted(machines, key=lambda machine: (machine.role, _whose(machine)))
    ]
    head = ("OWNER", "MACHINE", "TYPE", "STATE", "STARTED", "USD/HOUR", "AMI")
    return f"{_how_many(found)}\n{table(head, rows)}"


def _how_many(found: Inventory) -> str:
    running = sum(machine.state in ("pending", "running") for machine in found.workers)
    return f"{counted(len(found.workers), 'machine')} of users, {running} of them on"


def _whose(machine: MachineFound) -> str:
    if machine.role == BUILDER_ROLE:
        return "(builds the worker AMI)"
    if RETIRED_TAG in machine.tags:
        # Its value is the user, a line's end as a tag value has it, and the server.
        return f"(set aside, was {machine.tags[RETIRED_TAG].partition('%0A')[0]}'s)"
    return machine.owner or "(spare)"


def _state(machine: MachineFound) -> str:
    return f"{machine.state}, hibernated" if machine.hibernated else machine.state


def _since(machine: MachineFound, now: datetime) -> str:
    if machine.launched_at is None:
        return "-"
    minutes = max(0, int((now - machine.launched_at).total_seconds() // 60))
    age = f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"
    age = age if minutes < 2880 else f"{minutes // 1440} days"
    return f"since {machine.launched_at:%Y-%m-%d %H:%M} UTC ({age})"


def _homes(found: Inventory, costs: Costs) -> str:
    if not found.homes:
        return "No homes on volumes of their own."
    rows = [
        (
            home_owner(disk),
            disk.id,
            f"{disk.size_gib} GiB",
            disk.attached_to or "not attached",
            str(costs.disk_month(disk)),
            disk.zone,
        )
        for disk in sorted(found.homes, key=lambda disk: (disk.owner, disk.id))
    ]
    total = costs.disks_month(found.homes)
    head = ("OWNER", "HOME", "SIZE", "MACHINE", "USD/MONTH", "ZONE")
    moved = [disk for disk in found.homes if disk.superseded]
    more = ""
    if moved:
        more = f"; {counted(len(moved), 'volume')} of homes that moved ({costs.disks_month(moved)})"
    return f"{counted(len(found.homes), 'home')}, {total} a month{more}\n{table(head, rows)}"


def _rest(found: Inventory, costs: Costs) -> str:
    others = found.other_disks
    lines = [f"Worker AMI {image.id} ({image.title}), {image.state}" for image in found.images]
    if others:
        what = counted(len(others), "other volume")
        lines.append(f"{what} (system disks, blank homes), {costs.disks_month(others)} a month")
    if found.snapshots:
        what = counted(len(found.snapshots), "snapshot")
        lines.append(f"{what}, at most {costs.snapshots_month(found.snapshots)} a month")
    if found.passing:
        what = counted(len(found.passing), "snapshot")
        lines.append(f"Of them {what} of homes on their way to another zone")
    return "\n".join(lines)


def _totals(found: Inventory, costs: Costs, pool: outlook.Pool | None) -> str:
    return (
        f"Now {costs.hour_now(found)} an hour. At rest, with every user's machine stopped: "
        f"{costs.month_at_rest(found)} a month.\n{_pool(pool)}"
        f"On-demand prices as of {DATED}, without taxes, traffic and the network's NAT gateway."
    )


def _pool(pool: outlook.Pool | None) -> str:
    """What is paid for at rest too, used or not."""
    if pool is None or not pool.mean:
        return ""
    machines = f"{pool.mean:.1f} machines on average, {pool.most} at most, {pool.state}"
    return f"The pool ({machines}) is not in that: {pool.month} a month, with its disks.\n"


# -- for programs


def as_data(found: Inventory, costs: Costs) -> dict[str, Any]:
    """The same as plain values; times in ISO 8601, amounts in USD, null where no price is known."""
    return {
        "cluster": found.cluster,
        "region": costs.region,
        "manager": _machine_data(found.manager, costs) if found.manager else None,
        "machines": [_machine_data(machine, costs) for machine in found.workers],
        "builders": [_machine_data(machine, costs) for machine in found.builders],
        "homes": [_disk_data(disk, costs) for disk in found.homes],
        "other_volumes": [_disk_data(disk, costs) for disk in found.other_disks],
        "images": [{"id": image.id, "state": image.state} for image in found.images],
        "snapshots": [
            {"id": each.id, "state": each.state, "volume": each.volume_id, "owner": each.owner}
            for each in found.snapshots
        ],
        "snapshots_of_moves": [each.id for each in found.passing],
        "usd_per_hour_now": usd(costs.hour_now(found)),
        "usd_per_month_at_rest": usd(costs.month_at_rest(found)),
        "hours_per_month": HOURS_PER_MONTH,
    }


def _machine_data(machine: MachineFound, costs: Costs) -> dict[str, Any]:
    return {
        "id": machine.id,
        "owner": machine.owner or None,
        "role": machine.role,
        "state": machine.state,
        "hibernated": machine.hibernated,
        "type": machine.instance_type,
        "zone": machine.zone,
        "spare": machine.is_spare,
        "image": machine.image_id,
        "started_at": machine.launched_at.isoformat() if machine.launched_at else None,
        "public_ip": machine.public_ip,
        "private_ip": machine.private_ip,
        "home": machine.home_volume_id,
        "usd_per_hour": usd(costs.machine_hour(machine)),
    }


def _disk_data(disk: DiskFound, costs: Costs) -> dict[str, Any]:
    return {
        "id": disk.id,
        "owner": disk.owner or None,
        "size_gib": disk.size_gib,
        "zone": disk.zone,
        "superseded": disk.superseded or None,
        "state": disk.state,
        "machine": disk.attached_to,
        "usd_per_month": usd(costs.disk_month(disk)),
    }
