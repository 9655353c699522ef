"""Machines that were launched and belong to nobody: who gets one, and when one goes.

A launch is for nobody; a machine becomes someone's by being claimed here and tagged right after.
Whatever goes wrong in between leaves a spare, which the next who needs one gets, or which is
removed after a while together with its blank volume.
"""

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone

from cloudjhub.ec2_values import Instance
from cloudjhub.naming import RETIRED_TAG, SHAPE_TAG, Owner, has_owner, was_somebodys

_READINESS = ("ready", "running", "pending", "stopped")
_ALIVE = ("pending", "running", "stopping", "stopped")


@dataclass(eq=False)
class Ticket:
    """One attempt to get a machine. The same owner's next attempt is another."""

    owner: Owner
    wanted: bool = True
    instance_id: str | None = None


@dataclass(eq=False)
class Coming:
    """A launch that EC2 has not answered: for whom, and which such machines were there before."""

    shape: str
    known: set[str]
    tickets: Sequence[Ticket]


class Spares:
    """Claims of this process on machines whose tags do not name an owner yet."""

    def __init__(self) -> None:
        self._claims: dict[str, Owner] = {}
        self._claimed: defaultdict[Owner, set[str]] = defaultdict(set)
        self._condemned: set[str] = set()
        self._going: set[str] = set()
        self._ready: set[str] = set()
        self._kept: Container[str] = frozenset()
        self._coming: list[Coming] = []

    def claim(self, instance_id: str, owner: Owner) -> None:
        """Give the machine to the owner as far as this process is concerned."""
        self.release(instance_id)
        self._claims[instance_id] = owner
        self._claimed[owner].add(instance_id)

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

    @contextmanager
    def launching(self, coming: Coming) -> Iterator[None]:
        """Inside it EC2 is asked: such a machine that turns up may be one of those asked for."""
        self._coming.append(coming)
        try:
            yield
        finally:
            self._coming.remove(coming)

    def launched(self, instance_ids: Iterable[str]) -> None:
        """One launch was answered: these are none of what the others asked for."""
        ids = set(instance_ids)
        for coming in self._coming:
            coming.known |= ids

    def is_early(self, machine: Instance) -> bool:
        """Whether a listing shows the machine before the answer to the launch that made it."""
        shape = machine.tags.get(SHAPE_TAG)
        return any(each.shape == shape and machine.id not in each.known for each in self._coming)

    def left_alone(self, owner: Owner | None = None) -> int:
        """Machines asked for by those who have left since; all of them, or one owner's."""
        tickets = (ticket for coming in self._coming for ticket in coming.tickets)
        return sum(not t.wanted and owner in (None, t.owner) for t in tickets)

    def release(self, instance_id: str) -> None:
        """Take the claim back: without owner tags the machine is a spare again."""
        owner = self._claims.pop(instance_id, None)
        if owner is not None:
            self._claimed[owner].discard(instance_id)
            if not self._claimed[owner]:
                del self._claimed[owner]

    def claimed_by(self, owner: Owner) -> list[str]:
        """Ids this owner has a claim on."""
        return sorted(self._claimed.get(owner, ()))

    def unclaimed(self, ids: set[str]) -> set[str]:
        """Those of the ids that nobody claims and that are not on their way out."""
        return ids.difference(self._claims, self._condemned, self._going)

    def take(
        self, machines: Iterable[Instance], shapes: str | Sequence[str], owner: Owner
    ) -> Instance | None:
        """Claim the readiest spare of these shapes, the best first; None if there is none.

        One that is stopped has to be started like a machine of one's own.
        """
        wanted = [shapes] if isinstance(shapes, str) else list(shapes)
        usable = [
            machine
            for machine in machines
            if machine.tags.get(SHAPE_TAG) in wanted
            and machine.state in _READINESS
            and self.is_free(machine)
        ]
        if not usable:
            return None
        best = min(
            usable,
            key=lambda spare: (
                _READINESS.index(self._readiness(spare)),
                wanted.index(spare.tags[SHAPE_TAG]),
                spare.id,
            ),
        )
        self.claim(best.id, owner)
        return best

    def _readiness(self, spare: Instance) -> str:
        return "ready" if self.is_ready(spare) else spare.state

    # -- what the pool says of them

    def ready(self, instance_id: str, is_ready: bool = True) -> None:
        """The running spare lets the hub in; or it does no longer, or starts again."""
        (self._ready.add if is_ready else self._ready.discard)(instance_id)

    def is_ready(self, machine: Instance) -> bool:
        """Whether it runs and let the hub in before."""
        return machine.state == "running" and machine.id in self._ready

    def keep_for_pool(self, instance_ids: Container[str]) -> None:
        """These stay, however old they are; until the next word."""
        self._kept = instance_ids

    def withhold(self, instance_id: str) -> None:
        """Nobody gets the spare until ``keep``: something is being done to it."""
        self._going.add(instance_id)

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
        """What was done to it is over, or did not happen: it may be given or expire again."""
        self._going.discard(instance_id)

    def forget_missing(self, known_ids: set[str]) -> None:
        """Drop what EC2 no longer lists."""
        for instance_id in self._claims.keys() - known_ids:
            self.release(instance_id)
        self._condemned &= known_ids
        self._going &= known_ids
        self._ready &= known_ids

    def _is_old(self, machine: Instance, seconds: float) -> bool:
        if machine.launched_at is None or not self.is_free(machine) or machine.id in self._kept:
            return False
        age = datetime.now(timezone.utc) - machine.launched_at
        return age.total_seconds() > seconds

    def is_free(self, machine: Instance) -> bool:
        """Whether nobody ever had it, claims it, may be about to get it or is removing it."""
        return not (
            was_somebodys(machine.tags)
            or machine.id in self._claims
            or machine.id in self._condemned
            or machine.id in self._going
            or self.is_early(machine)
        )

    def may_be_claimed(self, machine: Instance) -> bool:
        """Whether a machine without an owner may go back to who says that it is theirs."""
        return not (
            has_owner(machine.tags) or machine.id in self._claims or RETIRED_TAG in machine.tags
        )
