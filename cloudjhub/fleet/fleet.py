"""Every machine of the cluster: one shared view, batched writes, EC2's limits kept."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from cloudjhub import homes
from cloudjhub.capacity import REMEMBERED_SECONDS, START, Capacity
from cloudjhub.ec2 import EC2
from cloudjhub.ec2_values import Image, Instance, Kind, Volume
from cloudjhub.errors import (
    EC2Unavailable,
    EC2Unreachable,
    NoCapacity,
    NotFound,
    PolicyRefuses,
)
from cloudjhub.fleet.admission import Admission, Limit
from cloudjhub.fleet.batch import Batcher
from cloudjhub.fleet.calls import Calls
from cloudjhub.fleet.copies import Copies
from cloudjhub.fleet.facts import Facts
from cloudjhub.fleet.launches import Launches
from cloudjhub.fleet.launching import Launching
from cloudjhub.fleet.shared_read import SharedRead
from cloudjhub.fleet.spares import Spares
from cloudjhub.fleet.stops import Stops
from cloudjhub.fleet.view import View
from cloudjhub.launch_spec import LaunchSpec
from cloudjhub.naming import CLUSTER_TAG, RETIRED_TAG, Owner, has_owner, is_owned_by

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

_ENDED = ("shutting-down", "terminated")


@dataclass(frozen=True)
class FleetSettings:
    """Times in seconds; the spawner's traits of the same names explain them."""

    batch_window_seconds: float = 0.1
    batch_limit: int = 1000
    busy_interval_seconds: float = 1.0
    quiet_interval_seconds: float = 30.0
    ec2_threads: int = 16
    capacity_memory_seconds: float = REMEMBERED_SECONDS


class Fleet:
    """All EC2 reads and writes of a hub. Make it inside the event loop; close it with aclose()."""

    def __init__(self, ec2: EC2, settings: FleetSettings, limit: Callable[[], Limit] = Limit):
        self.cluster = ec2.cluster
        self._ec2 = ec2
        self._settings = settings
        self._calls = Calls(settings.ec2_threads)
        self.spares = Spares()
        self.admission = Admission(self, limit)
        self.view = View(
            lambda: self._calls.once("DescribeInstances", self._ec2.instances),
            busy_seconds=settings.busy_interval_seconds,
            quiet_seconds=settings.quiet_interval_seconds,
        )
        self._volumes: SharedRead[list[Volume]] = SharedRead(
            lambda: self._calls.once("DescribeVolumes", self._ec2.volumes)
        )
        self.capacity = Capacity(settings.capacity_memory_seconds)
        self.copies = Copies(ec2, self._calls)
        self._facts = Facts(ec2, self._calls)
        self._launching = Launching(ec2, self._calls)
        self._launches = Launches(
            self._launching, self.view, self.spares, self.capacity, batcher=self._batcher
        )
        self._starts: dict[Kind, Batcher[str, None]] = {}
        self._being_started: set[str] = set()
        self._stops = Stops(ec2, self._calls, self.view, batcher=self._batcher)
        self._terminations = self._batcher("TerminateInstances", self._send_terminations)
        self._loop_task = asyncio.create_task(self.view.run(), name="cloudjhub-view")

    async def aclose(self) -> None:
        """Stop looking; calls under way in threads run to their end."""
        self._loop_task.cancel()
        await self.admission.aclose()
        await self._launches.aclose()
        await self._stops.aclose()
        for batcher in [*self._starts.values(), self._terminations]:
            await batcher.aclose()
        await asyncio.gather(self._loop_task, return_exceptions=True)
        self._calls.close()

    # -- reading

    def set_aside_from(self, owner: Owner) -> list[Instance]:
        """Machines that were the owner's and stayed silent, as far as they still exist."""
        machines = self.view.set_aside_from(owner)
        return [machine for machine in machines if machine.state not in _ENDED]

    def owned_by(self, owner: Owner) -> list[Instance]:
        """The owner's machines as last known, claimed ones included, ended ones not."""
        claimed = [self.view.get(each) for each in self.spares.claimed_by(owner)]
        tagged = self.view.owned_by(owner)
        theirs = [*tagged, *(each for each in claimed if each and not has_owner(each.tags))]
        return [
            machine
            for machine in theirs
            if RETIRED_TAG not in machine.tags and machine.state not in _ENDED
        ]

    def untagged(self, instance_id: str, owner: Owner) -> Instance | None:
        """The machine, claimed for the owner, if it lost its tags and nobody else has it."""
        machine = self.view.get(instance_id)
        if machine is None or not self.spares.may_be_claimed(machine):
            return None
        if machine.state in _ENDED:
            return None
        self.spares.claim(instance_id, owner)
        return machine

    async def volumes(self) -> list[Volume]:
        """Every volume of the cluster, read after this call began; many askers share a read."""
        return await self._volumes.get()

    async def volumes_of(self, owner: Owner) -> list[Volume]:
        """Whatever holds the owner's files: the home, and what was the home before it moved."""
        return [volume for volume in await self.volumes() if is_owned_by(volume.tags, owner)]

    async def homes_of(self, owner: Owner) -> list[Volume]:
        """The owner's home volumes, oldest first; more than one is a fault that was logged."""
        found = homes.present(await self.volumes_of(owner))
        if len(found) > 1:
            log.error("%s has %d home volumes: %s", owner, len(found), [home.id for home in found])
        return found

    async def zones(self, subnet_ids: Sequence[str]) -> dict[str, str]:
        """Availability zone of each subnet, as far as EC2 tells; asked once, as none moves."""
        return await self._facts.zones(subnet_ids)

    async def image(self, image_id: str) -> Image:
        """One AMI; asked for until it is available, as it never changes then."""
        return await self._facts.image(image_id)

    async def console_output(self, instance_id: str) -> str:
        """The machine's own log."""
        return await self._calls.once("GetConsoleOutput", self._ec2.console_output, instance_id)

    # -- machines

    async def launch(self, spec: LaunchSpec, owner: Owner) -> Instance:
        """A machine of that shape, claimed for the owner: a spare, or one launched with others'.

        The claim holds until the machine carries the owner's tags or the claim is released.
        """
        if (spare := self.take_spare([spec], owner)) is not None:
            return spare
        await self.admission.before_launch(owner, spec.instance_type)
        return await self._launches.launch(spec, owner)

    def take_spare(self, specs: Sequence[LaunchSpec], owner: Owner) -> Instance | None:
        """The readiest spare of these, claimed for the owner; None if there is none."""
        shapes = [spec.shape for spec in specs]
        free = [machine for shape in shapes for machine in self._free(shape)]
        return self.spares.take(free, shapes, owner)

    def _free(self, shape: str) -> list[Instance]:
        """Machines of the shape that nobody has or claims."""
        ids = self.spares.unclaimed(self.view.ownerless(shape))
        return [machine for each in ids if (machine := self.view.get(each)) is not None]

    async def start(self, instance_id: str, kind: Kind | None = None) -> None:
        """StartInstances, shared with whoever starts one of the same type and zone now.

        ``kind``: what the machine is, where no listing can show it yet.
        """
        # Capacity is a matter of type and zone, so one refusal speaks for the rest of a batch.
        machine = self.view.get(instance_id)
        if kind is None:
            kind = Kind(machine.instance_type, machine.zone) if machine else Kind("", "")
        if kind not in self._starts:
            self._starts[kind] = self._batcher("StartInstances", self._start_sender(kind))
        await self._unless_gone(self._starts[kind].submit(instance_id), instance_id)

    async def modify_type(self, instance_id: str, instance_type: str) -> None:
        """ModifyInstanceAttribute: another type for a machine that is stopped."""
        await self._calls.patiently(
            "ModifyInstanceAttribute",
            self._ec2.modify_type,
            instance_id,
            instance_type,
            retry=EC2Unreachable,
        )

    def may_modify_at_once(self) -> bool:
        """Whether a change of type need not wait for EC2's limits."""
        return self._calls.limits.is_free("ModifyInstanceAttribute")

    def is_being_started(self, instance_id: str) -> bool:
        """Whether a start was sent that EC2 has not answered; it goes on though its asker left."""
        return instance_id in self._being_started

    async def stop(self, instance_id: str, *, force: bool = False, hibernate: bool = False) -> bool:
        """StopInstances, shared; of a stopped machine too. Gives whether EC2 hibernates it.

        ``hibernate``: a machine that cannot is stopped all the same.
        """
        if hibernate and await self._unless_gone(self._stops.hibernate(instance_id), instance_id):
            return True
        await self._unless_gone(self._stops.stop(instance_id, force=force), instance_id)
        return False

    async def terminate(self, instance_id: str) -> None:
        """TerminateInstances, shared. Of a machine EC2 does not know: done."""
        try:
            await self._unless_gone(self._terminations.submit(instance_id), instance_id)
        except NotFound:
            log.info("%s is already gone", instance_id)

    async def _unless_gone(self, answer: Awaitable[Answer], instance_id: str) -> Answer:
        """A refusal by policy may mean that the machine is gone: NotFound, then."""
        try:
            return await answer
        except PolicyRefuses as error:
            # As many listings as the view takes to believe it.
            await self.view.next_listing()
            await self.view.next_listing()
            if self.view.get(instance_id) is not None:
                raise
            raise error.of_what_is_gone(instance_id) from error

    async def tag(self, resource_ids: list[str], tags: Mapping[str, str]) -> None:
        """CreateTags; seen in the view at once."""
        await self._calls.patiently("CreateTags", self._ec2.tag, resource_ids, tags)
        for resource_id in resource_ids:
            if resource_id.startswith("i-"):
                self.view.tell_tags(resource_id, dict(tags))

    async def untag(self, resource_ids: list[str], keys: Iterable[str]) -> None:
        """DeleteTags; seen in the view at once."""
        names = list(keys)
        await self._calls.patiently("DeleteTags", self._ec2.untag, resource_ids, names)
        for resource_id in resource_ids:
            if resource_id.startswith("i-"):
                self.view.tell_tags(resource_id, dict.fromkeys(names))

    # -- volumes

    async def attach(self, volume_id: str, instance_id: str, device: str) -> None:
        """AttachVolume."""
        await self._calls.once("AttachVolume", self._ec2.attach, volume_id, instance_id, device)

    async def detach(self, volume_id: str, instance_id: str, device: str) -> None:
        """DetachVolume."""
        await self._calls.once("DetachVolume", self._ec2.detach, volume_id, instance_id, device)

    async def delete_volume(self, volume: Volume) -> None:
        """DeleteVolume, for ever. Refuses what does not carry the cluster's tag."""
        if volume.tags.get(CLUSTER_TAG) != self.cluster:
            raise ValueError(f"{volume.id} is not a volume of cluster {self.cluster}")
        try:
            await self._calls.once("DeleteVolume", self._ec2.delete_volume, volume.id)
        except PolicyRefuses as error:
            if volume.id in {listed.id for listed in await self.volumes()}:
                raise
            raise error.of_what_is_gone(volume.id) from error

    # -- batches

    def _batcher(self, action: str, send: Callable[[list[Any]], Any]) -> Batcher[Any, Any]:
        return Batcher(
            send,
            window_seconds=self._settings.batch_window_seconds,
            limit=self._settings.batch_limit,
            admit=lambda: self._calls.limits.reserve(action),
        )

    def _start_sender(self, kind: Kind) -> Callable[[list[str]], Any]:
        async def send(ids: list[str]) -> list[None]:
            self._being_started.update(ids)
            try:
                states = await self._calls.patiently(
                    "StartInstances", self._ec2.start, ids, resources=len(ids), retry=EC2Unavailable
                )
            except NoCapacity:
                self.capacity.refused(*kind, action=START)
                raise
            else:
                self.capacity.granted(*kind)
                self.view.tell_states(states)
            finally:
                self._being_started.difference_update(ids)
            return [None] * len(ids)

        return send

    async def _send_terminations(self, ids: list[str]) -> list[None]:
        states = await self._calls.patiently(
            "TerminateInstances",
            self._ec2.terminate,
            ids,
            resources=len(ids),
            retry=EC2Unavailable,
        )
        self.view.tell_states(states)
        return [None] * len(ids)
