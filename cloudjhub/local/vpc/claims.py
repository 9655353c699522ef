"""Which 10.N.0.0/16 is ours: local EC2s on one computer share neither VPC nor public addresses."""

import ipaddress
import json
from typing import IO

from cloudjhub.local.settings import LocalEC2Error
from cloudjhub.local.vpc import leftovers
from cloudjhub.local.vpc.addresses import FIRST_NUMBER, NUMBERS, Addresses
from cloudjhub.local.vpc.commands import run


class Claim:
    """The addresses, ours until :meth:`close` or the end of this process."""

    def __init__(self, addresses: Addresses, held: IO[str]):
        self.addresses = addresses
        self._held = held

    def close(self) -> None:
        leftovers.unlock(self._held)


def claim(number: int | None, start: int = 0) -> Claim:
    """The VPC of that number, or any free one. Raises LocalEC2Error.

    Those who begin to look at different places leave one another's numbers free: one that has
    ended needs its own again when it goes on.
    """
    routed = routed_ranges()
    everywhere = [FIRST_NUMBER + (start + n) % NUMBERS for n in range(NUMBERS)]
    for candidate in everywhere if number is None else [number]:
        addresses = Addresses(candidate)
        if overlapping(addresses, routed):
            continue
        if held := leftovers.lock(f"vpc-{candidate}", wait=False):
            return Claim(addresses, held)
    if number is None:
        raise LocalEC2Error(
            f"Every network from 10.{FIRST_NUMBER} to 10.{FIRST_NUMBER + NUMBERS - 1} is taken, "
            "by other local EC2s or by this computer's routes.",
            "Stop another local EC2.",
        )
    taken = overlapping(Addresses(number), routed)
    raise LocalEC2Error(
        f"This local EC2's machines have addresses in 10.{number}.0.0/16, and "
        + (f"this computer already routes {taken[0]}." if taken else "another local EC2 uses it."),
        "End that use of it, or begin with a new state folder.",
    )


def overlapping(
    addresses: Addresses, routed: list[ipaddress.IPv4Network]
) -> list[ipaddress.IPv4Network]:
    """The routes that are in the way; the default route is not."""
    return [
        route
        for route in routed
        if route.prefixlen and any(route.overlaps(wanted) for wanted in addresses.ranges())
    ]


def routed_ranges() -> list[ipaddress.IPv4Network]:
    """Every destination this computer has a route to, in any table."""
    routes = json.loads(run("ip", "-4", "-json", "route", "show", "table", "all") or "[]")
    return [
        ipaddress.IPv4Network("0.0.0.0/0" if route["dst"] == "default" else route["dst"])
        for route in routes
    ]
