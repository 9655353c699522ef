"""Stops: plain ones, forced ones and hibernations, each shared with others of its way."""

import logging
from collections.abc import Callable
from typing import Any

from cloudjhub import metrics
from cloudjhub.ec2 import EC2
from cloudjhub.errors import (
    CannotHibernate,
    EC2Error,
    EC2Throttled,
    EC2Unavailable,
    EC2Unreachable,
    NotFound,
    NotPermitted,
)
from cloudjhub.fleet.batch import Batcher
from cloudjhub.fleet.calls import Calls
from cloudjhub.fleet.view import View

log = logging.getLogger(__name__)

MakeBatcher = Callable[[str, Callable[[list[Any]], Any]], Batcher[Any, Any]]

_PLAIN, _FORCED, _HIBERNATION = "plain", "forced", "hibernation"
#: What a plain stop would fail of as well
_NOT_OF_HIBERNATION = (EC2Unreachable, EC2Throttled, NotFound, NotPermitted)


class Stops:
    """One batcher for each way to stop."""

    def __init__(self, ec2: EC2, calls: Calls, view: View, *, batcher: MakeBatcher):
        self._calls = calls
        self._view = view
        ways: dict[str, Callable[[list[str]], dict[str, str]]] = {
            _PLAIN: ec2.stop,
            _FORCED: lambda ids: ec2.stop(ids, force=True),
            _HIBERNATION: lambda ids: _hibernate(ec2, ids),
        }
        self._batchers: dict[str, Batcher[str, None]] = {
            way: batcher("StopInstances", self._sender(call)) for way, call in ways.items()
        }

    async def aclose(self) -> None:
        """Give up what has not been sent."""
        for batcher in self._batchers.values():
            await batcher.aclose()

    async def stop(self, instance_id: str, *, force: bool = False) -> None:
        """Stop it; one that is hibernated stays so. Raises EC2Error."""
        await self._batchers[_FORCED if force else _PLAIN].submit(instance_id)

    async def hibernate(self, instance_id: str) -> bool:
        """Whether EC2 took it on to hibernate the machine. Raises what a plain stop would, too."""
        machine = self._view.get(instance_id)
        if machine is not None and not machine.hibernation_configured:
            metrics.hibernations.labels("not_configured").inc()
            log.warning("%s was not launched to hibernate; it is stopped plainly", instance_id)
            return False
        try:
            await self._batchers[_HIBERNATION].submit(instance_id)
        except CannotHibernate as error:
            metrics.hibernations.labels("refused").inc()
            log.warning("%s is stopped plainly, as it cannot hibernate: %s", instance_id, error)
            return False
        metrics.hibernations.labels("hibernates").inc()
        return True

    def _sender(self, call: Callable[[list[str]], dict[str, str]]) -> Callable[[list[str]], Any]:
        async def send(ids: list[str]) -> list[None]:
            states = await self._calls.patiently(
                "StopInstances", call, ids, resources=len(ids), retry=EC2Unavailable
            )
            self._view.tell_states(states)
            return [None] * len(ids)

        return send


def _hibernate(ec2: EC2, ids: list[str]) -> dict[str, str]:
    """By which code EC2 refuses a machine that is too young is not documented: by any."""
    try:
        return ec2.hibernate(ids)
    except _NOT_OF_HIBERNATION:
        raise
    except EC2Error as error:
        raise CannotHibernate(
            error.message, action=error.action, code=error.code, request_id=error.request_id
        ) from error
