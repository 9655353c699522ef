"""``cloudjhub teardown``: removes a cluster, in the order in which EC2 lets go of its parts."""

import argparse
from collections.abc import Callable, Sequence

from cloudjhub.account.inventory import GroupFound, Inventory, SnapshotFound, Thing
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
    wait_until,
)
from cloudjhub.deploy.removing import Homes, Removing
from cloudjhub.deploy.settings import Account
from cloudjhub.deploy.terminate_workers import (
    homes_text,
    refused,
    removal_parser,
    state_text,
)
from cloudjhub.naming import MANAGER_ROLE, resource_name

_LAG_SECONDS = 60.0  # EC2 may list for a while what it has deleted

DESCRIPTION = """Removes everything that carries the tag of exactly this cluster: machines, AMI and
snapshots, address, key pair, security groups, role. It shows before what would go and what stays.
Homes are kept if nothing else is said, and what they cost is said. Nothing without the cluster's
tag is touched. It can be run again after an interruption. Exit codes: 0 done or shown, 1
something remains (it says what and why), 2 wrong arguments."""


def parser(prog: str | None = None) -> argparse.ArgumentParser:
    """The verb's arguments."""
    return removal_parser(prog, DESCRIPTION)


def main(arguments: Sequence[str] | None = None, *, prog: str | None = None) -> int:
    """The verb; gives its exit code."""
    options = parser(prog).parse_args(arguments)

    def act() -> int:
        at = desk(sources.read(options, Account), prog, with_roles=True)
        found = known(at)
        if found is None:
            say(f"Nothing is left of a cluster {at.cluster} in {at.account.region}; {at.others()}.")
            return DONE
        say(plan_text(found, options.homes, Costs(at.account.region)))
        if refused(found, options.homes):
            return FAILED
        if not _agreed(at, found, homes=options.homes, yes=options.yes):
            return DONE
        return Teardown(at, options.homes, wait_seconds=options.wait_seconds).run(found)

    return ended(act)


def _agreed(at: Desk, found: Inventory, *, homes: Homes, yes: bool) -> bool:
    if yes:
        return True
    files = [*found.homes, *found.homes_inside, *found.home_snapshots]
    if homes == "delete" and files:
        question = "\nType the cluster's name to remove it with every file of its users:"
        if agreed(question, at.cluster):
            return True
    say("\nNothing was changed. Add --yes to do it.")
    return False


# -- what would happen


def other_snapshots(found: Inventory) -> list[SnapshotFound]:
    """Of which worker AMIs are made, and copies of homes on their way to another zone."""
    kept = {snapshot.id for snapshot in found.home_snapshots}
    return [snapshot for snapshot in found.snapshots if snapshot.id not in kept]


def _snapshot_name(snapshot: SnapshotFound) -> str:
    if snapshot.is_of_home:
        return f"copy of {snapshot.owner or 'somebody'}'s home, which is there besides"
    return snapshot.name


def plan_text(found: Inventory, homes: Homes, costs: Costs) -> str:
    """What goes, what stays and what that costs."""
    rows = [(kind, thing.id, name) for kind, thing, name in _going(found)]
    parts = [f"To be removed from cluster {found.cluster}:"]
    parts.append(table(("WHAT", "ID", "NAME"), rows) if rows else "Nothing but homes is left.")
    parts.append(homes_text(found, homes, costs))
    kept = found.home_snapshots
    if kept:
        month = costs.snapshots_month(kept)
        verb = "To be deleted for ever" if homes == "delete" else "Kept"
        many = counted(len(kept), "snapshot")
        parts.append(f"{verb}: {many} of homes, at most {month} a month.")
    return "\n\n".join(parts)


def _going(found: Inventory) -> list[tuple[str, Thing, str]]:
    """Kind, thing and what people know it by, in the order of the removal."""
    machines = [m for role in (found.workers, found.builders) for m in role]
    others = [m for m in found.machines if m not in machines]
    gone_with = {machine.id for machine in found.machines}
    return [
        *(("machine", m, f"{m.name or m.role} ({state_text(m)})") for m in [*others, *machines]),
        *(("volume", d, d.name) for d in found.other_disks if d.goes_with not in gone_with),
        *(("AMI", image, image.title) for image in found.images),
        *(("snapshot", each, _snapshot_name(each)) for each in other_snapshots(found)),
        *(("address", address, address.ip) for address in found.addresses),
        *(("key pair", pair, pair.key_name) for pair in found.key_pairs),
        *(("security group", group, group.group_name) for group in found.groups),
        *(("instance profile", profile, "") for profile in found.profiles),
        *(("role", role, "") for role in found.roles),
    ]


# -- doing it


class Teardown:
    """The steps. Each looks again at what is there, so that all can be repeated."""

    def __init__(self, at: Desk, homes: Homes, *, wait_seconds: float):
        self._at = at
        self._homes = homes
        self._removing = Removing(at, wait_seconds=wait_seconds)

    def run(self, found: Inventory) -> int:
        """Do it; gives the exit code."""
        say()
        if self._machines():
            self._disks()
            self._images()
            self._network()
            self._access()
        return self._conclusion()

    def _machines(self) -> bool:
        """The manager first: a hub that runs would make new machines for whoever logs in."""
        for _ in range(3):
            machines = self._at.listing.machines()
            others = [m for m in machines if m.role not in ("worker", "builder")]
            rest = [m for m in machines if m not in others]
            if not machines:
                return True
            end = self._removing.machines
            if not (end(others, self._homes) and end(rest, self._homes)):
                say("What machines still use is left as it is.")
                return False
        return True

    def _disks(self) -> None:
        found = self._at.listing.everything()
        self._removing.homes(found.homes, self._homes)
        self._removing.blanks(found.other_disks)

    def _images(self) -> None:
        found, removal = self._at.listing.everything(), self._at.removal
        for image in found.images:
            self._gone(f"AMI {image.id}", removal.deregister, image)
        for snapshot in other_snapshots(found):
            self._gone(f"snapshot {snapshot.id}", removal.delete_snapshot, snapshot)
        for snapshot in found.home_snapshots if self._homes == "delete" else []:
            what = f"snapshot {snapshot.id} of the home of {snapshot.owner}"
            self._gone(what, removal.delete_snapshot, snapshot)

    def _network(self) -> None:
        found, removal = self._at.listing.everything(), self._at.removal
        for address in found.addresses:
            self._gone(f"address {address.ip}", removal.release, address)
        for pair in found.key_pairs:
            self._gone(f"key pair {pair.key_name}", removal.delete_key_pair, pair)
        # All rules between them first, or each would keep another alive.
        for group in found.groups:
            self._removing.one(f"rules of {group.id}", removal.revoke_references, group)
        for group in found.groups:
            self._group(group)

    def _group(self, group: GroupFound) -> None:
        name = f"security group {group.group_name} ({group.id})"
        if self._removing.one(name, self._at.removal.delete_group, group):
            say(f"  Deleted {name}")
        elif users := self._at.listing.users_of(group):
            self._removing.remains.add(name, f"it is used by {', '.join(users)}")

    def _access(self) -> None:
        found, removal = self._at.listing.everything(), self._at.removal
        for profile in found.profiles:
            self._gone(f"instance profile {profile.id}", removal.delete_profile, profile)
        for role in found.roles:
            self._gone(f"role {role.id}", removal.delete_role, role)

    def _gone(self, name: str, remove: Callable[[Thing], object], thing: Thing) -> None:
        if self._removing.one(name, remove, thing):
            say(f"  Deleted {name}")

    def _left(self) -> Inventory:
        """What is there in the end; EC2 may show for a moment what it has deleted."""
        left: list[Inventory] = []

        def only_what_was_kept() -> bool:
            left[:] = [self._at.listing.everything()]
            return not _going(left[0])

        if not self._removing.remains:
            wait_until(only_what_was_kept, seconds=_LAG_SECONDS)
        else:
            only_what_was_kept()
        for kind, thing, _ in _going(left[0]):
            if not any(thing.id in known for known in self._removing.remains.reasons):
                self._removing.remains.add(f"{kind} {thing.id}", "it is still there")
        return left[0]

    def _conclusion(self) -> int:
        left = self._left()
        if self._at.listing.iam_is_closed:
            name = resource_name(left.cluster, MANAGER_ROLE)
            say(f"\nnote: you may not ask IAM whether there is a role {name} of this cluster.")
        if left.homes or left.home_snapshots:
            say(f"\n{_kept_text(left, Costs(self._at.account.region), self._at.prog)}")
        if self._removing.remains:
            say(f"\nNot everything went. What remains of {left.cluster}:")
            say(str(self._removing.remains))
            say("Mend what it says and run the same command again.")
            return FAILED
        say(f"\nDone: cluster {left.cluster} is removed{', but for what was kept' * bool(left)}.")
        return DONE


def _kept_text(left: Inventory, costs: Costs, prog: str) -> str:
    lines = []
    if left.homes:
        month = costs.disks_month(left.homes)
        lines.append(
            f"Kept: {counted(len(left.homes), 'home')}, {month} a month. A cluster of the same "
            "name with machines in the same zone finds them again."
        )
    if snapshots := left.home_snapshots:
        month = costs.snapshots_month(snapshots)
        lines.append(
            f"Kept: {counted(len(snapshots), 'snapshot')} of homes, at most {month} a month."
        )
    lines.append(f"To delete them for ever: {prog} {left.cluster} --homes delete")
    return "\n".join(lines)
