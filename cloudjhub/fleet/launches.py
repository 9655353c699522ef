"""Launches: logins that arrive together share one RunInstances; each gets one machine of it."""

import uuid
from collections.abc import Callable
from typing import Any

from cloudjhub.capacity import Capacity
from cloudjhub.ec2 import EC2
from cloudjhub.ec2_values import Instance
from cloudjhub.errors import EC2Error, LaunchFailed, NoCapacity, NoFreeAddress, QuotaReached
from cloudjhub.fleet.batch import Batcher, own_copy
from cloudjhub.fleet.calls import Calls
from cloudjhub.fleet.spares import Spares, Ticket
from cloudjhub.fleet.view import View
from cloudjhub.launch_spec import LaunchSpec, run_arguments
from cloudjhub.naming import Owner

MakeBatcher = Callable[[str, Callable[[list[Any]], Any]], Batcher[Any, Any]]


class Launches:
    """One batcher per kind of machine."""

    def __init__(
        self,
        ec2: EC2,
        calls: Calls,
        view: View,
        spares: Spares,
        capacity: Capacity,
        *,
        batcher: MakeBatcher,
    ):
        self._ec2 = ec2
        self._calls = calls
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
                launched = await self._sent(spec, count)
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
            # Claimed before anything else can run, or another login would take it for a spare. One
            # that a listing showed before this answer came may have been taken already.
            self._view.tell(launched)
            free = [i for i in launched if self._spares.is_free(self._view.get(i.id) or i)]
            still_waiting = [ticket for ticket in waiting if ticket.wanted]
            for instance, ticket in zip(free, still_waiting, strict=False):
                self._spares.hand_out(instance.id, ticket)
                answers[ticket] = instance
        return answers

    async def _sent(self, spec: LaunchSpec, count: int) -> list[Instance]:
        """One RunInstances; a refusal for capacity is remembered for everyone."""
        arguments = run_arguments(spec, count=count, client_token=uuid.uuid4().hex)
        try:
            launched = await self._calls.patiently(
                "RunInstances", self._ec2.run, arguments, resources=count
            )
        except NoCapacity:
            self._capacity.refused(*spec.kind)
            raise
        self._capacity.granted(*spec.kind)
        return launched
