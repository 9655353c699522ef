"""One stop of one single-user server: its machine is stopped or hibernated, now or later."""

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from cloudjhub import machine_end, renewal
from cloudjhub.cluster import Cluster
from cloudjhub.ec2_values import Instance
from cloudjhub.errors import CloudJHubError
from cloudjhub.fleet import Fleet
from cloudjhub.naming import USER_TAG, Owner
from cloudjhub.states import STATES

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ServerStop:
    """What is to be stopped. ``instance_id``: the machine as the hub's state knows it.

    ``sleeps`` is told True before EC2 is asked to hibernate, since this hub may not live to hear
    the answer, and False once it is known that the server's process ends.
    """

    cluster: Cluster
    owner: Owner
    instance_id: str | None
    patience_seconds: float
    hibernate: bool
    sleeps: Callable[[bool], None]
    #: whether the hub has a user whose name is this as a value of a tag
    knows: Callable[[str], bool]

    async def run(self) -> None:
        """Have EC2 stop the owner's machines. Returns when EC2 has accepted it.

        Errors are logged, not raised; what failed is done later by the fleet.
        """
        try:
            fleet = await self.cluster.fleet()
            await fleet.view.refreshed()
            for machine in fleet.owned_by(self.owner) or self._of_earlier_name(fleet):
                # One that a start which failed has left asleep sleeps on.
                if not machine.hibernated or fleet.is_being_started(machine.id):
                    await self._stop(fleet, machine)
        except CloudJHubError as error:
            log.error(
                "The machine of %s, %s, will be stopped when EC2 can be asked: %s",
                self.owner,
                self.instance_id,
                error,
            )
            if self.instance_id:
                with suppress(CloudJHubError):
                    (await self.cluster.upkeep()).stop_later(self.instance_id)

    def _of_earlier_name(self, fleet: Fleet) -> list[Instance]:
        """The machine by its id, where its tags name somebody whom the hub does not know.

        A user who was renamed while the server runs has no machine by the new name.
        """
        machine = fleet.view.get(self.instance_id) if self.instance_id else None
        if machine is None or not STATES[machine.state].up or USER_TAG not in machine.tags:
            return []
        if self.knows(machine.tags[USER_TAG]):
            return []
        log.warning("%s carries the name %s had before", machine.id, self.owner)
        return [machine]

    async def _stop(self, fleet: Fleet, machine: Instance) -> None:
        asleep = False
        try:
            asleep = await self._ended(fleet, machine)
        except CloudJHubError as error:
            log.error("%s of %s will be stopped later: %s", machine.id, self.owner, error)
            (await self.cluster.upkeep()).stop_later(machine.id)
        if not asleep:
            self.sleeps(False)

    async def _ended(self, fleet: Fleet, machine: Instance) -> bool:
        """Stop or hibernate it; gives whether EC2 hibernates it."""
        hibernate = self.hibernate and not await self._is_outdated(fleet, machine)
        if hibernate:
            self.sleeps(True)
        return await machine_end.stop(
            fleet, machine, patience_seconds=self.patience_seconds, hibernate=hibernate
        )

    async def _is_outdated(self, fleet: Fleet, machine: Instance) -> bool:
        """Whether another AMI waits: one that is hibernated every night would never get it."""
        return await renewal.is_outdated(fleet, self.cluster.config(), self.owner, machine)
