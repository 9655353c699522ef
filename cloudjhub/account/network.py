"""VPCs, subnets and where their traffic goes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cloudjhub.account.filters import matching
from cloudjhub.aws import Service

EVERYWHERE = "0.0.0.0/0"


@dataclass(frozen=True)
class Subnet:
    """One subnet."""

    id: str
    vpc_id: str
    zone: str
    cidr: str
    free_addresses: int


@dataclass(frozen=True)
class Route:
    """Where one destination goes."""

    destination: str
    target: str  # igw-..., nat-..., eni-..., "local", ...
    state: str  # active or blackhole


def subnets(ec2: Service, subnet_ids: list[str]) -> dict[str, Subnet]:
    """By id; those that do not exist are left out."""
    pages = ec2.pages("describe_subnets", Filters=[matching("subnet-id", *subnet_ids)])
    found = [_subnet(raw) for page in pages for raw in page["Subnets"]]
    return {subnet.id: subnet for subnet in found}


def default_route(ec2: Service, subnet: Subnet) -> Route | None:
    """The route to everywhere else; None where there is none.

    A subnet without a route table of its own has its VPC's main one.
    """
    own = _tables(ec2, matching("association.subnet-id", subnet.id))
    tables = own or _tables(
        ec2, matching("vpc-id", subnet.vpc_id), matching("association.main", "true")
    )
    routes = [_route(raw) for table in tables for raw in table.get("Routes", [])]
    return next((route for route in routes if route.destination == EVERYWHERE), None)


def nat_state(ec2: Service, nat_id: str) -> str:
    """State of a NAT gateway, "" where there is none."""
    pages = ec2.pages("describe_nat_gateways", Filter=[matching("nat-gateway-id", nat_id)])
    return next((raw["State"] for page in pages for raw in page["NatGateways"]), "")


def _tables(ec2: Service, *filters: dict[str, Any]) -> list[dict[str, Any]]:
    pages = ec2.pages("describe_route_tables", Filters=list(filters))
    return [table for page in pages for table in page["RouteTables"]]


def _subnet(raw: Mapping[str, Any]) -> Subnet:
    return Subnet(
        id=raw["SubnetId"],
        vpc_id=raw["VpcId"],
        zone=raw["AvailabilityZone"],
        cidr=raw["CidrBlock"],
        free_addresses=raw["AvailableIpAddressCount"],
    )


def _route(raw: Mapping[str, Any]) -> Route:
    targets = ("GatewayId", "NatGatewayId", "TransitGatewayId", "NetworkInterfaceId", "InstanceId")
    target = next((raw[name] for name in targets if raw.get(name)), "")
    return Route(raw.get("DestinationCidrBlock", ""), target, raw.get("State", "active"))
