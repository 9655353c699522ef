"""How many machines the account's quota of vCPUs holds: read before a class meets it."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from cloudjhub import ec2_errors, metrics
from cloudjhub.account.quotas import quota, quota_code
from cloudjhub.account.types import instance_types
from cloudjhub.aws import Access, Session
from cloudjhub.config import ClusterConfig
from cloudjhub.errors import CloudJHubError

log = logging.getLogger(__name__)

_READ_AGAIN_SECONDS = 3600.0  # a quota that was raised is known without a restart


@dataclass(frozen=True)
class Allowance:
    """What the account may run of one type."""

    instance_type: str
    vcpus: int  # of one machine
    quota_vcpus: int

    @property
    def machines(self) -> int:
        """How many fit, if nothing else of the account runs."""
        return self.quota_vcpus // self.vcpus


class Reader:
    """Asks AWS. Its clients are made once, as loading their descriptions takes a while."""

    def __init__(self, region: str, endpoint_url: str | None):
        session = Session(Access(region, endpoint_url), ec2_errors)
        self._ec2 = session.service("ec2", attempts=2, read_seconds=10, told=metrics.ec2_called)
        self._quotas = session.service("service-quotas", attempts=2, read_seconds=10)

    def read(self, instance_type: str) -> Allowance | None:
        """Blocks for up to some seconds. None where AWS does not say or may not be asked."""
        try:
            found = instance_types(self._ec2, [instance_type]).get(instance_type)
        except CloudJHubError as error:
            log.info("The vCPUs of %s stay unknown: %s", instance_type, error)
            return None
        code = quota_code(instance_type)
        most = quota(self._quotas, code) if code else None
        if found is None or most is None:
            log.info("The account's quota of vCPUs for %s stays unknown", instance_type)
            return None
        return Allowance(instance_type, found.vcpus, most)


class Quota:
    """The account's quota as of late, as metrics and, where it is too small, in the log."""

    def __init__(self, config: Callable[[], ClusterConfig]):
        self._config = config
        self._reader: Reader | None = None
        self._allowance: Allowance | None = None
        self._complaint = ""
        self._task = asyncio.create_task(self._run(), name="cloudjhub-quota")
        metrics.watch("quota_vcpus", self, Quota._vcpus)
        metrics.watch("quota_machines", self, Quota._machines)

    async def aclose(self) -> None:
        """Read it no more."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                config = self._config()
                self._allowance = await asyncio.to_thread(self._read, config)
                self._compare(config)
            except Exception:
                log.exception("The account's quota cannot be read")
            await asyncio.sleep(_READ_AGAIN_SECONDS)

    def _read(self, config: ClusterConfig) -> Allowance | None:
        if self._reader is None:
            self._reader = Reader(config.region, config.ec2_endpoint_url)
        return self._reader.read(config.worker_instance_type)

    def _compare(self, config: ClusterConfig) -> None:
        known = self._allowance
        complaint = ""
        if known is not None and known.machines < (config.max_machines or 1):
            complaint = (
                f"MAX_MACHINES is {config.max_machines or 'not set'}, and the account's quota of "
                f"{known.quota_vcpus} vCPUs holds {known.machines} machines of "
                f"{known.instance_type}. Ask for more in the Service Quotas console of AWS "
                f"({config.region}, EC2, {quota_code(known.instance_type)})."
            )
        if complaint and complaint != self._complaint:
            log.warning("%s", complaint)
        self._complaint = complaint

    def _vcpus(self) -> int | None:
        return self._allowance.quota_vcpus if self._allowance else None

    def _machines(self) -> int | None:
        return self._allowance.machines if self._allowance else None
