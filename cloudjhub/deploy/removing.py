"""The parts that the removal of workers and the teardown of a cluster share: machines and homes.

Nothing is remembered between two runs: each looks at what there is, so that one that was killed
is simply run again.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from cloudjhub.account.inventory import DiskFound, MachineFound, SnapshotFound, Thing
from cloudjhub.deploy.desk import Desk, counted, say, wait_until
from cloudjhub.errors import EC2Error, NotPermitted
from cloudjhub.naming import was_somebodys

Homes = Literal["keep", "snapshot", "delete"]
HOMES: tuple[Homes, ...] = ("keep", "snapshot", "delete")

#: of snapshots that EC2 makes at the same moment; an account may have 100 of them
_SNAPSHOTS_AT_ONCE = 40
_SNAPSHOT_SECONDS = 6 * 3600.0  # a first snapshot of a large, full volume takes hours
_DETACH_SECONDS = 300.0  # until EC2 takes the disks of ended machines for free
_IN_USE_SECONDS = 180.0
#: what EC2 says as long as something that is just going still uses a thing
_STILL_IN_USE = {
    "DependencyViolation",
    "DeleteConflict",
    "IncorrectState",
    "InvalidGroup.InUse",
    "InvalidSnapshot.InUse",
    "InvalidIPAddress.InUse",
    "ResourceInUse",
    "VolumeInUse",
}
#: one snapshot of a volume every 15 s, and so many at once
_LATER = {"SnapshotCreationPerVolumeRateExceeded", "ConcurrentSnapshotLimitExceeded"}

_PROTECTED = (
    "it is protected against termination; turn that off in the EC2 console "
    "(Actions, Instance settings), then run this again"
)

Item = TypeVar("Item", bound=Thing)


@dataclass
class Remains:
    """What could not be removed, each with its reason."""

    reasons: dict[str, str] = field(default_factory=dict)

    def add(self, thing: str, reason: object) -> None:
        """Remember one, and say it at once."""
        text = reason.message if isinstance(reason, EC2Error) else str(reason)
        self.reasons[thing] = text.rstrip(".")
        say(f"  {thing} remains: {self.reasons[thing]}.")

    def __bool__(self) -> bool:
        return bool(self.reasons)

    def __str__(self) -> str:
        return "\n".join(f"  {thing}: {reason}." for thing, reason in self.reasons.items())


_FILES_INSIDE = (
    "{} files on the system disk, lost with the machine; copy them away first, "
    "or say --homes delete"
)


def files_inside(machine: MachineFound) -> str:
    """Why such a machine is not ended, for people."""
    return _FILES_INSIDE.format(f"{machine.owner or 'somebody'} has")


def protection(error: EC2Error) -> str:
    """Why a machine was not terminated, for people."""
    return _PROTECTED if error.code == "OperationNotPermitted" else error.message.rstrip(".")


class Removing:
    """Removes machines and disks of one cluster, says what it does, remembers what remains."""

    def __init__(self, desk: Desk, *, wait_seconds: float):
        self.remains = Remains()
        self._desk = desk
        self._wait_seconds = wait_seconds

    # -- machines

    def machines(self, machines: Sequence[MachineFound], homes: Homes) -> bool:
        """Terminate them and wait until they have ended; gives whether all have.

        One with its user's files on its own disk stays, unless homes are to be deleted.
        """
        kept = [machine for machine in machines if machine.holds_files and homes != "delete"]
        for machine in kept:
            self.remains.add(f"machine {machine.id}", files_inside(machine))
        ended = self._end([machine for machine in machines if machine not in kept])
        return ended and not kept

    def _end(self, machines: Sequence[MachineFound]) -> bool:
        if not machines:
            return True
        say(f"Terminating {counted(len(machines), 'machine')} ...")
        self._mark_homes(machines)
        refused = self._desk.removal.terminate(machines)
        if refused:
            # Of one that is gone EC2 tells a policy with tags in it only that it is not allowed.
            there = {machine.id for machine in self._desk.listing.machines()}
            refused = {i: error for i, error in refused.items() if i in there}
        for machine_id, error in refused.items():
            self.remains.add(f"machine {machine_id}", protection(error))
        going = {machine.id for machine in machines} - set(refused)
        return self._until_ended(going) and not refused

    def _mark_homes(self, machines: Sequence[MachineFound]) -> None:
        """Nobody shall take a home for blank, once the machine that told whose it is has ended."""
        holders = {m.home_volume_id: m for m in machines if was_somebodys(dict(m.tags))}
        for disk in self._desk.listing.disks() if holders else ():
            if disk.id in holders and not disk.is_home:
                self._desk.removal.mark_home(disk, holders[disk.id])
                say(f"  Home {disk.id} has its owner's tags again")

    def _until_ended(self, going: set[str]) -> bool:
        told = len(going)

        def left() -> dict[str, str]:
            return {m.id: m.state for m in self._desk.listing.machines() if m.id in going}

        def all_ended() -> bool:
            nonlocal told
            still = len(left())
            if still != told:
                say(f"  {len(going) - still} of {len(going)} have ended")
                told = still
            return not still

        if wait_until(all_ended, seconds=self._wait_seconds):
            say(f"  {counted(len(going), 'machine')} terminated")
            return True
        for machine_id, state in left().items():
            self.remains.add(f"machine {machine_id}", f"still {state} after waiting")
        return False

    # -- homes

    def homes(self, homes: Sequence[DiskFound], how: Homes) -> None:
        """Keep them, or delete them with or without a last snapshot.

        Of a home that is attached (somebody logged in meanwhile) nothing is deleted.
        """
        if how == "keep" or not homes:
            return
        free = self._detached(homes)
        if how == "snapshot":
            free = self._snapshotted(free)
        for disk in free:
            if self.one(f"home {disk.id} of {disk.owner}", self._desk.removal.delete_disk, disk):
                say(f"  Deleted home {disk.id} of {disk.owner}")

    def copies(self, snapshots: Sequence[SnapshotFound]) -> None:
        """Delete snapshots of homes that have just been deleted; those of other homes stay."""
        there = {disk.id for disk in self._desk.listing.disks()}
        for copy in snapshots:
            what = f"snapshot {copy.id} of the home of {copy.owner}"
            gone = copy.volume_id not in there
            if gone and self.one(what, self._desk.removal.delete_snapshot, copy):
                say(f"  Deleted {what}")

    def blanks(self, disks: Sequence[DiskFound]) -> None:
        """Delete volumes that nobody ever had, or that only a machine's system was on."""
        for disk in self._detached(disks):
            if disk.is_home:
                say(f"  Volume {disk.id} was given to {disk.owner} meanwhile: it is left alone")
            elif self.one(f"volume {disk.id}", self._desk.removal.delete_disk, disk):
                say(f"  Deleted volume {disk.id}, which was nobody's")

    def _detached(self, disks: Sequence[DiskFound]) -> list[DiskFound]:
        """Those that are free once their machines have ended; those that are gone are left out."""
        wanted = {disk.id for disk in disks}
        now: dict[str, DiskFound] = {}

        def settled() -> bool:
            now.clear()
            now.update({d.id: d for d in self._desk.listing.disks() if d.id in wanted})
            holders = {disk.attached_to for disk in now.values() if disk.attached_to}
            return holders <= self._desk.listing.staying(holders)

        if wanted:
            wait_until(settled, seconds=min(_DETACH_SECONDS, self._wait_seconds))
        for disk in now.values():
            if disk.attached_to:
                whose = f"home {disk.id} of {disk.owner}" if disk.is_home else f"volume {disk.id}"
                self.remains.add(whose, f"it is attached to {disk.attached_to}")
        return [disk for disk in now.values() if disk.attached_to is None]

    def _snapshotted(self, homes: Sequence[DiskFound]) -> list[DiskFound]:
        """Homes whose snapshot is complete; only their volumes may go."""
        safe: list[DiskFound] = []
        for first in range(0, len(homes), _SNAPSHOTS_AT_ONCE):
            part = homes[first : first + _SNAPSHOTS_AT_ONCE]
            begun = {disk.id: self._begin_snapshot(disk) for disk in part}
            made = self._completed({i for i in begun.values() if i})
            safe += [disk for disk in part if begun[disk.id] in made]
            self._forget_earlier([disk for disk in part if begun[disk.id] in made], set(made))
        return safe

    def _begin_snapshot(self, disk: DiskFound) -> str | None:
        begun: list[str] = []

        def begin(disk: DiskFound) -> None:
            begun.append(self._desk.removal.snapshot(disk))

        what = f"home {disk.id} of {disk.owner}"
        if not self.one(what, begin, disk, patient_with=_LATER):
            return None
        say(f"  Snapshot {begun[0]} of home {disk.id} of {disk.owner} begun")
        return begun[0]

    def _completed(self, ids: set[str]) -> dict[str, SnapshotFound]:
        found: dict[str, SnapshotFound] = {}
        told = ""

        def settled() -> bool:
            nonlocal told
            found.update({s.id: s for s in self._desk.listing.snapshots() if s.id in ids})
            pending = [each for each in found.values() if each.state == "pending"]
            text = ", ".join(f"{each.id} {each.progress or '0%'}" for each in pending[:3])
            if text and text != told:
                say(f"  Waiting for {counted(len(pending), 'snapshot')}: {text}")
                told = text
            return len(found) == len(ids) and not pending

        wait_until(settled, seconds=_SNAPSHOT_SECONDS)
        done = {i: found[i] for i in ids if i in found and found[i].state == "completed"}
        for snapshot_id in ids - set(done):
            self.remains.add(f"the volume of {snapshot_id}", "its snapshot did not complete")
        return done

    def _forget_earlier(self, homes: Iterable[DiskFound], made: set[str]) -> None:
        """Delete what an interrupted run left: the new snapshot of the same volume has it all."""
        volumes = {disk.id for disk in homes}
        for snapshot in self._desk.listing.snapshots():
            earlier = snapshot.was_made_by_removal and snapshot.volume_id in volumes
            if earlier and snapshot.id not in made and snapshot.state == "completed":
                self.one(f"snapshot {snapshot.id}", self._desk.removal.delete_snapshot, snapshot)

    # -- one thing

    def one(
        self,
        name: str,
        remove: Callable[[Item], object],
        item: Item,
        *,
        patient_with: Iterable[str] = frozenset(_STILL_IN_USE),
    ) -> bool:
        """Remove one, again while something that is going still uses it; gives whether it went."""
        codes = set(patient_with)
        last: list[EC2Error] = []

        def removed() -> bool:
            try:
                remove(item)
            except EC2Error as error:
                last[:] = [error]
                return error.code not in codes
            last.clear()
            return True

        wait_until(removed, seconds=min(_IN_USE_SECONDS, self._wait_seconds))
        if last and isinstance(last[0], NotPermitted) and not self._is_there(item):
            return True
        if last:
            self.remains.add(name, last[0])
        return not last

    def _is_there(self, thing: Thing) -> bool:
        kinds = vars(self._desk.listing.everything()).values()
        things = [each for kind in kinds if isinstance(kind, tuple) for each in kind]
        return any(each.id == thing.id for each in things)
