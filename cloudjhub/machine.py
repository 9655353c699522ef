"""One user's machine: found, made, started, recovered or replaced, until it answers.

Whatever state it is in, ``states.STATES`` says what comes next.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

from cloudjhub import progress, relocation
from cloudjhub.ec2_values import Instance
from cloudjhub.errors import CloudJHubError, EC2Error, MachineNotAnswering, NoCapacity
from cloudjhub.fleet import Fleet
from cloudjhub.hearing import Hearing
from cloudjhub.machine_plan import Plan, never
from cloudjhub.machine_power import Power
from cloudjhub.machine_recovery import Recovery
from cloudjhub.naming import Owner, has_owner
from cloudjhub.progress import StartReport
from cloudjhub.relocation import Terms
from cloudjhub.states import STATES, OnStart

log = logging.getLogger(__name__)


_MOST_TURNS = 12  # state changes a start follows before it gives up
_LISTING_LAG_SECONDS = 10.0  # how long a listing may still say "stopped" after a start was accepted
_PROBE_SECONDS = 0.1
_NO_NEW_VERSION = "The new version cannot be had just now; you get the machine you had."
_ASLEEP = "Your machine is hibernated with all that ran on it. Try again in a few minutes."
_NOT_MOVED = "Your files could not be moved just now; they stay, and you get the machine you had."


class Machine:
    """The way from whatever state a user's machine is in to one that answers."""

    def __init__(
        self,
        fleet: Fleet,
        plan: Plan,
        report: StartReport,
        answers: Callable[[Instance], Awaitable[bool]],
        *,
        hearing: Hearing,
    ):
        self._fleet = fleet
        self._hearing = hearing
        self._plan = plan
        self._report = report
        self._answers = answers
        self._id: str | None = None
        self._power = Power(fleet, plan, report)
        self._recovery = Recovery(fleet, plan, report, hearing)
        self.just_booted = False
        self.replaces: Instance | None = None
        self.move: relocation.Move | None = None

    @property
    def born_with_home(self) -> bool:
        """Whether this start launched the machine with a blank home volume."""
        return self._power.born_with_home

    # -- finding

    async def find(self, known_id: str | None) -> Instance | None:
        """The owner's machine as EC2 shows it now; None if there is none.

        ``known_id`` comes from the hub's state and decides between several. While EC2 cannot be
        asked, a machine last seen running is taken at its word; otherwise EC2's error is raised.
        """
        try:
            await self._fleet.view.refreshed()
        except EC2Error:
            machine = self._taken_up(known_id)
            if machine is None or machine.state != "running":
                raise
            log.warning("EC2 cannot be asked; using %s of %s as last seen", machine.id, self._owner)
            return machine
        return self._taken_up(known_id)

    def _taken_up(self, known_id: str | None) -> Instance | None:
        machine = self._owned(known_id)
        self._id = machine.id if machine else None
        return machine

    @property
    def _owner(self) -> Owner:
        return self._plan.owner

    def _owned(self, known_id: str | None) -> Instance | None:
        machines = self._fleet.owned_by(self._owner)
        if len(machines) > 1:
            log.error("%s owns several machines: %s", self._owner, [m.id for m in machines])
        for machine in machines:
            if machine.id == known_id:
                return machine
        if not machines and known_id:
            return self._fleet.untagged(known_id, self._owner)
        return min(machines, key=lambda m: (str(m.launched_at), m.id), default=None)

    # -- starting

    async def answering(self, known_id: str | None) -> Instance:
        """A machine of the owner's whose sshd answers, found, started or made.

        Until ``make_mine`` a new machine is only claimed; whoever gives up must ``release``.
        """
        with self._report.phase(progress.LOOK):
            machine = await self.find(known_id)
        return await self._brought_up(machine)

    async def _brought_up(self, machine: Instance | None) -> Instance:
        for _ in range(_MOST_TURNS):
            rule = STATES[machine.state if machine else None]
            if machine is None or rule.on_start is OnStart.LAUNCH:
                await self._launch()
            elif rule.on_start is OnStart.AWAIT_STOP:
                await self._until_stopped(machine)
            elif rule.on_start is OnStart.START:
                if not await self._replaced(machine):
                    await self._start(machine)
            elif await self._until_answering(machine):
                return self._fleet.view.get(machine.id) or machine
            machine = self._present()
        raise MachineNotAnswering(f"Your machine {self._id} does not come to rest.")

    def release(self) -> None:
        """Let go of the claim: now the tags decide, and without an owner it is a spare."""
        if self._id is not None:
            self._fleet.spares.release(self._id)

    def _as_now(self, machine: Instance) -> Instance:
        return self._fleet.view.get(machine.id) or machine

    def _present(self) -> Instance | None:
        return self._fleet.view.get(self._id) if self._id else None

    async def _launch(self) -> None:
        instance = await self._fleet.admission.run(
            self._owner, self._report, self._launched, may_take_spare=True
        )
        self._id, self.move = instance.id, None
        if self._power.leaves is not None:
            with self._report.phase(progress.MOVE):
                self.move = await relocation.copied(self._fleet, self._power.leaves, instance.zone)

    async def _launched(self) -> Instance:
        with self._report.phase(progress.LAUNCH):
            return await self._power.launch(self._present())

    async def _start(self, machine: Instance) -> None:
        try:
            await self._fleet.admission.run(
                self._owner, self._report, lambda: self._power.start(self._as_now(machine))
            )
        except NoCapacity as refusal:
            if machine.id == self._power.launched_id and not has_owner(machine.tags):
                self._forget(machine)  # a spare that was off: it stays one
                self._power.spares_are_good = False
            else:
                await self._elsewhere(machine, refusal)

    async def _until_answering(self, machine: Instance) -> bool:
        """Wait for the first word of sshd. False: the machine changed or was sent to recovery."""
        booting = self._power.on_at is not None or machine.state == "pending"
        self.just_booted = booting
        patience = self._plan.patience
        seconds = patience.boot_seconds if booting else patience.running_seconds
        deadline = time.monotonic() + seconds
        with self._fleet.view.watching(), suppress(_Changed):
            if booting:
                with self._report.phase(progress.START):
                    await self._answered(machine.id, deadline, or_running=True)
            with self._report.phase(progress.BOOT):
                if await self._answered(machine.id, deadline):
                    self._hearing.note(self._owner, heard=True)
                    return True
            await self._recover(machine)
        return False

    async def _answered(self, machine_id: str, deadline: float, or_running: bool = False) -> bool:
        """Whether sshd answers before the deadline (or, if told so, EC2 says running)."""
        while time.monotonic() < deadline:
            machine = self._fleet.view.get(machine_id)
            if machine is None or (not STATES[machine.state].up and not self._may_lag(machine)):
                raise _Changed
            if or_running and machine.state == "running":
                return True
            if machine.private_ip and await self._answers(machine):
                return True
            await asyncio.sleep(_PROBE_SECONDS)
        return False

    def _may_lag(self, machine: Instance) -> bool:
        # A listing may still show what was before the start was accepted.
        began = self._power.on_at
        just_began = began is not None and time.monotonic() - began < _LISTING_LAG_SECONDS
        return machine.state == "stopped" and just_began

    async def _until_stopped(self, machine: Instance) -> None:
        patience = self._plan.patience
        asleep = machine.hibernated
        with self._report.phase(progress.SHUTDOWN):
            await self._fleet.view.until(
                machine.id,
                lambda seen: seen is None or seen.state != "stopping",
                what=f"machine {machine.id} to shut down",
                seconds=patience.hibernate_seconds if asleep else patience.stop_seconds,
            )

    # -- another machine in place of one that is stopped

    async def _replaced(self, old: Instance) -> bool:
        """Have a new machine answer in place of an outdated one, which stays stopped; whether
        it does. Where it cannot be had or does not come up, the old one is good enough."""
        if old.hibernated or not await self._plan.outdated(old):
            return False
        self._report.note("There is a new version of your machine; you get it, with your files.")
        plan = replace(self._plan, outdated=never, most_discarded=0, moving=Terms())
        try:
            await self._taken_over_by_another(old, plan)
        except CloudJHubError as error:
            await self._keep(old, error, _NO_NEW_VERSION)
            return False
        return True

    async def _taken_over_by_another(self, old: Instance, plan: Plan) -> None:
        """Have another machine answer in place of a stopped one. If it does not, it is ended."""
        new = Machine(self._fleet, plan, self._report, self._answers, hearing=self._hearing)
        try:
            await new._brought_up(None)
            if new.born_with_home:
                raise MachineNotAnswering(f"The home of {self._owner} was not found.")
        except CloudJHubError:
            await self._end_blank(new._power.launched_id)
            raise
        except BaseException:
            new.release()
            raise
        self._id, self._power, self._plan = new._id, new._power, plan
        self.just_booted, self.replaces, self.move = new.just_booted, old, new.move

    async def _elsewhere(self, old: Instance, refusal: NoCapacity) -> None:
        """The zone has nothing to start the machine as: another one, where the home may move."""
        if old.hibernated:  # its memory may hold what its disks do not
            refusal.remedy = _ASLEEP
            raise refusal
        present = await self._fleet.homes_of(self._owner)
        if not present or old.home_volume_id not in (None, present[0].id):
            refusal.remedy = relocation.STAYS
            raise refusal
        plan = replace(self._plan, outdated=never, most_discarded=0, held_up=refusal)
        await self._taken_over_by_another(old, plan)

    async def back_to_old(self, error: CloudJHubError) -> Instance:
        """The new machine is no good: the one it was to replace, answering."""
        assert self.replaces is not None
        old, blank = self.replaces, self._power.launched_id
        self._id, self._power = old.id, Power(self._fleet, self._plan, self._report)
        why = _NO_NEW_VERSION if self.move is None else _NOT_MOVED
        self.replaces = self.move = None
        await self._end_blank(blank)
        await self._keep(old, error, why)
        return await self._brought_up(self._present())

    async def _keep(self, old: Instance, error: CloudJHubError, why: str) -> None:
        log.error("%s keeps the old machine %s: %s", self._owner, old.id, error)
        self._report.note(why)
        self._plan = replace(self._plan, outdated=never, moving=Terms())

    async def _end_blank(self, new_id: str | None) -> None:
        """End a new machine, which nobody used, before the old one is started beside it."""
        machine = self._fleet.view.get(new_id) if new_id else None
        if machine is not None and not has_owner(machine.tags):
            self._fleet.spares.condemn(machine.id)
            with suppress(EC2Error):
                await self._fleet.terminate(machine.id)

    # -- recovery

    async def _recover(self, machine: Instance) -> None:
        is_ours = machine.id == self._power.launched_id and not has_owner(machine.tags)
        again = await self._recovery.recover(machine, is_blank=is_ours)
        self._power.on_at = None
        if not again:
            self._forget(machine)

    def _forget(self, machine: Instance) -> None:
        self._fleet.spares.release(machine.id)
        self._id = self._power.on_at = None


class _Changed(Exception):
    """The machine left the states in which it could answer."""
