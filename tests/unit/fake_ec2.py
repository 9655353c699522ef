"""An EC2 in memory, with the surface of ``cloudjhub.ec2.EC2``.

Machines move one state on with every listing, unless they are held; every call is recorded; a
test says which call fails, and how.
"""

import asyncio
import itertools
import threading
from collections import defaultdict, deque
from dataclasses import replace
from datetime import datetime, timedelta, timezone

from cloudjhub.ec2_values import HOME_DEVICE, Image, Instance, Snapshot, Volume
from cloudjhub.errors import BadLaunch, CannotHibernate, NoCapacity, NotFound, WrongState
from cloudjhub.naming import CLUSTER_TAG, ROLE_TAG, Owner

NEXT_STATE = {"pending": "running", "stopping": "stopped", "shutting-down": "terminated"}
MAY_START = ("stopped", "pending", "running")
MAY_STOP = ("running", "stopping", "stopped")


class FakeEC2:
    """Calls come from the fleet's threads, tests look on from the event loop."""

    cluster = "class"

    def __init__(self):
        self.machines: dict[str, Instance] = {}
        self.disks: dict[str, Volume] = {}
        self.calls: list[tuple] = []
        self.capacity: int | None = None
        self.held: set[str] = set()  # these stay in their state
        self.failures = defaultdict(deque)  # action -> exceptions for its next calls
        self.gates: dict[str, threading.Event] = {}  # action -> what its calls wait for
        self.subnets: dict[str, str] = {}  # zone of each; others are in z
        self.rooms: dict[tuple[str, str], int] = {}  # machines left of a type in a zone
        self.contents: dict[str, str] = {}  # what is on a volume or snapshot
        self.copies: dict[str, Snapshot] = {}
        self.shown = None  # what a listing makes of the machines; None: shows them as they are
        self._numbers = itertools.count(1)
        self._lock = threading.RLock()

    # -- for tests

    def add(self, state="running", *, home=False, age_seconds=0.0, tags=None) -> Instance:
        """A machine that is there already."""
        number = next(self._numbers)
        born = datetime.now(timezone.utc) - timedelta(seconds=age_seconds)
        all_tags = {CLUSTER_TAG: self.cluster, ROLE_TAG: "worker", **(tags or {})}
        machine = Instance(
            id=f"i-{number:08x}",
            state=state,
            zone="z",
            private_ip=f"127.64.0.{number % 250}",
            launched_at=born,
            tags=all_tags,
        )
        if home:
            volume = self.add_disk(attached_to=machine.id, age_seconds=age_seconds, tags=tags)
            machine = replace(machine, volumes={HOME_DEVICE: volume.id})
        self.machines[machine.id] = machine
        return machine

    def add_disk(self, *, attached_to=None, age_seconds=0.0, tags=None, zone="z") -> Volume:
        """A volume that is there already."""
        volume = Volume(
            id=f"vol-{next(self._numbers):08x}",
            state="in-use" if attached_to else "available",
            zone=zone,
            size_gib=1,
            created_at=datetime.now(timezone.utc) - timedelta(seconds=age_seconds),
            attached_to=attached_to,
            tags={CLUSTER_TAG: self.cluster, ROLE_TAG: "disk", **(tags or {})},
        )
        self.disks[volume.id] = volume
        return volume

    def change(self, instance_id: str, **changes) -> None:
        """What happens to a machine without anyone calling EC2."""
        with self._lock:
            self.machines[instance_id] = replace(self.machines[instance_id], **changes)

    def count(self, action: str) -> int:
        """How often that was called."""
        return sum(1 for call in self.calls if call[0] == action)

    def made(self, action: str) -> list[tuple]:
        """The arguments of each such call."""
        return [call[1:] for call in self.calls if call[0] == action]

    def _called(self, action: str, *arguments) -> None:
        with self._lock:
            self.calls.append((action, *arguments))
            failure = self.failures[action].popleft() if self.failures[action] else None
        if action in self.gates:
            assert self.gates[action].wait(60), f"nobody let {action} go on"
        if failure is not None:
            raise failure

    # -- the surface of cloudjhub.ec2.EC2

    def instances(self):
        self._called("list")
        with self._lock:
            listed = list(self.machines.values())
            for machine in listed:
                if machine.state in NEXT_STATE and machine.id not in self.held:
                    self._enter(machine.id, NEXT_STATE[machine.state])
        return self.shown(listed) if self.shown else listed

    def _enter(self, instance_id, state):
        # EC2 gives the reason of a stop until the machine is started again.
        kept = self.machines[instance_id].state_reason if state in ("stopping", "stopped") else ""
        self.change(instance_id, state=state, state_reason=kept)
        if state == "terminated":
            for disk in self.disks.values():
                if disk.attached_to == instance_id:
                    self.disks[disk.id] = replace(disk, state="available", attached_to=None)

    def volumes(self):
        self._called("list-volumes")
        return list(self.disks.values())

    def image(self, image_id):
        self._called("image", image_id)
        return Image(image_id, "available", "/dev/sda1", 8)

    def console_output(self, instance_id):
        self._called("console", instance_id)
        return "log"

    def run(self, arguments):
        self._called("run", dict(arguments))
        with self._lock:
            wanted = arguments["MaxCount"]
            granted = wanted if self.capacity is None else min(wanted, self.capacity)
            kind = (arguments["InstanceType"], self.subnets.get(arguments["SubnetId"], "z"))
            granted = min(granted, self.rooms.get(kind, granted))
            if granted == 0:
                raise NoCapacity("No more.", action="RunInstances", code="Insufficient")
            if kind in self.rooms:
                self.rooms[kind] -= granted
            if self.capacity is not None:
                self.capacity -= granted
            machine_tags, disk_tags = (
                {tag["Key"]: tag["Value"] for tag in each["Tags"]}
                for each in arguments["TagSpecifications"]
            )
            home = any(
                disk["DeviceName"] == HOME_DEVICE for disk in arguments["BlockDeviceMappings"]
            )
            machines = [self.add("pending", tags=machine_tags) for _ in range(granted)]
            for machine in machines:
                able = arguments.get("HibernationOptions", {}).get("Configured", False)
                self.change(
                    machine.id, instance_type=kind[0], zone=kind[1], hibernation_configured=able
                )
            for machine in machines if home else []:
                disk = self.add_disk(attached_to=machine.id, tags=disk_tags, zone=kind[1])
                self.change(machine.id, volumes={HOME_DEVICE: disk.id})
            # As EC2 does: the answer shows no disks yet.
            return [replace(self.machines[machine.id], volumes={}) for machine in machines]

    def start(self, instance_ids):
        self._called("start", list(instance_ids))
        for instance_id in instance_ids:
            machine = self.machines.get(instance_id)
            if machine and self.rooms.get((machine.instance_type, machine.zone)) == 0:
                raise NoCapacity("No more.", action="StartInstances", code="Insufficient")
        return self._all_or_none(instance_ids, MAY_START, {"stopped": "pending"})

    def stop(self, instance_ids, *, force=False):
        self._called("force-stop" if force else "stop", list(instance_ids))
        return self._all_or_none(instance_ids, MAY_STOP, {"running": "stopping"})

    def hibernate(self, instance_ids):
        self._called("hibernate", list(instance_ids))
        named = [self.machines[each] for each in instance_ids if each in self.machines]
        if not all(machine.hibernation_configured for machine in named):
            raise CannotHibernate("Not launched for it.", action="StopInstances")
        states = self._all_or_none(instance_ids, MAY_STOP, {"running": "stopping"})
        for machine in named:
            if machine.state == "running":
                self.change(machine.id, state_reason="Client.UserInitiatedHibernate: as asked")
        return states

    def terminate(self, instance_ids):
        self._called("terminate", list(instance_ids))
        ends = {state: "shutting-down" for state in ("pending", "running", "stopping", "stopped")}
        return self._all_or_none(instance_ids, (*ends, "shutting-down", "terminated"), ends)

    def _all_or_none(self, instance_ids, allowed, changes):
        with self._lock:
            for instance_id in instance_ids:
                if instance_id not in self.machines:
                    raise NotFound("Unknown.", action="?", code="InvalidInstanceID.NotFound")
                if self.machines[instance_id].state not in allowed:
                    raise WrongState("Busy.", action="?", code="IncorrectInstanceState")
            states = {i: self.machines[i].state for i in instance_ids}
            states = {i: changes.get(state, state) for i, state in states.items()}
            for instance_id, state in states.items():
                self._enter(instance_id, state)
            return states

    def tag(self, resource_ids, tags):
        self._called("tag", list(resource_ids), dict(tags))
        self._retag(resource_ids, dict(tags))

    def untag(self, resource_ids, keys):
        self._called("untag", list(resource_ids), list(keys))
        self._retag(resource_ids, dict.fromkeys(keys))

    def _retag(self, resource_ids, changes):
        with self._lock:
            for resource_id in resource_ids:
                shelf = self.machines if resource_id in self.machines else self.disks
                merged = {**shelf[resource_id].tags, **changes}
                kept = {key: value for key, value in merged.items() if value is not None}
                shelf[resource_id] = replace(shelf[resource_id], tags=kept)

    def zones(self, subnet_ids):
        self._called("zones", list(subnet_ids))
        return {each: self.subnets.get(each, "z") for each in subnet_ids}

    def modify_type(self, instance_id, instance_type):
        self._called("modify-type", instance_id, instance_type)
        if self.machines[instance_id].state != "stopped":
            raise WrongState("Busy.", action="?", code="IncorrectInstanceState")
        self.change(instance_id, instance_type=instance_type)

    def snapshots(self):
        self._called("list-snapshots")
        listed = list(self.copies.values())
        for snapshot in listed:
            self.copies[snapshot.id] = replace(snapshot, state="completed")
        return listed

    def create_snapshot(self, arguments):
        self._called("snapshot", dict(arguments))
        snapshot = Snapshot(
            id=f"snap-{next(self._numbers):08x}",
            state="pending",
            volume_id=arguments["VolumeId"],
            tags=_born_tags(arguments),
        )
        self.contents[snapshot.id] = self.contents.get(snapshot.volume_id, "")
        self.copies[snapshot.id] = snapshot
        return snapshot

    def create_volume(self, arguments):
        self._called("create-volume", dict(arguments))
        disk = self.add_disk(tags=_born_tags(arguments), zone=arguments["AvailabilityZone"])
        self.contents[disk.id] = self.contents[arguments["SnapshotId"]]
        self.disks[disk.id] = replace(disk, snapshot_id=arguments["SnapshotId"])
        return replace(self.disks[disk.id], state="creating")

    def delete_snapshot(self, snapshot_id):
        self._called("delete-snapshot", snapshot_id)
        del self.copies[snapshot_id]

    def attach(self, volume_id, instance_id, device):
        self._called("attach", volume_id, instance_id, device)
        if self.disks[volume_id].zone != self.machines[instance_id].zone:
            raise BadLaunch("Zone.", action="AttachVolume", code="InvalidVolume.ZoneMismatch")
        if self.disks[volume_id].state != "available":
            raise WrongState("In use.", action="AttachVolume", code="VolumeInUse")
        self.disks[volume_id] = replace(
            self.disks[volume_id], state="in-use", attached_to=instance_id
        )
        self.change(instance_id, volumes={device: volume_id})

    def detach(self, volume_id, instance_id, device):
        self._called("detach", volume_id, instance_id, device)
        self.disks[volume_id] = replace(self.disks[volume_id], state="available", attached_to=None)
        self.change(instance_id, volumes={})

    def delete_volume(self, volume_id):
        self._called("delete-volume", volume_id)
        del self.disks[volume_id]


def _born_tags(arguments):
    (born,) = arguments["TagSpecifications"]
    return {tag["Key"]: tag["Value"] for tag in born["Tags"]}


async def called(ec2, action, times=1):
    """Return once that was called so often."""
    while ec2.count(action) < times:
        await asyncio.sleep(0.001)


def students(count) -> list[Owner]:
    """So many owners."""
    return [Owner(f"student-{number}") for number in range(count)]


async def all_of(*waits) -> list:
    """The answers or errors of all, within a reasonable time."""
    waiting = asyncio.gather(*waits, return_exceptions=True)
    return await asyncio.wait_for(waiting, 60)
