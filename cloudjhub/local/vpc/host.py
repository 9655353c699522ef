"""The host's side of a VPC: one link into its namespace, routes, and what may pass."""

from collections.abc import Iterable

from cloudjhub.local.vpc import leftovers
from cloudjhub.local.vpc.addresses import Addresses
from cloudjhub.local.vpc.commands import ip, nft

#: the namespace's end of the link
UPLINK = "uplink"


def connect(vpc_id: str, addresses: Addresses) -> None:
    """Links the namespace to the host.

    The host reaches private addresses as a neighbour of the VPC, and public ones as somebody
    outside: the route says which of its addresses it uses.
    """
    interface, namespace = leftovers.host_interface(vpc_id), leftovers.namespace(vpc_id)
    leftovers.need_forwarding(vpc_id)
    leftovers.pass_firewall(vpc_id)
    ip(
        [
            f"link add {interface} type veth peer name {UPLINK} netns {namespace}",
            f"address add {addresses.host} peer {addresses.router}/32 dev {interface}",
            f"address add {addresses.outside}/32 dev {interface}",
            f"link set {interface} up",
            f"route add {addresses.vpc} via {addresses.router} src {addresses.host}",
            f"route add {addresses.public} via {addresses.router} src {addresses.outside}",
        ]
    )


def admit(vpc_id: str, addresses: Addresses, ports: Iterable[int]) -> None:
    """Says which TCP ports of the host machines reach; replaces what was said before."""
    nft(ruleset(vpc_id, addresses, sorted(set(ports))))


def ruleset(vpc_id: str, addresses: Addresses, ports: list[int]) -> str:
    """The host's own table: translation on the way out, and nothing in but what is admitted.

    Other tables of the host may still drop what this one accepts.
    """
    table, interface = leftovers.host_table(vpc_id), leftovers.host_interface(vpc_id)
    admitted = (
        f"ip daddr {addresses.host} tcp dport {{ {', '.join(map(str, ports))} }} accept"
        if ports
        else ""
    )
    return f"""
table inet {table} {{ }}
delete table inet {table}
table inet {table} {{
  chain input {{
    type filter hook input priority filter; policy accept;
    iifname != "{interface}" accept
    ct state established,related accept
    {admitted}
    drop
  }}
  chain forward {{
    type filter hook forward priority filter; policy accept;
    oifname "{interface}" iifname != "{interface}" ip daddr != {addresses.public} ct state new drop
    iifname "{interface}" ip saddr != {{ {addresses.public}, {addresses.router} }} drop
    iifname "{interface}" meta nfproto ipv6 drop
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    oifname "{interface}" accept
    ip saddr {{ {addresses.public}, {addresses.router} }} oifname != "cj*" masquerade
  }}
}}
"""
