"""What moto knows of the network, as a :class:`Model`. The caller holds the engine's lock."""

from collections.abc import Iterable
from typing import Any

from cloudjhub.local.moto_layer.backend import LocalBackend
from cloudjhub.local.vpc.link import Link
from cloudjhub.local.vpc.model import Group, Interface, Model, Permission, Route


def read(backend: LocalBackend, links: Iterable[Link], name_server: str | None) -> Model:
    """The network of the machines that are linked. One that EC2 does not know reaches nothing."""
    found = [(link, backend.instances.get(link.instance_id)) for link in links]
    return Model(
        interfaces=tuple(_interface(backend, link, i) for link, i in found if i and i.nics),
        groups={
            group_id: _group(group)
            for groups in backend.groups.values()
            for group_id, group in groups.items()
        },
        name_server=name_server,
    )


def _interface(backend: LocalBackend, link: Link, instance: Any) -> Interface:
    nic = instance.nics[0]
    return Interface(
        device=link.device,
        address=link.address,
        vpc=nic.subnet.vpc_id,
        groups=tuple(sorted({group.id for group in nic.group_set})),
        routes=routes_of(backend, nic.subnet),
        public_address=nic.public_ip,
    )


def _group(group: Any) -> Group:
    return Group(
        ingress=tuple(map(_permission, group.ingress_rules)),
        egress=tuple(map(_permission, group.egress_rules)),
    )


def _permission(rule: Any) -> Permission:
    return Permission(
        protocol=str(rule.ip_protocol),
        first=rule.from_port,
        last=rule.to_port,
        cidr=rule.ip_range.get("CidrIp") or rule.ip_range.get("CidrIpv6") or "",
        group=rule.source_group.get("GroupId") or "",
    )


# -- routes --------------------------------------------------------------------------------------


def routes_of(backend: LocalBackend, subnet: Any) -> tuple[Route, ...]:
    """The subnet's route table, or else its VPC's main one."""
    table = _table(backend, subnet)
    if table is None:
        return ()
    found = (route for route in table.routes if route.destination_cidr_block)
    return tuple(
        Route(route.destination_cidr_block, _target(backend, subnet.vpc_id, route))
        for route in found
    )


def _table(backend: LocalBackend, subnet: Any) -> Any:
    tables = [t for t in backend.route_tables.values() if t.vpc_id == subnet.vpc_id]
    named = [t for t in tables if subnet.id in t._associations.values()]
    main = [t for t in tables if t.main_association_id is not None]
    return next(iter(named + main), None)


def _target(backend: LocalBackend, vpc_id: str, route: Any) -> str:
    if route.local:
        return vpc_id
    if route.gateway is not None:
        gateway = backend.internet_gateways.get(route.gateway.id)
        return "internet" if gateway and gateway.vpc and gateway.vpc.id == vpc_id else ""
    if route.nat_gateway is not None:
        return _nat_address(backend, route.nat_gateway.id) or ""
    return ""


def _nat_address(backend: LocalBackend, gateway_id: str) -> str | None:
    """A NAT gateway's public address, if its own subnet leads to the Internet."""
    gateway = backend.nat_gateways.get(gateway_id)
    if gateway is None or gateway.state != "available":
        return None
    subnet = backend.get_subnet(gateway.subnet_id)
    if all(route.target != "internet" for route in _without_nat(backend, subnet)):
        return None
    return gateway._eni.public_ip


def _without_nat(backend: LocalBackend, subnet: Any) -> list[Route]:
    table = _table(backend, subnet)
    direct = [r for r in table.routes if r.nat_gateway is None] if table else []
    return [Route(r.destination_cidr_block, _target(backend, subnet.vpc_id, r)) for r in direct]
