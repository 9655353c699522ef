"""Machines that were launched and belong to nobody: who gets one, and when one goes.

A launch is for nobody; a machine becomes someone's by being claimed here and tagged right after.
Whatever goes wrong in between leaves a spare, which the next who needs one gets, or which is
removed after a while together with its blank volume.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone

from cloudjhub.ec2_values import Instance
from cloudjhub.naming import RETIRED_TAG, SHAPE_TAG, Owner, has_owner, was_somebodys

_USABLE = ("running", "pending")
_ALIVE = ("pending", "running", "stopping", "stopped")


@dataclass(eq=False)
class Ticket:
    """One attempt to get a machine. The same owner's next attempt is another."""

    owner: Owner
    wanted: bool = True
    instance_id: str | None = None


class Spares:
    """Claims of this process on machines whose tags do not name an owner yet."""

    def __init__(self) -> None:
        self._claims: dict[str, Owner] = {}
        self._condemned: set[str] = set()
        self._going: set[str] = set()

    def claim(self, instance_id: str, owner: Owner) -> None:
        """Give the machine to the owner as far as this process is concerned."""
        self._claims[instance_id] = owner

    @contextmanager
    def ticket(self, owner: Owner) -> Iterator[Ticket]:
        """Inside it one attempt waits for a launch. One that ends by an error holds no claim."""
        ticket = Ticket(owner)
        try:
            yield ticket
        except BaseException:
            if ticket.instance_id is not None:
                self.release(ticket.instance_id)
            raise
        finally:
            ticket.wanted = False

    def hand_out(self, instance_id: str, ticket: Ticket) -> None:
        """Give a launched machine to the attempt that waits for it."""
        ticket.instance_id = instance_id
        self.claim(instance_id, ticket.owner)

    def release(self, instance_id: str) -> None:
        """Take the claim back: without owner tags the machine is a spare again."""
        self._claims.pop(instance_id, None)

    def claimed_by(self, owner: Owner) -> list[str]:
        """Ids this owner has a claim on."""
        return [instance_id for instance_id, claimer in self._claims.items() if claimer == owner]

    def take(self, machines: Iterable[Instance], shape: str, owner: Owner) -> Instance | None:
        """Claim the readiest spare of that shape for the owner; None if there is none."""
        spares = [m for m in machines if self.is_free(m) and m.tags.get(SHAPE_TAG) == shape]
        usable = [spare for spare in spares if spare.state in _USABLE]
        if not usable:
            return None
        best = min(usable, key=lambda spare: (_USABLE.index(spare.state), spare.id))
        self.claim(best.id, owner)
        return best

    def expired(self, machines: Iterable[Instance], older_than_seconds: float) -> list[Instance]:
        """Condemned machines and free ones past their time; from now on nobody gets them."""
        gone = [
            machine
            for machine in machines
            if machine.state in _ALIVE
            and machine.id not in self._going
            and (machine.id in self._condemned or self._is_old(machine, older_than_seconds))
        ]
        self._going.update(machine.id for machine in gone)
        return gone

    def condemn(self, instance_id: str) -> None:
        """Nobody gets this machine any more; for ``expired`` its time is up."""
        self.release(instance_id)
        self._condemned.add(instance_id)

    def keep(self, instance_id: str) -> None:
        """The removal did not happen: it may be given or expire again."""
        self._going.discard(instance_id)

    def forget_missing(self, known_ids: set[str]) -> None:
        """Drop what EC2 no longer lists."""
        self._claims = {i: owner for i, owner in self._claims.items() if i in known_ids}
        self._condemned &= known_ids
        self._going &= known_ids

    def _is_old(self, machine: Instance, seconds: float) -> bool:
        if machine.launched_at is None or not self.is_free(machine):
            return False
        age = datetime.now(timezone.utc) - machine.launched_at
        return age.total_seconds() > seconds

    def is_free(self, machine: Instance) -> bool:
        """Whether nobody ever had it, claims it or is removing it."""
        return not (
            was_somebodys(machine.tags)
            or machine.id in self._claims
            or machine.id in self._condemned
            or machine.id in self._going
        )

    def may_be_claimed(self, machine: Instance) -> bool:
        """Whether a machine without an owner may go back to who says that it is theirs."""
        return not (
            has_owner(machine.tags) or machine.id in self._claims or RETIRED_TAG in machine.tags
        )
