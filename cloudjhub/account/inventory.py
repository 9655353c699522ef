"""Everything in an account that carries one cluster's tag, as frozen values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cloudjhub.naming import (
    BUILDER_ROLE,
    COPY_OF_TAG,
    DISK_ROLE,
    HOME_MOVE_ROLE,
    HOME_SNAPSHOT_ROLE,
    LAST_OF_TAG,
    MANAGER_ROLE,
    NAME_TAG,
    RETIRED_TAG,
    ROLE_TAG,
    SERVER_TAG,
    SUPERSEDED_TAG,
    USER_TAG,
    WORKER_ROLE,
    was_somebodys,
)


@dataclass(frozen=True)
class Thing:
    """One resource with the cluster's tag."""

    id: str
    tags: Mapping[str, str] = field(repr=False)

    @property
    def role(self) -> str:
        """What it is to the cluster: manager, worker, disk ..."""
        return self.tags.get(ROLE_TAG, "")

    @property
    def name(self) -> str:
        """For people."""
        return self.tags.get(NAME_TAG, "")

    @property
    def owner(self) -> str:
        """Whose it is: a user, or a user and a server of theirs; "": nobody's (yet)."""
        return "/".join(filter(None, (self.tags.get(USER_TAG), self.tags.get(SERVER_TAG))))


@dataclass(frozen=True)
class MachineFound(Thing):
    """An instance that has not ended."""

    state: str
    instance_type: str
    zone: str
    image_id: str
    launched_at: datetime | None
    public_ip: str | None
    private_ip: str | None
    home_volume_id: str | None
    hibernated: bool
    disk_ids: tuple[str, ...] = ()

    @property
    def is_spare(self) -> bool:
        """Whether it waits for somebody."""
        return self.role == WORKER_ROLE and not was_somebodys(dict(self.tags))

    @property
    def holds_files(self) -> bool:
        """Whether its user's files lie on its system disk, as it has no home volume."""
        used = self.role == WORKER_ROLE and was_somebodys(dict(self.tags))
        # One that was set aside gave its home to another; one without any disk is new, or ends.
        with_files = used and RETIRED_TAG not in self.tags and self.state != "shutting-down"
        return with_files and bool(self.disk_ids) and not self.home_volume_id


@dataclass(frozen=True)
class DiskFound(Thing):
    """A volume. ``goes_with``: the instance whose end deletes it too."""

    state: str
    zone: str
    size_gib: int
    kind: str
    attached_to: str | None
    goes_with: str | None
    from_snapshot: bool
    created_at: datetime | None

    @property
    def is_home(self) -> bool:
        """Whether it holds, or may hold, somebody's files."""
        moved = SUPERSEDED_TAG in self.tags or COPY_OF_TAG in self.tags
        return moved or was_somebodys(dict(self.tags))

    @property
    def superseded(self) -> str:
        """Of a home that moved: when, and to which volume; "": it is where its files are."""
        return self.tags.get(SUPERSEDED_TAG, "")

    @property
    def may_be_home(self) -> bool:
        """A home, or a volume that was restored from a snapshot, perhaps without owner's tags."""
        restored = self.from_snapshot and self.role == DISK_ROLE
        return self.goes_with is None and (self.is_home or restored)

    @property
    def is_blank(self) -> bool:
        """A home that was made for nobody and never had an owner."""
        return not self.is_home and not self.from_snapshot and self.goes_with is None


@dataclass(frozen=True)
class ImageFound(Thing):
    """An AMI with the snapshots it is made of."""

    title: str
    state: str
    snapshot_ids: tuple[str, ...]


@dataclass(frozen=True)
class SnapshotFound(Thing):
    """A snapshot of ``volume_id``."""

    state: str
    volume_id: str
    size_gib: int
    started_at: datetime | None
    progress: str

    @property
    def is_of_home(self) -> bool:
        """Whether it holds somebody's files; otherwise it is part of a worker AMI."""
        roles = (HOME_SNAPSHOT_ROLE, HOME_MOVE_ROLE)
        return self.role in roles or was_somebodys(dict(self.tags))

    @property
    def was_made_by_removal(self) -> bool:
        """Whether it was made because its volume was to be deleted."""
        return self.tags.get(LAST_OF_TAG) == self.volume_id


@dataclass(frozen=True)
class AddressFound(Thing):
    """An Elastic IP; its id is the allocation's."""

    ip: str
    association_id: str | None


@dataclass(frozen=True)
class KeyPairFound(Thing):
    """A key pair."""

    key_name: str


@dataclass(frozen=True)
class GroupFound(Thing):
    """A security group; ``references``: its inbound rules that name a group, as EC2 takes them."""

    group_name: str
    references: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class RoleFound(Thing):
    """An IAM role; its id is its name."""

    inline_policies: tuple[str, ...]
    attached_policies: tuple[str, ...]


@dataclass(frozen=True)
class ProfileFound(Thing):
    """An instance profile; its id is its name."""

    role_names: tuple[str, ...]


@dataclass(frozen=True)
class Inventory:
    """One cluster's resources of every kind, each list in the order EC2 gave."""

    cluster: str
    machines: tuple[MachineFound, ...] = ()
    disks: tuple[DiskFound, ...] = ()
    images: tuple[ImageFound, ...] = ()
    snapshots: tuple[SnapshotFound, ...] = ()
    addresses: tuple[AddressFound, ...] = ()
    key_pairs: tuple[KeyPairFound, ...] = ()
    groups: tuple[GroupFound, ...] = ()
    profiles: tuple[ProfileFound, ...] = ()
    roles: tuple[RoleFound, ...] = ()

    def __bool__(self) -> bool:
        return any(value for name, value in vars(self).items() if name != "cluster")

    @property
    def manager(self) -> MachineFound | None:
        """The manager that lives longest; None if there is none."""
        return next(iter(self.with_role(MANAGER_ROLE)), None)

    @property
    def workers(self) -> list[MachineFound]:
        """Users' machines and spares."""
        return self.with_role(WORKER_ROLE)

    @property
    def builders(self) -> list[MachineFound]:
        """Machines on which a worker AMI is made."""
        return self.with_role(BUILDER_ROLE)

    @property
    def homes(self) -> list[DiskFound]:
        """Volumes with somebody's files: by their tags, as their machine's home, or restored."""
        held = {m.home_volume_id for m in self.machines if was_somebodys(dict(m.tags))}
        lasting = [disk for disk in self.disks if disk.goes_with is None]
        return [disk for disk in lasting if disk.may_be_home or disk.id in held]

    @property
    def homes_inside(self) -> list[MachineFound]:
        """Machines with somebody's files on their system disk, lost when they end."""
        return [machine for machine in self.machines if machine.holds_files]

    @property
    def home_snapshots(self) -> list[SnapshotFound]:
        """Snapshots with somebody's files that may be nowhere else."""
        passing = {snapshot.id for snapshot in self.passing}
        return [each for each in self.snapshots if each.is_of_home and each.id not in passing]

    @property
    def passing(self) -> list[SnapshotFound]:
        """Snapshots by which homes move to another zone, and whose home is there besides."""
        there = {disk.id for disk in self.homes}
        lasts = (each for each in self.snapshots if each.was_made_by_removal)
        there |= {each.volume_id for each in lasts if each.state == "completed"}
        moves = (each for each in self.snapshots if each.role == HOME_MOVE_ROLE)
        return [each for each in moves if each.volume_id in there]

    @property
    def blanks(self) -> list[DiskFound]:
        """Homes that nobody ever had."""
        return [disk for disk in self.other_disks if disk.is_blank]

    @property
    def other_disks(self) -> list[DiskFound]:
        """Volumes that hold nobody's files."""
        homes = {disk.id for disk in self.homes}
        return [disk for disk in self.disks if disk.id not in homes]

    def with_role(self, role: str) -> list[MachineFound]:
        """Machines of that role, oldest first."""
        machines = [machine for machine in self.machines if machine.role == role]
        return sorted(machines, key=lambda machine: (str(machine.launched_at), machine.id))
