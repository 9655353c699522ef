"""How one owner's machine is powered on: launched, or started again."""

import logging
import time

from cloudjhub.ec2_values import Instance
from cloudjhub.errors import BadLaunch, LaunchFailed, NotFound, WrongState
from cloudjhub.fleet import Fleet
from cloudjhub.machine_plan import Plan

log = logging.getLogger(__name__)

_MOST_STARTS = 3  # times a start powers the machine on before it gives up


class Power:
    """The launches and starts of one start of a server.

    ``on_at``: when it last powered the machine on (monotonic); None if it has not.
    ``launched_id``: the machine it launched, if any.
    """

    def __init__(self, fleet: Fleet, plan: Plan):
        self._fleet = fleet
        self._plan = plan
        self._starts = 0
        self.on_at: float | None = None
        self.launched_id: str | None = None
        self.born_with_home = False

    async def launch(self, ended: Instance | None) -> Instance:
        """A machine claimed for the owner; ``ended``: the one before it. Raises EC2Error."""
        if ended is not None and self.on_at is not None:
            raise LaunchFailed(f"Amazon ended your machine while it started: {ended.state_reason}.")
        specs = await self._plan.specs()
        wants_home = specs.with_home.home_gib > 0
        homes = await self._fleet.homes_of(self._plan.owner) if wants_home else []
        spec = specs.without_home if homes else specs.with_home
        instance = await self._fleet.launch(spec, self._plan.owner)
        self.launched_id = instance.id
        self.born_with_home = spec.home_gib > 0
        self.on_at = time.monotonic()
        if homes and instance.zone != homes[0].zone:
            self._fleet.spares.release(instance.id)
            raise BadLaunch(
                f"Your files ({homes[0].id}) are in zone {homes[0].zone}, and SUBNET_ID "
                f"{spec.subnet_id} is in {instance.zone}.",
                action="RunInstances",
            )
        return instance

    async def start(self, machine: Instance) -> None:
        """Have EC2 start a stopped machine. Raises EC2Error, LaunchFailed."""
        if self._starts >= _MOST_STARTS:
            raise LaunchFailed(
                f"Your machine {machine.id} stops again while it starts: {machine.state_reason}."
            )
        try:
            await self._fleet.start(machine.id)
        except (WrongState, NotFound) as error:
            log.info("Start of %s: %s", machine.id, error)
            await self._fleet.view.next_listing()
        self._starts += 1
        self.on_at = time.monotonic()
