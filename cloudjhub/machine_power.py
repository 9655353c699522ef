"""How one owner's machine is powered on: launched or started, as what Amazon has just now."""

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from cloudjhub import homes
from cloudjhub.capacity import LAUNCH, START, TAKEN_BACK, nothing_left, passed_over
from cloudjhub.ec2_values import Instance, Kind, Volume
from cloudjhub.errors import (
    BadLaunch,
    EC2Error,
    EC2Unreachable,
    LaunchFailed,
    NoCapacity,
    NoFreeAddress,
    NotFound,
    QuotaReached,
    WrongState,
)
from cloudjhub.fleet import Fleet
from cloudjhub.fleet.launches import goes_on
from cloudjhub.launch_spec import LaunchSpec
from cloudjhub.machine_plan import Plan
from cloudjhub.naming import MOVING_TAG
from cloudjhub.progress import StartReport
from cloudjhub.relocation import held_up

log = logging.getLogger(__name__)

_MOST_STARTS = 3  # times a start powers the machine on before it gives up
#: What is wrong with a change of type is not the type
_NOT_OF_THE_TYPE = (EC2Unreachable, NotFound, WrongState)


class Power:
    """The launches and starts of one start of a server.

    ``on_at``: when it last powered the machine on (monotonic); None if it has not.
    ``launched_id``: the machine it launched, if any. ``leaves``: the home that has to follow the
    launched machine into its zone. ``spares_are_good``: False once a spare could not be started.
    """

    def __init__(self, fleet: Fleet, plan: Plan, report: StartReport):
        self._fleet = fleet
        self._plan = plan
        self._report = report
        self._starts = 0
        self.on_at: float | None = None
        self.launched_id: str | None = None
        self.born_with_home = False
        self.leaves: Volume | None = None
        self.spares_are_good = True

    # -- launching

    async def launch(self, ended: Instance | None) -> Instance:
        """A machine claimed for the owner; ``ended``: the one before it. Raises EC2Error."""
        if ended is not None and self.on_at is not None:
            self._was_taken_back(ended)
        self.leaves = None
        kinds = await self._plan.kinds()
        home = await self._home() if kinds[0].home_gib else None
        if home is None:
            instance = await self._first_of(kinds)
        else:
            instance = await self._beside(home, [replace(kind, home_gib=0) for kind in kinds])
        self.launched_id = instance.id
        self.born_with_home = bool(kinds[0].home_gib) and home is None
        # One that let the hub in before does not boot: if it is silent, something is wrong with it.
        self.on_at = None if self._fleet.spares.is_ready(instance) else time.monotonic()
        return instance

    def _was_taken_back(self, ended: Instance) -> None:
        if TAKEN_BACK not in ended.state_reason:
            raise LaunchFailed(f"Amazon ended your machine while it started: {ended.state_reason}.")
        self._fleet.capacity.refused(ended.instance_type, ended.zone)

    async def _home(self) -> Volume | None:
        """The owner's home. Never None while there is a volume that was the home once."""
        volumes = await self._fleet.volumes_of(self._plan.owner)
        found = homes.present(volumes)
        if found:
            return found[0]
        if old := homes.superseded(volumes):
            raise BadLaunch(
                f"Your home {homes.superseded_by(old[-1])} is missing; {old[-1].id} is what it "
                "was before it moved.",
                action="DescribeVolumes",
            )
        if volumes:
            raise self._only_copies(volumes[-1])
        return None

    def _only_copies(self, copy: Volume) -> EC2Error:
        error = BadLaunch(
            f"Your home is missing; {copy.id} is a copy of it that was never used.",
            action="DescribeVolumes",
        )
        error.remedy = (
            "Ask your administrator: where nothing newer is to be had, the copy is the home once "
            f"its tag {MOVING_TAG} is removed."
        )
        return error

    async def _beside(self, home: Volume, kinds: list[LaunchSpec]) -> Instance:
        """A machine in the home's zone; where there is none and the home may move, elsewhere."""
        near = [kind for kind in kinds if kind.zone in ("", home.zone)]
        refusal = self._plan.held_up or (None if near else self._no_subnet(home))
        if refusal is None:
            try:
                return self._in_zone_of(home, await self._first_of(near))
            except (NoCapacity, NoFreeAddress) as error:
                refusal = error
        far = [kind for kind in kinds if kind.zone not in ("", home.zone)]
        if not far or not self._plan.moving.allow(home):
            zones = {kind.zone for kind in far}
            raise held_up(refusal, home, self._plan.moving, zones) from refusal
        self._report.note(f"{refusal.message} Your files go where there is a machine for you.")
        instance = await self._first_of(far)
        self.leaves = home
        return instance

    def _no_subnet(self, home: Volume) -> EC2Error:
        return BadLaunch(
            f"Your files ({home.id}) are in zone {home.zone}, and no SUBNET_ID is.",
            action="RunInstances",
        )

    def _in_zone_of(self, home: Volume, instance: Instance) -> Instance:
        """The zone of a subnet may have been unknown."""
        if instance.zone == home.zone:
            return instance
        self._fleet.spares.release(instance.id)
        raise BadLaunch(
            f"Your files ({home.id}) are in zone {home.zone}, and SUBNET_ID is in {instance.zone}.",
            action="RunInstances",
        )

    async def _first_of(self, kinds: Sequence[LaunchSpec]) -> Instance:
        """A spare of any of these, or one of the first kind that Amazon has."""
        spare = self._fleet.take_spare(kinds, self._plan.owner) if self.spares_are_good else None
        if spare is not None:
            return spare
        refusals: list[EC2Error] = []
        full_subnets: set[str] = set()
        for kind in self._in_turn([spec.kind for spec in kinds], LAUNCH):
            for spec in (each for each in kinds if each.kind == kind):
                if spec.subnet_id in full_subnets:
                    continue
                try:
                    return await self._fleet.launch(spec, self._plan.owner)
                except EC2Error as error:
                    if not goes_on(self._fleet.capacity, spec, error, kinds[0]):
                        raise
                    refusals.append(error)
                    if isinstance(error, NoFreeAddress):
                        full_subnets.add(spec.subnet_id)
                    elif kind.zone:
                        break  # another subnet of the zone has no more of them
        raise self._none_of([spec.kind for spec in kinds], refusals)

    def _in_turn(self, kinds: Sequence[Kind], action: str) -> Iterator[Kind]:
        """Each that is worth asking for, the best first; at last what was refused a while ago.

        The user is told what they do not get.
        """
        asked: set[Kind] = set()
        passed: list[Kind] = []
        for last_resort in (False, True):
            for kind in kinds:
                if kind in asked:
                    continue
                if self._fleet.capacity.may_ask(kind, action=action, last_resort=last_resort):
                    asked.add(kind)
                    if passed:
                        self._report.note(passed_over(passed, kind))
                        passed.clear()
                    yield kind
                if not last_resort:
                    passed.append(kind)

    def _none_of(self, kinds: list[Kind], errors: list[EC2Error]) -> EC2Error:
        if errors and all(isinstance(error, NoFreeAddress) for error in errors):
            return errors[-1]
        last = next((e for e in reversed(errors) if isinstance(e, NoCapacity)), None)
        return nothing_left(LAUNCH, kinds, last)

    # -- starting

    async def start(self, machine: Instance) -> None:
        """Have EC2 start a stopped machine, as another type where its own has no capacity.

        Raises EC2Error, LaunchFailed.
        """
        if self.on_at is not None and TAKEN_BACK in machine.state_reason:
            self._fleet.capacity.refused(machine.instance_type, machine.zone, action=START)
            self._starts -= 1
        elif self._starts >= _MOST_STARTS:
            raise LaunchFailed(
                f"Your machine {machine.id} stops again while it starts: {machine.state_reason}."
            )
        try:
            await self._start_as_any(machine)
        except (WrongState, NotFound) as error:
            log.info("Start of %s: %s", machine.id, error)
            await self._fleet.view.next_listing()
        self._starts += 1
        self.on_at = time.monotonic()

    async def _start_as_any(self, machine: Instance) -> None:
        present, last = machine.instance_type, None
        if machine.hibernated:
            self._report.note("Your machine is hibernated; it wakes up.")
        # A memory that was written to disk fits no other type; EC2 refuses to change it.
        types = (present,) if machine.hibernated else self._in_order(present)
        kinds = [Kind(each, machine.zone) for each in types]
        for kind in self._in_turn(kinds, START):
            if kind.instance_type != present:
                if not await self._becomes(machine, kind.instance_type):
                    continue
                present = kind.instance_type
            try:
                return await self._fleet.start(machine.id, kind)
            except NoCapacity as error:
                last = error
            except QuotaReached:
                await self._is_again(machine, present)
                raise
        await self._is_again(machine, present)
        raise nothing_left(START, kinds, last)

    async def _is_again(self, machine: Instance, present: str) -> None:
        """Give it back the type that it had before this start."""
        if present != machine.instance_type:
            await self._becomes(machine, machine.instance_type)

    def _in_order(self, present: str) -> tuple[str, ...]:
        """The best type first, unless the change has to wait in a line: it is no gain then."""
        types = self._plan.types(present)
        if types[0] != present and not self._fleet.may_modify_at_once():
            return (present, *(each for each in types if each != present))
        return types

    async def _becomes(self, machine: Instance, instance_type: str) -> bool:
        """Whether EC2 makes the stopped machine that type; not one of another architecture."""
        try:
            await self._fleet.modify_type(machine.id, instance_type)
        except _NOT_OF_THE_TYPE:
            raise
        except EC2Error as error:
            log.error("%s cannot become a %s: %s", machine.id, instance_type, error)
            return False
        log.info("%s is a %s now", machine.id, instance_type)
        return True
