"""The rules of a VPC's namespace as text for nft: built from a :class:`Model`, pure.

A packet of a new connection from a machine passes, one after the other,

1. ``sources``: it comes from the machine that has its source address,
2. ``egress``: one of the machine's security groups lets it out,
3. ``routes``: the subnet's route table knows a way,
4. ``ingress``, if that way ends at a machine here: one of its groups lets it in.

Nothing says "drop" on the way: the forward chain's policy does. Machines with the same groups share
chains, so the text grows with kinds of machines and only the sets with machines.
"""

from collections.abc import Callable, Iterable, Mapping

from cloudjhub.local.vpc.addresses import METADATA, NAME_SERVER, Addresses
from cloudjhub.local.vpc.host import UPLINK
from cloudjhub.local.vpc.model import Interface, Model, Permission, Route

TABLE = "vpc"
#: packet mark of what leaves by the machine's own public address
_OWN_ADDRESS = 1


def ruleset(model: Model, addresses: Addresses) -> str:
    """The whole table, replacing the one before in one step."""
    parts = [
        *_sets(model, addresses),
        *_entrance(addresses),
        *_forwarding(model, addresses),
        *_translation(model, addresses),
        *_group_chains(model),
        *_route_chains(model),
    ]
    return f"table inet {TABLE} {{ }}\ndelete table inet {TABLE}\ntable inet {TABLE} {{\n" + (
        "\n".join(parts) + "\n}\n"
    )


# -- sets ----------------------------------------------------------------------------------------


def _sets(model: Model, addresses: Addresses) -> list[str]:
    here = model.interfaces
    public = [i for i in here if i.public_address and i.reaches_internet_gateway]
    classes = _classes(here, lambda i: i.groups)
    routes = _classes(here, lambda i: i.routes)
    out = [f"{i.address} : goto out_{classes[i.groups]}_{routes[i.routes]}" for i in here]
    return [
        _collection("set", "sources", "ifname . ipv4_addr", _sources(here)),
        _collection("map", "inward", *_addresses(public, "{public} : {private}")),
        _collection("map", "outward", *_addresses(public, "{private} : {public}")),
        _collection("set", "with_address", "ipv4_addr", [i.address for i in public]),
        _collection("map", "egress", "ipv4_addr : verdict", out),
        _collection(
            "map",
            "ingress",
            "ipv4_addr : verdict",
            [f"{i.address} : goto in_{classes[i.groups]}" for i in here],
        ),
        *(
            _collection("set", _name(group), "ipv4_addr", _members(here, group))
            for group in sorted(model.groups)
        ),
        *(
            # The host is everybody's neighbour.
            _collection("set", _name(vpc), "ipv4_addr", [addresses.host, *_inhabitants(here, vpc)])
            for vpc in sorted(_vpcs(model))
        ),
    ]


def _collection(kind: str, name: str, type_: str, elements: Iterable[str]) -> str:
    content = ", ".join(elements)
    listed = f" elements = {{ {content} }};" if content else ""
    return f"  {kind} {name} {{ type {type_};{listed} }}"


def _sources(interfaces: Iterable[Interface]) -> list[str]:
    return [f'"{i.device}" . {i.address}' for i in interfaces]


def _addresses(interfaces: Iterable[Interface], form: str) -> tuple[str, list[str]]:
    pairs = [form.format(public=i.public_address, private=i.address) for i in interfaces]
    return "ipv4_addr : ipv4_addr", pairs


def _members(interfaces: Iterable[Interface], group: str) -> list[str]:
    return [i.address for i in interfaces if group in i.groups]


def _vpcs(model: Model) -> set[str]:
    return {route.target for i in model.interfaces for route in i.routes if route.is_local}


def _inhabitants(interfaces: Iterable[Interface], vpc: str) -> list[str]:
    return [i.address for i in interfaces if i.vpc == vpc]


def _classes(interfaces: Iterable[Interface], key: Callable[[Interface], tuple]) -> dict:
    """A number for every distinct key, in order of appearance."""
    return {value: n for n, value in enumerate(dict.fromkeys(key(i) for i in interfaces))}


# -- chains --------------------------------------------------------------------------------------


def _entrance(addresses: Addresses) -> list[str]:
    """What may come as it claims to, and what may ask the router itself."""
    return [
        _chain(
            "spoofing",
            "type filter hook prerouting priority raw; policy accept;",
            'iifname "lo" accept',
            "meta nfproto ipv6 drop",
            f'iifname "{UPLINK}" ip daddr 169.254.0.0/16 drop',
            f'iifname "{UPLINK}" ip saddr {addresses.host} accept',
            # Nobody else outside has an address of the VPC.
            f'iifname "{UPLINK}" ip saddr {addresses.vpc} drop',
            f'iifname "{UPLINK}" accept',
            "iifname . ip saddr != @sources drop",
        ),
        _chain(
            "services",
            "type filter hook input priority filter; policy drop;",
            "ct state established,related accept",
            f'iifname != "{UPLINK}" ip daddr {METADATA} tcp dport 80 accept',
        ),
    ]


def _forwarding(model: Model, addresses: Addresses) -> list[str]:
    """The way of a packet from its sender to the chains of groups and routes."""
    server = model.name_server
    names = f'ct status dnat oifname "{UPLINK}" ip daddr {server} accept' if server else ""
    return [
        _chain(
            "traffic",
            "type filter hook forward priority filter; policy drop;",
            "ct state invalid drop",
            "ct state established,related accept",
            f'iifname "{UPLINK}" goto from_host',
            names,
            "ip saddr vmap @egress",
        ),
        _chain(
            # By a public address, or from the host as a neighbour; nothing else from out there.
            "from_host",
            "ct status dnat ip daddr vmap @ingress",
            f"ip saddr {addresses.host} ip daddr vmap @ingress",
        ),
        _chain(
            "to_neighbour",
            f'oifname "{UPLINK}" ip daddr {addresses.host} accept',
            "ip daddr vmap @ingress",
        ),
    ]


def _translation(model: Model, addresses: Addresses) -> list[str]:
    """Public addresses for private ones, and back; the VPC's name server for the host's."""
    asked = f"{{ {NAME_SERVER}, {addresses.name_server} }} meta l4proto {{ tcp, udp }} th dport 53"
    server = model.name_server
    return [
        _chain(
            "inward_addresses",
            "type nat hook prerouting priority dstnat; policy accept;",
            f'iifname "{UPLINK}" dnat ip to ip daddr map @inward',
            f'iifname != "{UPLINK}" ip daddr {asked} dnat ip to {server}' if server else "",
        ),
        _chain(
            "outward_addresses",
            "type nat hook postrouting priority srcnat; policy accept;",
            f'oifname != "{UPLINK}" accept',
            "ct status dnat masquerade",
            f"meta mark {_OWN_ADDRESS} snat ip to ip saddr map @outward",
            *(f"meta mark {mark} snat ip to {nat}" for nat, mark in _nat_marks(model).items()),
        ),
    ]


def _group_chains(model: Model) -> list[str]:
    here = model.interfaces
    classes, routes = _classes(here, lambda i: i.groups), _classes(here, lambda i: i.routes)
    chains = [
        _chain(f"in_{number}", *_matches(model, groups, "ingress", "accept"))
        for groups, number in classes.items()
    ]
    for groups, table in dict.fromkeys((i.groups, i.routes) for i in here):
        number = f"{classes[groups]}_{routes[table]}"
        verdict = f"goto routes_{routes[table]}"
        chains.append(_chain(f"out_{number}", *_matches(model, groups, "egress", verdict)))
    return chains


def _matches(model: Model, groups: tuple[str, ...], way: str, verdict: str) -> list[str]:
    permissions = [
        permission
        for group in groups
        if group in model.groups
        for permission in getattr(model.groups[group], way)
    ]
    side = "saddr" if way == "ingress" else "daddr"
    found = [match(permission, side, model.groups) for permission in permissions]
    return [f"{text} {verdict}".strip() for text in dict.fromkeys(found) if text is not None]


def match(permission: Permission, side: str, groups: Mapping[str, object]) -> str | None:
    """The packets a permission is about; ``side`` is saddr or daddr. None: about none here."""
    if permission.group:
        if permission.group not in groups:
            return None
        who = f"ip {side} @{_name(permission.group)} "
    elif not permission.cidr or ":" in permission.cidr:
        return None
    else:
        who = "" if permission.cidr.endswith("/0") else f"ip {side} {permission.cidr} "
    return (who + _what(permission)).strip()


def _what(permission: Permission) -> str:
    protocol, first, last = permission.protocol, permission.first, permission.last
    if protocol == "-1":
        return ""
    if protocol in ("tcp", "udp"):
        if first in (None, -1) or (first, last) == (0, 65535):
            return f"meta l4proto {protocol}"
        return f"{protocol} dport {first}" + (f"-{last}" if last != first else "")
    if protocol == "icmp":
        if first in (None, -1):
            return "meta l4proto icmp"
        return f"icmp type {first}" + (f" icmp code {last}" if last not in (None, -1) else "")
    return f"meta l4proto {protocol}"


def _route_chains(model: Model) -> list[str]:
    marks = _nat_marks(model)
    return [
        _chain(f"routes_{number}", *(_way(route, marks) for route in _longest_first(table)))
        for table, number in _classes(model.interfaces, lambda i: i.routes).items()
    ]


def _way(route: Route, marks: Mapping[str, int]) -> str:
    to = "" if route.cidr.endswith("/0") else f"ip daddr {route.cidr} "
    if route.is_local:
        # VPCs may have the same addresses: who is in another is not there.
        return f"{to}ip daddr @{_name(route.target)} goto to_neighbour"
    if route.target == "internet":
        return f'{to}oifname "{UPLINK}" ip saddr @with_address meta mark set {_OWN_ADDRESS} accept'
    if route.target in marks:
        return f'{to}oifname "{UPLINK}" meta mark set {marks[route.target]} accept'
    return f"{to}drop"


def _longest_first(table: tuple[Route, ...]) -> list[Route]:
    return sorted(table, key=lambda route: -int(route.cidr.partition("/")[2]))


def _nat_marks(model: Model) -> dict[str, int]:
    targets = {route.target for i in model.interfaces for route in i.routes}
    gateways = sorted(targets - _vpcs(model) - {"internet", ""})
    return {gateway: _OWN_ADDRESS + 1 + n for n, gateway in enumerate(gateways)}


def _chain(name: str, *lines: str) -> str:
    return f"  chain {name} {{\n" + "".join(f"    {line}\n" for line in lines if line) + "  }"


def _name(group: str) -> str:
    """A group's id as nft takes it for a name."""
    return group.replace("-", "_")
