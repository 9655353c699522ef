"""What the rules of a VPC are made from: plain values, whoever they come from."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Permission:
    """One rule of a security group. Whom it admits is ``cidr`` or the members of ``group``.

    ``protocol`` is ``tcp``, ``udp``, ``icmp``, another's number, or ``-1`` for all. ``first`` and
    ``last`` are ports, or type and code for icmp, where -1 is any; None where there are none.
    """

    protocol: str
    first: int | None = None
    last: int | None = None
    cidr: str = ""
    group: str = ""


@dataclass(frozen=True)
class Group:
    """A security group: what may come in, and what may go out."""

    ingress: tuple[Permission, ...] = ()
    egress: tuple[Permission, ...] = ()


@dataclass(frozen=True)
class Route:
    """``target`` is a VPC's id, ``internet``, the public address of a NAT gateway, or ``""``.

    A VPC's id is the way to all who are in it. The last is a route that leads nowhere, as to a
    gateway that is gone.
    """

    cidr: str
    target: str

    @property
    def is_local(self) -> bool:
        return self.target.startswith("vpc-")


@dataclass(frozen=True)
class Interface:
    """A machine in the network. ``device`` is the router's end of its link."""

    device: str
    address: str
    vpc: str
    groups: tuple[str, ...] = ()
    routes: tuple[Route, ...] = ()
    public_address: str | None = None

    @property
    def reaches_internet_gateway(self) -> bool:
        return any(route.target == "internet" for route in self.routes)


@dataclass(frozen=True)
class Model:
    """The network at one moment."""

    interfaces: tuple[Interface, ...] = ()
    groups: Mapping[str, Group] = field(default_factory=dict)
    #: where the VPC's name server asks; None where the host has none that can be reached
    name_server: str | None = None
