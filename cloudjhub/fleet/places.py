"""How many machines are up or about to be, whatever the listings show of them already."""

import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cloudjhub.account.quotas import quota_code
from cloudjhub.ec2_values import Instance
from cloudjhub.naming import Owner

if TYPE_CHECKING:
    from cloudjhub.fleet.fleet import Fleet

_HELD_SECONDS = 10.0  # how long a listing may take to show that a machine was started
_OFF = ("stopped", "terminated")


@dataclass(eq=False)
class Begun:
    """A login that was admitted and whose machine is not up yet.

    ``serial``: its place in the line. ``code``: the account's quota that its machine counts for,
    "" where nobody knows. ``for_spare``: since a spare is there, which it takes or which ends for
    it; ``of_quota``: only one of that quota is of use to it. ``ended``: the spare that made way.
    """

    owner: Owner
    serial: int
    code: str
    for_spare: bool = False
    of_quota: bool = False
    ended: str | None = None


class Places:
    """The view's machines that are pending or running, and what this process knows beyond."""

    def __init__(self, fleet: "Fleet"):
        self._fleet = fleet
        self._begun: dict[Owner, Begun] = {}
        self._held: dict[Owner, float] = {}

    # -- what is begun

    def begin(self, begun: Begun) -> Begun:
        """The owner's machine is powered on now; until ``end`` that counts."""
        self._held.pop(begun.owner, None)
        self._begun[begun.owner] = begun
        return begun

    def begun(self, owner: Owner) -> Begun | None:
        """What was begun for the owner and has not ended."""
        return self._begun.get(owner)

    def end(self, begun: Begun) -> None:
        """EC2 has answered, or is not asked any more."""
        if self._begun.get(begun.owner) is begun:
            del self._begun[begun.owner]

    def hold(self, owner: Owner) -> None:
        """Count the owner's machine for a moment, though no listing shows it as up."""
        # A launch that nobody waits for any more counts by itself until EC2 answers.
        if not self._fleet.spares.left_alone(owner):
            self._held[owner] = time.monotonic() + _HELD_SECONDS

    def is_held(self, owner: Owner) -> bool:
        """Whether the owner had a place a moment ago, and so has it still."""
        return owner in self._held and not self._is_over(owner)

    # -- counting

    def taken(self) -> int:
        """Places that are taken, or will be by those who were admitted."""
        up = self._fleet.view.up()
        unseen = sum(self._is_unseen(owner) for owner in list(self._held))
        return len(up) + self._powering_on(up) + unseen + self._fleet.spares.left_alone()

    def surely_taken(self) -> int:
        """The least that it can be: without what may be counted twice, or never come."""
        up = self._fleet.view.up()
        early = sum(self._is_early(instance_id) for instance_id in up)
        return len(up) - early + self._powering_on(up)

    def _powering_on(self, up: set[str]) -> int:
        """Logins that were admitted and in whose place no spare is up."""
        return sum(
            not begun.for_spare if begun.ended is None else begun.ended not in up
            for begun in self._begun.values()
        )

    def _is_early(self, instance_id: str) -> bool:
        machine = self._fleet.view.get(instance_id)
        return machine is not None and self._fleet.spares.is_early(machine)

    def on(self) -> Counter[str]:
        """How many machines count against which quota of the account.

        Until one is off for good: EC2 may count it as long.
        """
        return Counter(
            quota_code(machine.instance_type)
            for machine in self._fleet.view.all()
            if machine.state not in _OFF
        )

    def is_on(self, instance_id: str) -> bool:
        """Whether that machine counts so."""
        machine = self._fleet.view.get(instance_id)
        return machine is not None and machine.state not in _OFF

    def under_way(self, code: str) -> int:
        """Logins that were admitted and whose machine, not up yet, may count for that quota."""
        return sum(begun.code in ("", code) for begun in self._begun.values())

    def promised(self) -> int:
        """Spares that are up and given to somebody who has not taken theirs yet."""
        return sum(each.for_spare and each.ended is None for each in self._begun.values())

    def free_spares(self, code: str | None = None) -> list[Instance]:
        """Machines that are up and belong to nobody; those of one quota if it is named."""
        view, spares = self._fleet.view, self._fleet.spares
        machines = (view.get(instance_id) for instance_id in sorted(view.up()))
        free = [machine for machine in machines if machine and spares.is_free(machine)]
        if code is None:
            return free
        return [each for each in free if code and quota_code(each.instance_type) == code]

    def _is_unseen(self, owner: Owner) -> bool:
        """Whether a machine that was powered on for the owner is not shown as up (any more).

        A listing may lag behind what another said, or be older than the start. A machine that
        stops was seen to do so.
        """
        states = {machine.state for machine in self._fleet.owned_by(owner)}
        if "stopping" in states or self._is_over(owner):
            del self._held[owner]
            return False
        return not states & {"pending", "running"}

    def _is_over(self, owner: Owner) -> bool:
        """Whether what is held was long enough ago; not while EC2 has still to answer."""
        if time.monotonic() <= self._held[owner]:
            return False
        return not any(self._fleet.is_being_started(m.id) for m in self._fleet.owned_by(owner))
