"""Network interfaces and public addresses: moto invents addresses, here somebody must have them."""

import ipaddress
from typing import Any

from moto.ec2.models import EC2Backend
from moto.ec2.models.elastic_ip_addresses import ElasticAddress
from moto.ec2.models.elastic_network_interfaces import NetworkInterface

from cloudjhub.local.moto_layer.refusals import Refusal


class LocalInterface(NetworkInterface):
    """Becomes one after moto has made it: see :class:`AddressBackend`."""

    @property
    def network_interface_id(self) -> str:
        """moto's answers find it by the name of the class, which is another now."""
        return self.id

    @property
    def group_set(self) -> list[Any]:
        """moto goes on listing groups that were taken away."""
        return self._group_set

    def check_auto_public_ip(self) -> None:
        if str(self.public_ip_auto_assign).lower() == "true" and not self.public_ip:
            self.public_ip = self.ec2_backend.take_public_address()

    def stop(self) -> None:
        """Gives the address back unless it is an Elastic IP, which stays."""
        if self.public_ip_auto_assign and not self.ec2_backend.is_elastic(self.public_ip):
            self.public_ip = None


class AddressBackend(EC2Backend):
    """Public addresses come from ``public_range``; without one they are moto's, and reach nobody.

    An address is free when no interface and no Elastic IP has it: nothing else is kept.
    """

    public_range: ipaddress.IPv4Network | None = None

    def take_public_address(self) -> str:
        """Raises Refusal when all are taken."""
        if self.public_range is None:
            from moto.ec2.utils import random_public_ip

            return random_public_ip()
        taken = {eni.public_ip for eni in self.enis.values()}
        taken |= {address.public_ip for address in self.addresses}
        for address in map(str, self.public_range.hosts()):
            if address not in taken:
                return address
        raise Refusal(
            "InsufficientAddressCapacity",
            "All public addresses of this local EC2 are in use.",
        )

    def is_elastic(self, public_ip: str | None) -> bool:
        return any(address.public_ip == public_ip for address in self.addresses)

    # -- interfaces ----------------------------------------------------------------------------

    def create_network_interface(self, *args: Any, **kwargs: Any) -> NetworkInterface:
        # moto takes an address of its own in the constructor, for whom it cannot be replaced.
        wanted = kwargs.pop("public_ip_auto_assign", False)
        interface = super().create_network_interface(*args, **kwargs)
        interface.__class__ = LocalInterface
        interface.public_ip_auto_assign = wanted
        try:
            interface.start()
        except Refusal:
            self.enis.pop(interface.id)
            raise
        return interface

    def delete_network_interface(self, eni_id: str) -> None:
        for address in self.addresses:
            if address.eni and address.eni.id == eni_id:
                _set_free(address)
        super().delete_network_interface(eni_id)

    def delete_nat_gateway(self, nat_gateway_id: str) -> Any:
        """moto leaves it its interface and its address."""
        if nat_gateway_id not in self.nat_gateways:
            raise Refusal("NatGatewayNotFound", f"NatGateway {nat_gateway_id} was not found")
        gateway = super().delete_nat_gateway(nat_gateway_id)
        if gateway._eni.id in self.enis:
            self.delete_network_interface(gateway._eni.id)
        return gateway

    # -- security groups -----------------------------------------------------------------------

    def create_security_group(self, *args: Any, **kwargs: Any) -> Any:
        """A VPC's own group admits its members, which moto leaves out."""
        group = super().create_security_group(*args, **kwargs)
        if group.is_default:
            self.authorize_security_group_ingress(
                group.id, "-1", None, None, [], source_groups=[{"GroupId": group.id}]
            )
        return group

    def modify_instance_security_groups(
        self, instance_id: str, new_group_id_list: list[str]
    ) -> Any:
        instance = super().modify_instance_security_groups(instance_id, new_group_id_list)
        instance.nics[0]._group_set = list(instance.security_groups)
        return instance

    def modify_network_interface_attribute(self, eni_id: str, *args: Any, **kwargs: Any) -> None:
        super().modify_network_interface_attribute(eni_id, *args, **kwargs)
        interface = self.get_network_interface(eni_id)
        if interface.instance and interface.device_index == 0:
            interface.instance.security_groups = list(interface._group_set)

    # -- Elastic IPs ---------------------------------------------------------------------------

    def allocate_address(
        self, domain: str, address: str | None = None, tags: dict[str, str] | None = None
    ) -> ElasticAddress:
        if address is None and self.public_range is not None:
            address = self.take_public_address()
        # EC2-Classic is gone: there is no other domain.
        return super().allocate_address("vpc", address=address, tags=tags)

    def associate_address(
        self,
        instance: Any = None,
        eni: Any = None,
        address: str | None = None,
        allocation_id: str | None = None,
        reassociate: bool = False,
    ) -> ElasticAddress:
        target = eni or (instance.nics[0] if instance else None)
        before = {a: a.eni for a in self.addresses}
        made = super().associate_address(instance, eni, address, allocation_id, reassociate)
        if target is not None:
            made.instance = target.instance
            for other, held in before.items():
                if other is not made and held is target:
                    _set_free(other)
        old = before.get(made)
        if old is not None and old is not target:
            old.public_ip = None
            old.start()
        return made


def _set_free(address: ElasticAddress) -> None:
    """Nobody's, but still allocated."""
    address.eni = address.instance = address.association_id = None
