"""What a VPC needs besides subnets so that its machines reach the world, as in vpc.yaml."""

import ipaddress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloudjhub.local.engine import Engine

PUBLIC_PREFIX = 24


def seed(engine: "Engine", cidr: str) -> None:
    """Makes what is missing; the engine's lock is held, and VPC and private subnets are there.

    Ids go to ``seeded``: ``subnet-public``, ``internet-gateway``, ``nat-gateway``,
    ``routes-public`` and ``routes-private``. The seeded group admits this host, as a hub on it is
    one of the VPC's machines.
    """
    _public_subnet(engine, cidr)
    _internet_gateway(engine)
    _nat_gateway(engine)
    _admit_host(engine)


def _public_subnet(engine: "Engine", cidr: str) -> None:
    backend, ids = engine.backend, engine.backend.seeded
    known = {subnet_id for subnets in backend.subnets.values() for subnet_id in subnets}
    if ids.get("subnet-public") in known:
        return
    # Beyond the private subnets, which take the first twentieths.
    private = [backend.get_subnet(ids[name]).cidr for name in ("subnet-a", "subnet-b")]
    block = next(
        block
        for block in ipaddress.ip_network(cidr).subnets(new_prefix=PUBLIC_PREFIX)
        if not any(block.overlaps(taken) for taken in private)
    )
    subnet = backend.create_subnet(
        ids["vpc"], str(block), availability_zone=engine.settings.zone("a")
    )
    subnet.map_public_ip_on_launch = False
    ids["subnet-public"] = subnet.id


def _internet_gateway(engine: "Engine") -> None:
    backend, ids = engine.backend, engine.backend.seeded
    if ids.get("internet-gateway") in backend.internet_gateways:
        return
    gateway = backend.create_internet_gateway()
    backend.attach_internet_gateway(gateway.id, ids["vpc"])
    ids["internet-gateway"] = gateway.id
    table = backend.create_route_table(ids["vpc"])
    backend.create_route(table.id, "0.0.0.0/0", gateway_id=gateway.id)
    backend.associate_route_table(table.id, subnet_id=ids["subnet-public"])
    ids["routes-public"] = table.id


def _nat_gateway(engine: "Engine") -> None:
    backend, ids = engine.backend, engine.backend.seeded
    if ids.get("nat-gateway") in backend.nat_gateways:
        return
    address = backend.allocate_address("vpc")
    gateway = backend.create_nat_gateway(ids["subnet-public"], address.allocation_id)
    ids["nat-gateway"] = gateway.id
    table = backend.create_route_table(ids["vpc"])
    backend.create_route(table.id, "0.0.0.0/0", nat_gateway_id=gateway.id)
    for name in ("subnet-a", "subnet-b"):
        backend.associate_route_table(table.id, subnet_id=ids[name])
    ids["routes-private"] = table.id


def _admit_host(engine: "Engine") -> None:
    assert engine.network is not None
    host = f"{engine.network.network.host_address}/32"
    group = engine.backend.get_security_group_from_id(engine.backend.seeded["group"])
    if group and not any(rule.ip_range.get("CidrIp") == host for rule in group.ingress_rules):
        engine.backend.authorize_security_group_ingress(
            group.id, "-1", None, None, [{"CidrIp": host, "Description": "A hub on this computer"}]
        )
