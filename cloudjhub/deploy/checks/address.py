"""From where the manager may be reached by SSH, and whether its domain leads anywhere."""

import ipaddress
import socket

from cloudjhub.deploy import own_address
from cloudjhub.deploy.checks.world import World
from cloudjhub.deploy.findings import Finding, note

_TOO_WIDE_PREFIX = {4: 8, 6: 32}


def check(world: World) -> list[Finding]:
    return [*_ssh_from(world), *_domain(world)]


def _ssh_from(world: World) -> list[Finding]:
    if not world.settings.ssh_from:
        found = own_address.find(world.settings.endpoint_url)
        remedy = "Say --ssh_from with your network, such as 192.0.2.7/32."
        what = "this computer's public address could not be found out."
        return [] if found else [Finding(what, "SSH_FROM", remedy)]
    return network_findings(world.settings.ssh_from)


def network_findings(ssh_from: str) -> list[Finding]:
    """Whether it is a network, and not half the world."""
    where = f"SSH_FROM {ssh_from}"
    try:
        network = ipaddress.ip_network(ssh_from)
    except ValueError as error:
        return [Finding(f"is no network: {error}.", where, "Write it as 192.0.2.7/32.")]
    if network.prefixlen < _TOO_WIDE_PREFIX[network.version]:
        what = f"lets {network.num_addresses:,} addresses knock at the manager's SSH."
        return [note(what, where, "A smaller network is safer.")]
    return []


def _domain(world: World) -> list[Finding]:
    domain = world.settings.domain
    if not domain:
        return []
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(domain, 443)}
    except OSError:
        what = "has no address yet."
        remedy = "The launch says which to enter in DNS; HTTPS works once it is known there."
        return [note(what, f"DOMAIN {domain}", remedy)]
    if found & {manager.public_ip for manager in world.managers}:
        return []
    what = f"leads to {', '.join(sorted(map(str, found)))}."
    remedy = "The manager gets an address of its own; change DNS when the launch names it."
    return [note(what, f"DOMAIN {domain}", remedy)]
