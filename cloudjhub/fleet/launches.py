"""Launches: logins that arrive together share one RunInstances; each gets one machine of it."""

import logging
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from cloudjhub.capacity import Capacity
from cloudjhub.ec2_values import Instance
from cloudjhub.errors import (
    BadLaunch,
    EC2Error,
    LaunchFailed,
    NoCapacity,
    NoFreeAddress,
    QuotaReached,
)
from cloudjhub.fleet.batch import Batcher, own_copy
from cloudjhub.fleet.launching import Launching
from cloudjhub.fleet.spares import Coming, Spares, Ticket
from cloudjhub.fleet.view import View
from cloudjhub.launch_spec import LaunchSpec
from cloudjhub.naming import Owner

log = logging.getLogger(__name__)

_NOT_OFFERED = "Unsupported"  # EC2's word for a zone that does not have the type at all

MakeBatcher = Callable[[str, Callable[[list[Any]], Any]], Batcher[Any, Any]]


class Launches:
    """One batcher per kind of machine."""

    def __init__(
        self,
        launching: Launching,
        view: View,
        spares: Spares,
        capacity: Capacity,
        *,
        batcher: MakeBatcher,
    ):
        self._launching = launching
        self._view = view
        self._spares = spares
        self._capacity = capacity
        self._make_batcher = batcher
        self._batchers: dict[LaunchSpec, Batcher[Ticket, Instance]] = {}

    async def launch(self, spec: LaunchSpec, owner: Owner) -> Instance:
        """A machine launched with others', claimed for the owner. Raises EC2Error."""
        if spec not in self._batchers:
            self._batchers[spec] = self._make_batcher("RunInstances", self._sender(spec))
        with self._spares.ticket(owner) as ticket:
            try:
                return await self._batchers[spec].submit(ticket)
            except QuotaReached as error:
                error.instance_type = spec.instance_type
                raise

    async def aclose(self) -> None:
        """Give up what has not been sent."""
        for batcher in self._batchers.values():
            await batcher.aclose()

    def _sender(self, spec: LaunchSpec) -> Callable[[list[Ticket]], Any]:
        async def send(tickets: list[Ticket]) -> list[Instance | Exception]:
            answers = await self._run(spec, tickets)
            return [answers.get(ticket, LaunchFailed("Nobody waits.")) for ticket in tickets]

        return send

    async def _run(
        self, spec: LaunchSpec, tickets: list[Ticket]
    ) -> dict[Ticket, Instance | Exception]:
        """Launch one for each who still waits; what EC2 refuses is the error of those left over."""
        answers: dict[Ticket, Instance | Exception] = {}
        most = len(tickets)
        while waiting := [t for t in tickets if t.wanted and t not in answers]:
            count = min(most, len(waiting))
            try:
                launched = await self._sent(spec, waiting[:count])
            except (QuotaReached, NoFreeAddress) as error:
                # Whether EC2 launches as many as still fit is documented for capacity only.
                if count > 1:
                    most = count // 2
                    continue
                answers.update({ticket: own_copy(error) for ticket in waiting})
                break
            except EC2Error as error:
                answers.update({ticket: own_copy(error) for ticket in waiting})
                break
            # Claimed before anything else can run, or another login would take it for a spare.
            self._spares.launched(machine.id for machine in launched)
            self._view.tell(launched)
            free = [i for i in launched if self._spares.is_free(self._view.get(i.id) or i)]
            still_waiting = [ticket for ticket in waiting if ticket.wanted]
            for instance, ticket in zip(free, still_waiting, strict=False):
                self._spares.hand_out(instance.id, ticket)
                answers[ticket] = instance
        return answers

    async def _sent(self, spec: LaunchSpec, tickets: Sequence[Ticket]) -> list[Instance]:
        """One RunInstances; a refusal for capacity is remembered for everyone."""
        count = len(tickets)
        coming = Coming(spec.shape, set(self._view.ownerless(spec.shape)), tickets)
        try:
            with self._spares.launching(coming):
                launched = await self._launching.run(spec, count=count, token=uuid.uuid4().hex)
        except NoCapacity:
            self._capacity.refused(*spec.kind)
            raise
        self._capacity.granted(*spec.kind)
        return launched


def goes_on(capacity: Capacity, kind: LaunchSpec, error: EC2Error, first: LaunchSpec) -> bool:
    """Whether another kind may do better after this refusal; ``first``: the best of all."""
    if isinstance(error, NoCapacity | NoFreeAddress):
        return True
    if error.code == _NOT_OFFERED:
        capacity.refused(*kind.kind)
        return True
    if isinstance(error, BadLaunch) and kind != first:
        log.error("%s cannot stand in for %s: %s", kind.kind, first.kind, error)
        return True
    return False
