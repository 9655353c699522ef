"""``cloudjhub terminate-workers``: ends users' machines; their homes as told."""

import argparse
from collections.abc import Sequence

from cloudjhub.account.inventory import DiskFound, Inventory, MachineFound
from cloudjhub.deploy import sources
from cloudjhub.deploy.costs import Costs
from cloudjhub.deploy.desk import (
    DONE,
    FAILED,
    Desk,
    agreed,
    counted,
    desk,
    ended,
    known,
    say,
    table,
    unknown,
)
from cloudjhub.deploy.removing import HOMES, Homes, Removing
from cloudjhub.deploy.settings import Account

DESCRIPTION = """Ends every user's machine of a cluster, whatever it does at that moment, and shows
before what would go and what stays. Files outside a home go with the machine. Homes are kept if
nothing else is said, and the next login of their owner finds them again. The manager and other
clusters are not touched. It can be run again after an interruption. Exit codes: 0 done or shown,
1 something remains (it says what and why), 2 wrong arguments."""

_WAIT_SECONDS = 900.0


def add_removal_arguments(parser: argparse.ArgumentParser) -> None:
    """What this verb and teardown can be told."""
    parser.add_argument("--yes", action="store_true", help="do it; without this it is only shown")
    parser.add_argument(
        "--homes",
        choices=HOMES,
        default="keep",
        help="what becomes of users' files: keep the volumes (default), replace each by a "
        "snapshot, which costs less at rest, or delete them for ever",
    )
    parser.add_argument(
        "--wait-seconds",
        "--wait_seconds",
        type=_seconds,
        default=_WAIT_SECONDS,
        metavar="SECONDS",
        help="how long machines may take to end (default: 900)",
    )


def _seconds(text: str) -> float:
    number = float(text) if text.replace(".", "", 1).isdigit() else -1.0
    if not 1 <= number <= 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 1 to 86400")
    return number


def removal_parser(prog: str | None, description: str) -> argparse.ArgumentParser:
    """The arguments of a verb that removes machines."""
    made = sources.Parser(prog=prog, description=description)
    sources.add_arguments(made, Account)
    add_removal_arguments(made)
    return made


def parser(prog: str | None = None) -> argparse.ArgumentParser:
    """The verb's arguments."""
    return removal_parser(prog, DESCRIPTION)


def main(arguments: Sequence[str] | None = None, *, prog: str | None = None) -> int:
    """The verb; gives its exit code."""
    options = parser(prog).parse_args(arguments)

    def act() -> int:
        at = desk(sources.read(options, Account), prog)
        found = known(at)
        if found is None:
            return unknown(at)
        say(plan_text(found, options.homes, Costs(at.account.region)))
        if refused(found, options.homes):
            return FAILED
        if not _agreed(at, found, homes=options.homes, yes=options.yes):
            return DONE
        return remove(at, found, options.homes, wait_seconds=options.wait_seconds)

    return ended(act)


def _agreed(at: Desk, found: Inventory, *, homes: Homes, yes: bool) -> bool:
    if yes:
        return True
    many = len(found.homes) + len(found.homes_inside)
    if homes == "delete" and many:
        say()
        question = f"Type the cluster's name to delete {counted(many, 'home')} for ever:"
        if agreed(question, at.cluster):
            return True
    say("\nNothing was changed. Add --yes to do it.")
    return False


def refused(found: Inventory, homes: Homes) -> bool:
    """Whether machines would take files with them that are to be kept; says so."""
    if not found.homes_inside or homes == "delete":
        return False
    say(
        "\nNothing was changed, and --yes would change nothing: these files can neither be kept "
        "nor become a snapshot.\nCopy them away; then say --homes delete, which ends every home, "
        "or terminate such a machine in the EC2 console."
    )
    return True


# -- what would happen


def plan_text(found: Inventory, homes: Homes, costs: Costs) -> str:
    """What goes and what stays."""
    parts = [machines_text(found.workers), homes_text(found, homes, costs)]
    if found.passing:
        many = f"{counted(len(found.passing), 'snapshot')} of homes on their way to another zone"
        kept = f"Kept: {many}; the hub goes on."
        parts.append(f"To be deleted with its home: {many}" if homes == "delete" else kept)
    if found.blanks:
        ids = ", ".join(disk.id for disk in found.blanks)
        parts.append(f"To be deleted: {counted(len(found.blanks), 'blank volume')}: {ids}")
    if found.manager:
        parts.append(
            f"Kept: the manager {found.manager.id} ({found.manager.state}), AMI, network rules."
        )
        if found.manager.state == "running":
            parts.append(_hub_goes_on(found))
    return "\n\n".join(parts)


def _hub_goes_on(found: Inventory) -> str:
    goes_on = "The hub runs on: who logs in meanwhile or later gets a new machine."
    if not any(machine.is_spare for machine in found.workers):
        return goes_on
    return f"{goes_on} A pool is filled again at once: set POOL to 0 on the manager before."


def machines_text(machines: Sequence[MachineFound]) -> str:
    """The machines that would go, as a table."""
    if not machines:
        return "No users' machines."
    rows = [
        (m.owner or "(spare)", m.id, m.instance_type, state_text(m), m.home_volume_id or "-")
        for m in sorted(machines, key=lambda machine: (machine.owner, machine.id))
    ]
    head = ("OWNER", "MACHINE", "TYPE", "STATE", "HOME")
    spares = sum(machine.is_spare for machine in machines)
    also = f", {counted(spares, 'spare')} among them" if spares else ""
    many = counted(len(machines), "machine")
    return f"To be terminated: {many} of users{also}\n{table(head, rows)}"


def state_text(machine: MachineFound) -> str:
    """Its state, and what is lost with it."""
    if machine.hibernated:
        return "stopped, hibernated (its running work would be lost)"
    return machine.state


def homes_text(found: Inventory, homes: Homes, costs: Costs) -> str:
    """What becomes of the homes, and what they cost."""
    return "\n\n".join(filter(None, [_inside_text(found), _volumes_text(found, homes, costs)]))


def _inside_text(found: Inventory) -> str:
    if not found.homes_inside:
        return ""
    rows = [(m.owner or "(owner's tag is lost)", m.id) for m in found.homes_inside]
    many = counted(len(rows), "home")
    head = f"On the system disk, lost with the machine: {many}"
    return f"{head}\n{table(('OWNER', 'MACHINE'), rows)}"


def _volumes_text(found: Inventory, homes: Homes, costs: Costs) -> str:
    if not found.homes:
        return "No homes on volumes of their own."
    month = costs.disks_month(found.homes)
    moved = sum(bool(disk.superseded) for disk in found.homes)
    many = counted(len(found.homes), "home")
    if moved:
        many += f" ({moved} of them as it was before it moved to another zone)"
    if homes == "keep":
        return f"Kept: {many}, {month} a month. --homes snapshot or --homes delete would end that."
    list_of = table(("OWNER", "HOME", "SIZE"), map(_home_row, found.homes))
    if homes == "snapshot":
        return f"To be replaced by a snapshot each: {many} ({month} a month)\n{list_of}"
    return f"To be deleted for ever, with every file: {many}\n{list_of}"


def _home_row(disk: DiskFound) -> tuple[str, str, str]:
    return home_owner(disk), disk.id, f"{disk.size_gib} GiB"


def home_owner(disk: DiskFound) -> str:
    """Whose, and where its files are by now."""
    whose = disk.owner or "(owner's tag is lost)"
    return f"{whose} (moved, now {disk.superseded.split()[-1]})" if disk.superseded else whose


# -- doing it


def remove(at: Desk, found: Inventory, homes: Homes, *, wait_seconds: float) -> int:
    """Do it; gives the exit code."""
    say()
    removing = Removing(at, wait_seconds=wait_seconds)
    removing.machines(found.workers, homes)
    removing.homes(found.homes, homes)
    if homes == "delete":
        removing.copies(found.passing)
    removing.blanks(found.blanks)
    came = _came_meanwhile(at, found)
    if came:
        say(f"Made meanwhile, by a hub that runs on, and left alone: {', '.join(came)}")
    if removing.remains:
        say(f"\nNot everything went. What remains of cluster {at.cluster}:\n{removing.remains}")
        return FAILED
    say(f"\nDone: no machine of users of cluster {at.cluster} that was listed is left.")
    return DONE


def _came_meanwhile(at: Desk, found: Inventory) -> list[str]:
    before = {machine.id for machine in found.machines}
    return [m.id for m in at.listing.machines() if m.id not in before and m.role == "worker"]
