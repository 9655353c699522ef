"""Machines that are off, volumes, snapshots and addresses of the cluster that nobody owns. Pure.

Only what cannot hold anybody's files is ever removed: volumes born with a machine that nobody was
given, copies on the way of a home that is there besides, snapshots of worker AMIs that are gone,
addresses beside the one in use. The rest is listed, with what it is, for people to decide.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from cloudjhub import homes
from cloudjhub.account.inventory import (
    AddressFound,
    DiskFound,
    Inventory,
    MachineFound,
    SnapshotFound,
    Thing,
)
from cloudjhub.copy_spec import is_copy_of
from cloudjhub.culler.findings import Kind
from cloudjhub.naming import (
    CLUSTER_TAG,
    COPY_OF_TAG,
    DISK_ROLE,
    HOME_MOVE_ROLE,
    LAUNCHED_TAG,
    MANAGER_ROLE,
    MOVING_TAG,
    NAME_TAG,
    OUTDATED_TAG,
    RETIRED_TAG,
    SHAPE_TAG,
    USER_TAG,
    WORKER_IMAGE_ROLE,
)

_KINDS: dict[type[Thing], Kind] = {
    MachineFound: "machine",
    DiskFound: "volume",
    SnapshotFound: "snapshot",
    AddressFound: "address",
}
#: What is younger may be about to be used: starts, launches and moves leave nothing for so long.
SETTLED = timedelta(days=1)


@dataclass(frozen=True)
class Leftover:
    """One thing that nobody owns. ``removable``: whether nothing is lost with it."""

    thing: Thing
    why: str
    removable: bool = False

    @property
    def kind(self) -> Kind:
        """What it is to people."""
        return _KINDS[type(self.thing)]


def leftovers(
    found: Inventory, is_user: Callable[[str], bool], *, spare_seconds: float, now: datetime
) -> list[Leftover]:
    """What of it nobody owns. ``is_user``: whether a value of the user's tag is one of the hub's.

    ``spare_seconds``: the hub itself removes blank volumes once they are so old.
    """
    look = _Look(found, is_user, now, timedelta(seconds=spare_seconds))
    return [*look.machines(), *look.disks(), *look.snapshots(), *look.addresses()]


class _Look:
    def __init__(
        self,
        found: Inventory,
        is_user: Callable[[str], bool],
        now: datetime,
        spare_time: timedelta,
    ):
        self._found = found
        self._is_user = is_user
        self._now = now
        self._spare_time = spare_time
        self._homes = {disk.id: disk for disk in found.homes}
        self._in_images = {each for image in found.images for each in image.snapshot_ids}
        self._launching = _is_launching(found)

    def machines(self) -> Iterator[Leftover]:
        """Machines that are off and that nobody will start; their system disks cost something."""
        for machine in self._found.workers:
            if machine.state != "stopped" or not self._is_ours(machine):
                continue
            if OUTDATED_TAG in machine.tags:
                yield Leftover(machine, "was replaced; it ends at its owner's next start")
            elif RETIRED_TAG in machine.tags:
                yield Leftover(machine, "was set aside since it did not answer")
            elif USER_TAG in machine.tags and not self._is_user(machine.tags[USER_TAG]):
                yield Leftover(machine, "is stopped and its owner is no user of the hub")

    def disks(self) -> Iterator[Leftover]:
        """Volumes that are at no machine."""
        for disk in self._found.disks:
            free = disk.state in ("available", "error") and disk.attached_to is None
            if free and self._is_ours(disk) and self._is_older(disk.created_at, SETTLED):
                why, removable = self._disk(disk)
                if why:
                    yield Leftover(disk, why, removable)

    def _disk(self, disk: DiskFound) -> tuple[str, bool]:
        if disk.role != DISK_ROLE:
            return f"was a disk of the machine {disk.role or 'of unknown role'}", False
        if disk.superseded:
            date, _, new = disk.superseded.rpartition(" ")
            return f"was the home until it moved on {date}; now {new} is", False
        if homes.is_on_its_way(dict(disk.tags)):
            return (
                f"copy of the home {disk.tags.get(COPY_OF_TAG)}; its owner's start ends it",
                False,
            )
        if disk.is_home:
            return self._home(disk)
        if disk.from_snapshot:
            return "made from a snapshot, without an owner: it may be a restored home", False
        if NAME_TAG in disk.tags or SHAPE_TAG not in disk.tags or MOVING_TAG in disk.tags:
            return "has no owner, but may have had one", False
        # The hub has had its time to remove it.
        if not self._is_older(disk.created_at, SETTLED + self._spare_time):
            return "", False
        return "blank: born with a machine that nobody was given", True

    def _home(self, disk: DiskFound) -> tuple[str, bool]:
        if USER_TAG not in disk.tags:
            return "a home that lost its owner's tag", False
        if self._is_user(disk.tags[USER_TAG]):
            return "", False
        return "a home whose owner is no user of the hub", False

    def snapshots(self) -> Iterator[Leftover]:
        """Snapshots that no AMI and no move needs."""
        for snapshot in self._found.snapshots:
            done = snapshot.state in ("completed", "error")
            if done and self._is_ours(snapshot) and self._is_older(snapshot.started_at, SETTLED):
                why, removable = self._snapshot(snapshot)
                if why:
                    yield Leftover(snapshot, why, removable)

    def _snapshot(self, snapshot: SnapshotFound) -> tuple[str, bool]:
        if snapshot.role == HOME_MOVE_ROLE:
            return self._of_a_move(snapshot)
        if snapshot.is_of_home:
            if self._is_user(snapshot.tags.get(USER_TAG, "")):
                return "", False
            return "a home's snapshot whose owner is no user of the hub", False
        if snapshot.id in self._in_images or self._launching:
            return "", False
        if snapshot.role != WORKER_IMAGE_ROLE:
            return "of no role that is known", False
        return "of a worker AMI that is gone", True

    def _of_a_move(self, snapshot: SnapshotFound) -> tuple[str, bool]:
        home = self._homes.get(snapshot.volume_id)
        if home is None:
            return f"copy of the home {snapshot.volume_id}, which is gone", False
        if home.superseded:
            if home.superseded.split()[-1] in self._homes:
                return f"on the way of the home {home.id}, which has moved", True
            return f"copy of the home {home.id}, whose new volume is gone", False
        if is_copy_of(dict(snapshot.tags), home):
            return "", False
        return f"of an attempt to move the home {home.id} that was given up", True

    def addresses(self) -> Iterator[Leftover]:
        """Addresses that nothing has. The last one is kept for the manager: names point to it."""
        used = any(each.association_id for each in self._found.addresses)
        for address in self._found.addresses:
            if not address.association_id and self._is_ours(address) and not self._launching:
                removable = used and address.role == MANAGER_ROLE
                yield Leftover(address, f"the address {address.ip} is used by nothing", removable)

    def _is_ours(self, thing: Thing) -> bool:
        return thing.tags.get(CLUSTER_TAG) == self._found.cluster

    def _is_older(self, moment: datetime | None, age: timedelta) -> bool:
        return moment is not None and self._now - moment > age


def _is_launching(found: Inventory) -> bool:
    """Whether a launch or an upgrade may be under way, or have been interrupted."""
    unfinished = (m for m in found.with_role(MANAGER_ROLE) if LAUNCHED_TAG not in m.tags)
    pending = any(image.state != "available" for image in found.images)
    return bool(found.builders) or pending or any(unfinished)
