"""Joins a network to an engine: rules follow what EC2 knows, and machines learn what they are."""

import ipaddress
import logging
from typing import TYPE_CHECKING, Any

from cloudjhub.local.settings import LocalEC2Error
from cloudjhub.local.vpc import reading, resolver
from cloudjhub.local.vpc.addresses import METADATA
from cloudjhub.local.vpc.metadata.facts import facts_of
from cloudjhub.local.vpc.metadata.service import Access, MetadataService
from cloudjhub.local.vpc.network import DEFAULT_PREFIX, Network

if TYPE_CHECKING:
    from cloudjhub.local.engine import Engine

log = logging.getLogger(__name__)


class Serving:
    """``network`` is open before and closed after. Locks: the engine's before the network's."""

    def __init__(self, engine: "Engine", network: Network):
        self._engine = engine
        self.network = network
        self._name_server = resolver.upstream()
        self._metadata = MetadataService(network.listen(METADATA, 80), self.access_of)
        network.prefix_of = self._prefix_of
        network.on_change = self.refresh

    def start(self) -> None:
        self.refresh()
        self._metadata.start()

    def stop(self) -> None:
        self._metadata.stop()

    def refresh(self) -> None:
        """Makes the rules those of this moment. What cannot be loaded is logged; the old stay."""
        with self._engine.lock:
            model = reading.read(self._engine.backend, self.network.links(), self._name_server)
            try:
                self.network.apply(model)
            except LocalEC2Error:
                log.exception("local EC2: the rules of the network could not be loaded")

    def no_room_in(self, subnet: Any) -> str:
        """Why machines cannot have addresses of this subnet; "" if they can."""
        if not self.network.addresses.can_host(subnet.cidr_block):
            return (
                f"The local EC2 has machines only in {self.network.cidr}; subnet {subnet.id} is "
                f"{subnet.cidr_block}."
            )
        for others in self._engine.backend.subnets.values():
            for other in others.values():
                if other.vpc_id != subnet.vpc_id and other.cidr.overlaps(subnet.cidr):
                    return (
                        f"Subnet {other.id} of another VPC has addresses of {subnet.id}, and the "
                        "local EC2 has all of them in one network."
                    )
        return ""

    def access_of(self, address: str) -> Access | None:
        """Whose metadata somebody with this address may see. None: nobody's."""
        link = next((link for link in self.network.links() if link.address == address), None)
        if link is None:
            return None
        with self._engine.lock:
            instance = self._engine.backend.instances.get(link.instance_id)
            if instance is None or not instance.nics:
                return None
            options = instance.metadata_options
            return Access(
                instance_id=instance.id,
                enabled=options.http_endpoint != "disabled",
                token_required=options.http_tokens == "required",
                hop_limit=int(options.http_put_response_hop_limit or 1),
                facts=lambda: facts_of(self._engine, instance),
            )

    def _prefix_of(self, address: str) -> int:
        with self._engine.lock:
            for subnets in self._engine.backend.subnets.values():
                for subnet in subnets.values():
                    if ipaddress.ip_address(address) in subnet.cidr:
                        return subnet.cidr.prefixlen
        return DEFAULT_PREFIX
