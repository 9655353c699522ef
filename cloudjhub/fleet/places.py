"""How many machines are up or about to be, whatever the listings show of them already."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cloudjhub.account.quotas import quota_code
from cloudjhub.ec2_values import Instance
from cloudjhub.naming import Owner

if TYPE_CHECKING:
    from cloudjhub.fleet.fleet import Fleet

_HELD_SECONDS = 10.0  # how long a listing may take to show that a machine was started


@dataclass(eq=False)
class Begun:
    """A login that was admitted and whose machine is not up yet.

    ``for_spare``: since a spare is there, which it takes or which ends for it.
    """

    owner: Owner
    for_spare: bool


class Places:
    """The view's machines that are pending or running, and what this process knows beyond."""

    def __init__(self, fleet: "Fleet"):
        self._fleet = fleet
        self._begun: dict[Owner, Begun] = {}
        self._held: dict[Owner, float] = {}

    # -- what is begun

    def begin(self, owner: Owner, *, for_spare: bool = False) -> Begun:
        """The owner's machine is powered on now; until ``end`` that counts."""
        begun = Begun(owner, for_spare)
        self._held.pop(owner, None)
        self._begun[owner] = begun
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
        self._held[owner] = time.monotonic() + _HELD_SECONDS

    def is_held(self, owner: Owner) -> bool:
        """Whether the owner had a place a moment ago, and so has it still."""
        return owner in self._held

    # -- counting

    def taken(self) -> int:
        """Places that are taken, or will be by those who were admitted."""
        begun = sum(not begun.for_spare for begun in self._begun.values())
        unseen = sum(self._is_unseen(owner) for owner in list(self._held))
        return len(self._fleet.view.up()) + begun + unseen

    def up_of(self, code: str) -> int:
        """Machines that are up and count against this quota of the account."""
        view = self._fleet.view
        machines = (view.get(instance_id) for instance_id in view.up())
        return sum(quota_code(machine.instance_type) == code for machine in machines if machine)

    def under_way(self) -> int:
        """Logins that were admitted and whose machine is not up yet."""
        return len(self._begun)

    def spares_to_give(self) -> int:
        """How many more logins may be admitted for a spare that is up."""
        promised = sum(begun.for_spare for begun in self._begun.values())
        return len(self.free_spares()) - promised

    def free_spares(self) -> list[Instance]:
        """Machines that are up and belong to nobody."""
        view, spares = self._fleet.view, self._fleet.spares
        machines = (view.get(instance_id) for instance_id in sorted(view.up()))
        return [machine for machine in machines if machine and spares.is_free(machine)]

    def _is_unseen(self, owner: Owner) -> bool:
        """Whether a machine that was powered on for the owner is not shown as up (any more).

        A listing may lag behind what another said, or be older than the start. A machine that
        stops was seen to do so.
        """
        states = {machine.state for machine in self._fleet.owned_by(owner)}
        if "stopping" in states or time.monotonic() > self._held[owner]:
            del self._held[owner]
            return False
        return not states & {"pending", "running"}
