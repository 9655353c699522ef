"""What is done about a machine that says nothing: off and on, then another one."""

import logging

from cloudjhub import machine_end, progress
from cloudjhub.ec2_values import Instance
from cloudjhub.errors import MachineNotAnswering
from cloudjhub.fleet import Fleet
from cloudjhub.hearing import Hearing
from cloudjhub.machine_plan import Plan
from cloudjhub.progress import StartReport

log = logging.getLogger(__name__)


class Recovery:
    """The recoveries of one start, which get rougher from one to the next."""

    def __init__(self, fleet: Fleet, plan: Plan, report: StartReport, hearing: Hearing):
        self._fleet = fleet
        self._plan = plan
        self._report = report
        self._hearing = hearing
        self._recoveries = 0
        self._discarded = 0

    async def recover(self, machine: Instance, *, is_blank: bool) -> bool:
        """Whether the machine is off now and to be started again; False: another one is due.

        ``is_blank``: this start launched it and nobody ever used it. Raises MachineNotAnswering.
        """
        self._recoveries += 1
        self._hearing.note(self._plan.owner, heard=False)
        if self._hearing.deaf():
            raise MachineNotAnswering(
                f"Your machine {machine.id} does not answer, and neither do others.",
                "Nothing was done to it. Ask your administrator to look at the network between "
                "the hub and the machines.",
            )
        if is_blank:
            self._discard(machine)
            return False
        if self._recoveries == 1:
            log.warning("%s of %s does not answer; power-cycling it", machine.id, self._plan.owner)
            with self._report.phase(progress.RECOVER):
                await self._switch_off(machine)
            return True
        if self._recoveries == 2 and await self._home_is_apart(machine):
            with self._report.phase(progress.REPLACE):
                await self._retire(machine)
            return False
        raise MachineNotAnswering(f"Your machine {machine.id} is running but does not answer.")

    async def _home_is_apart(self, machine: Instance) -> bool:
        """Whether the owner's files would be on the next machine too."""
        return bool(machine.home_volume_id or await self._fleet.homes_of(self._plan.owner))

    async def _switch_off(self, machine: Instance) -> None:
        seconds = self._plan.patience.stop_seconds
        await machine_end.stop(self._fleet, machine, patience_seconds=seconds, force=True)
        await self._fleet.view.until(
            machine.id,
            lambda seen: seen is None or seen.state not in ("pending", "running", "stopping"),
            what=f"machine {machine.id}, which does not answer, to be switched off",
            seconds=seconds,
        )

    async def _retire(self, machine: Instance) -> None:
        """Set the machine aside, stopped, with its root disk; its home goes to the next one."""
        log.error("%s of %s stays silent; setting it aside", machine.id, self._plan.owner)
        await self._switch_off(machine)
        if self._fleet.view.get(machine.id) is not None:
            await machine_end.set_aside(self._fleet, machine, self._plan.owner)

    def _discard(self, machine: Instance) -> None:
        """This start launched it, nobody ever used it, it does not come up: nobody shall get it."""
        log.error("%s never answered; removing it", machine.id)
        self._report.note("The new machine does not come up; you get another one.")
        self._fleet.spares.condemn(machine.id)
        self._discarded += 1
        if self._discarded > self._plan.most_discarded:
            raise MachineNotAnswering("Two new machines in a row did not come up.")
