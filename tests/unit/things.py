"""Things of a cluster as a look at everything finds them: three days old, unless told otherwise."""

from datetime import datetime, timedelta, timezone

from cloudjhub.account.inventory import (
    AddressFound,
    DiskFound,
    ImageFound,
    Inventory,
    MachineFound,
    SnapshotFound,
)

NOW = datetime(2026, 11, 23, 12, tzinfo=timezone.utc)
OLD = NOW - timedelta(days=3)
ADA = {"cloudjhub:user": "ada", "cloudjhub:server": ""}


def tags(role, more=None):
    return {"cloudjhub:cluster": "class", "cloudjhub:role": role, **(more or {})}


def disk(more=None, role="disk", **changes):
    """A volume at no machine; born with one unless it is told otherwise."""
    settings = {
        "id": "vol-1",
        "tags": tags(role, {"cloudjhub:shape": "abc", **(more or {})}),
        "state": "available",
        "zone": "z",
        "size_gib": 1,
        "kind": "gp3",
        "attached_to": None,
        "goes_with": None,
        "from_snapshot": False,
        "created_at": OLD,
    }
    return DiskFound(**{**settings, **changes})


def snapshot(more=None, role="home-move", **changes):
    settings = {
        "id": "snap-1",
        "tags": tags(role, more),
        "state": "completed",
        "volume_id": "vol-1",
        "size_gib": 1,
        "started_at": OLD,
        "progress": "100%",
    }
    return SnapshotFound(**{**settings, **changes})


def machine(more=None, role="worker", state="stopped"):
    return MachineFound(
        id=f"i-{role}",
        tags=tags(role, more),
        state=state,
        instance_type="t3.small",
        zone="z",
        image_id="ami-1",
        launched_at=OLD,
        public_ip=None,
        private_ip=None,
        home_volume_id=None,
        hibernated=False,
    )


def address(number=1, association=None, role="manager"):
    return AddressFound(f"eipalloc-{number}", tags(role), f"192.0.2.{number}", association)


LAUNCHED = machine({"cloudjhub:launched": "2026-11-01"}, "manager", "running")
LAUNCHING = machine({}, "manager", "running")
BUILDER = machine({}, "builder", "running")
IMAGE = ImageFound("ami-1", tags("worker-image"), "image", "available", ("snap-1",))


def inventory(*things, of="class"):
    kinds = {"machines": MachineFound, "disks": DiskFound, "snapshots": SnapshotFound}
    kinds |= {"addresses": AddressFound, "images": ImageFound}
    return Inventory(
        of,
        **{
            name: tuple(thing for thing in things if isinstance(thing, kind))
            for name, kind in kinds.items()
        },
    )
