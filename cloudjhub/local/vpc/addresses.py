"""Every address of a VPC on this computer, from one number: nothing is looked up."""

import ipaddress
from dataclasses import dataclass
from functools import cached_property

FIRST_NUMBER = 64
#: local EC2s with a VPC of their own that can run at once
NUMBERS = 64
#: RFC 2544, for benchmarks: not in use on the Internet. The ranges for documentation would be the
#: usual choice, but closed networks give them to package mirrors. Each VPC takes a /24.
_PUBLIC = "198.19.{number}.0/24"
#: what the host looks like from outside
_OUTSIDE = ipaddress.ip_network("198.18.255.0/24")

METADATA = "169.254.169.254"
#: EC2's own name server, at either address
NAME_SERVER = "169.254.169.253"


@dataclass(frozen=True)
class Addresses:
    """``number`` is the N of 10.N.0.0/16, from 64 to 127.

    ``router`` and ``host`` are the ends of the one link between namespace and host. The host
    uses ``host`` as a neighbour inside the VPC, and ``outside`` towards public addresses.
    """

    number: int

    @property
    def vpc(self) -> str:
        return f"10.{self.number}.0.0/16"

    @property
    def router(self) -> str:
        return f"10.{self.number}.255.1"

    @property
    def host(self) -> str:
        return f"10.{self.number}.255.2"

    @property
    def outside(self) -> str:
        return str(_OUTSIDE[self.number])

    @property
    def name_server(self) -> str:
        """The VPC's base address plus two, as on AWS."""
        return f"10.{self.number}.0.2"

    @cached_property
    def public(self) -> ipaddress.IPv4Network:
        return ipaddress.IPv4Network(_PUBLIC.format(number=self.number))

    def can_host(self, cidr: str) -> bool:
        """Whether machines can have the addresses of this subnet."""
        wanted = ipaddress.ip_network(cidr)
        reserved = ipaddress.ip_network(f"10.{self.number}.255.0/24")
        inside = wanted.version == 4 and wanted.subnet_of(ipaddress.ip_network(self.vpc))
        return inside and not wanted.overlaps(reserved)

    def ranges(self) -> list[ipaddress.IPv4Network]:
        """What the host must not use for anything else."""
        return [
            ipaddress.IPv4Network(self.vpc),
            self.public,
            ipaddress.IPv4Network(self.outside),
        ]
