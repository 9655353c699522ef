"""RunInstances for a kind of machine: able to hibernate where it is to be and Amazon lets it."""

import logging
import time

from cloudjhub.ec2 import EC2
from cloudjhub.ec2_values import Instance
from cloudjhub.errors import CannotHibernate
from cloudjhub.fleet.calls import Calls
from cloudjhub.launch_spec import LaunchSpec, run_arguments

log = logging.getLogger(__name__)

#: How long machines of a kind are launched plainly after EC2 refused one that can hibernate. What
#: is wrong, the type, its memory or the AMI, does not change by itself.
REMEMBERED_SECONDS = 3600.0


class Launching:
    """Sends launches, and remembers what cannot hibernate."""

    def __init__(self, ec2: EC2, calls: Calls):
        self._ec2 = ec2
        self._calls = calls
        self._plain_until: dict[str, float] = {}  # by shape

    async def run(self, spec: LaunchSpec, *, count: int, token: str) -> list[Instance]:
        """1 to ``count`` machines; with the same token the same ones. Raises EC2Error."""
        if spec.hibernates and time.monotonic() >= self._plain_until.get(spec.shape, 0.0):
            try:
                return await self._sent(spec, count, token, may_hibernate=True)
            except CannotHibernate as error:
                self._plain_until[spec.shape] = time.monotonic() + REMEMBERED_SECONDS
                log.error("Machines like %s are launched without: %s", spec.instance_type, error)
        # EC2 takes a token for one set of arguments only.
        plain = f"{token}-plain" if spec.hibernates else token
        return await self._sent(spec, count, plain, may_hibernate=False)

    async def _sent(
        self, spec: LaunchSpec, count: int, token: str, *, may_hibernate: bool
    ) -> list[Instance]:
        arguments = run_arguments(
            spec, count=count, client_token=token, may_hibernate=may_hibernate
        )
        return await self._calls.patiently(
            "RunInstances", self._ec2.run, arguments, resources=count
        )
