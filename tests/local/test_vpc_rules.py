"""From groups and routes to nft's text, without a network."""

import ipaddress
import shutil
import subprocess

import pytest

from cloudjhub.local.vpc import claims, resolver, rules
from cloudjhub.local.vpc.addresses import FIRST_NUMBER, NUMBERS, Addresses
from cloudjhub.local.vpc.host import ruleset as host_ruleset
from cloudjhub.local.vpc.model import Group, Interface, Model, Permission, Route

PLAN = Addresses(70)
EVERYTHING = Permission("-1", cidr="0.0.0.0/0")
OPEN = Group(ingress=(EVERYTHING,), egress=(EVERYTHING,))
LOCAL = Route("10.70.0.0/16", "vpc-a")


def chains(model: Model) -> dict[str, list[str]]:
    """The lines of every chain, by name."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in rules.ruleset(model, PLAN).splitlines():
        words = line.split()
        if words[:1] == ["chain"]:
            name = words[1]
            found[name] = []
        elif line.startswith("    "):
            found[name].append(line.strip())
    return found


def machine(number: int, *groups: str, **more) -> Interface:
    common = {"vpc": "vpc-a", "routes": (LOCAL,)}
    return Interface(f"m{number}", f"10.70.0.{number}", groups=groups, **common | more)


@pytest.mark.parametrize(
    ("permission", "expected"),
    [
        (Permission("tcp", 22, 22, cidr="10.0.0.1/32"), "ip saddr 10.0.0.1/32 tcp dport 22"),
        (Permission("tcp", 80, 90, cidr="0.0.0.0/0"), "tcp dport 80-90"),
        (Permission("udp", 0, 65535, cidr="0.0.0.0/0"), "meta l4proto udp"),
        (Permission("tcp", 0, 0, cidr="0.0.0.0/0"), "tcp dport 0"),
        (Permission("-1", cidr="0.0.0.0/0"), ""),
        (Permission("-1", group="sg-a"), "ip saddr @sg_a"),
        (Permission("icmp", -1, -1, cidr="0.0.0.0/0"), "meta l4proto icmp"),
        (Permission("icmp", 8, -1, cidr="0.0.0.0/0"), "icmp type 8"),
        (Permission("icmp", 3, 4, cidr="0.0.0.0/0"), "icmp type 3 icmp code 4"),
        (Permission("50", cidr="10.0.0.0/8"), "ip saddr 10.0.0.0/8 meta l4proto 50"),
        # About nobody here: another group's members, and IPv6.
        (Permission("tcp", 22, 22, group="sg-gone"), None),
        (Permission("tcp", 22, 22, cidr="::/0"), None),
        (Permission("tcp", 22, 22), None),
    ],
)
def test_a_permission_is_a_match(permission: Permission, expected: str | None):
    assert rules.match(permission, "saddr", {"sg-a": OPEN}) == expected


def test_egress_is_about_where_a_packet_goes():
    assert rules.match(Permission("-1", group="sg-a"), "daddr", {"sg-a": OPEN}) == "ip daddr @sg_a"


def test_a_group_without_rules_lets_nothing_in_and_nothing_out():
    found = chains(Model((machine(4, "sg-a"),), {"sg-a": Group()}))
    assert found["in_0"] == [] and found["out_0_0"] == []
    assert "policy drop;" in found["traffic"][0]


def test_machines_of_the_same_groups_share_their_chains():
    many = tuple(machine(number, "sg-a") for number in range(4, 200))
    text = rules.ruleset(Model(many, {"sg-a": OPEN}), PLAN)
    assert text.count("chain in_") == 1
    assert len(text.splitlines()) < 100


def test_what_several_groups_admit_is_admitted_once():
    ssh = Group(ingress=(Permission("tcp", 22, 22, cidr="0.0.0.0/0"),))
    found = chains(Model((machine(4, "sg-a", "sg-b"),), {"sg-a": ssh, "sg-b": ssh}))
    assert found["in_0"] == ["tcp dport 22 accept"]


def test_the_most_specific_route_comes_first():
    table = (Route("0.0.0.0/0", "198.19.70.97"), LOCAL, Route("192.0.2.0/24", ""))
    found = chains(Model((machine(4, "sg-a", routes=table),), {"sg-a": OPEN}))
    assert found["routes_0"] == [
        "ip daddr 192.0.2.0/24 drop",
        "ip daddr 10.70.0.0/16 ip daddr @vpc_a goto to_neighbour",
        'oifname "uplink" meta mark set 2 accept',
    ]
    assert "meta mark 2 snat ip to 198.19.70.97" in found["outward_addresses"]


def test_a_vpc_with_the_same_addresses_is_another_network():
    twin = machine(5, "sg-a", vpc="vpc-b", routes=(Route(LOCAL.cidr, "vpc-b"),))
    text = rules.ruleset(Model((machine(4, "sg-a"), twin), {"sg-a": OPEN}), PLAN)
    assert f"set vpc_a {{ type ipv4_addr; elements = {{ {PLAN.host}, 10.70.0.4 }}; }}" in text
    assert f"set vpc_b {{ type ipv4_addr; elements = {{ {PLAN.host}, 10.70.0.5 }}; }}" in text


def test_a_public_address_counts_only_with_a_route_to_the_internet():
    internet = (LOCAL, Route("0.0.0.0/0", "internet"))
    inside = machine(4, "sg-a", public_address="198.19.70.98")
    outside = machine(5, "sg-a", public_address="198.19.70.99", routes=internet)
    text = rules.ruleset(Model((inside, outside), {"sg-a": OPEN}), PLAN)
    assert "198.19.70.99 : 10.70.0.5" in text and "10.70.0.5 : 198.19.70.99" in text
    assert "198.19.70.98" not in text


def test_the_same_network_is_the_same_text():
    model = Model((machine(4, "sg-b", "sg-a"),), {"sg-b": OPEN, "sg-a": OPEN})
    assert rules.ruleset(model, PLAN) == rules.ruleset(model, PLAN)


@pytest.mark.skipif(shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin") is None, reason="no nft")
def test_nft_understands_the_text():
    table = (LOCAL, Route("0.0.0.0/0", "198.19.70.97"), Route("192.0.2.0/24", ""))
    odd = (
        Permission("icmp", 3, 4, cidr="10.0.0.0/8"),
        Permission("50", cidr="10.0.0.0/8"),
        Permission("udp", 1, 2, group="sg-a"),
    )
    model = Model(
        (machine(4, "sg-a", "sg-b", routes=table, public_address="198.19.70.98"),),
        {"sg-a": OPEN, "sg-b": Group(ingress=odd, egress=odd)},
        name_server="192.0.2.53",
    )
    for text in (
        rules.ruleset(model, PLAN),
        rules.ruleset(Model(), PLAN),
        host_ruleset("0123abcd", PLAN, [80, 5000]),
        host_ruleset("0123abcd", PLAN, []),
    ):
        done = subprocess.run(
            ["unshare", "-Urn", "nft", "--check", "-f", "-"],
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )
        if "unshare" in done.stderr:
            pytest.skip(done.stderr)
        assert done.returncode == 0, f"{done.stderr}\n{text}"


# -- addresses -------------------------------------------------------------------------------------


def test_no_two_networks_share_an_address():
    plans = [Addresses(number) for number in range(FIRST_NUMBER, FIRST_NUMBER + NUMBERS)]
    ranges = [(plan.number, part) for plan in plans for part in plan.ranges()]
    for number, part in ranges:
        assert not [n for n, other in ranges if n != number and part.overlaps(other)]


def test_machines_are_put_only_where_the_network_is():
    assert PLAN.can_host("10.70.16.0/20")
    assert not PLAN.can_host("10.71.16.0/20")
    # There is the host.
    assert not PLAN.can_host("10.70.255.0/24")
    assert not PLAN.can_host("10.70.240.0/20")


def test_a_network_that_is_routed_elsewhere_is_not_ours():
    default = ipaddress.IPv4Network("0.0.0.0/0")
    for text in ("10.70.3.0/24", "10.0.0.0/8", "198.19.0.0/16", "198.18.255.70/32"):
        route = ipaddress.IPv4Network(text)
        assert claims.overlapping(PLAN, [default, route]) == [route]
    assert not claims.overlapping(PLAN, [default, ipaddress.IPv4Network("10.71.0.0/16")])


def test_the_name_server_is_one_that_machines_can_reach(tmp_path):
    stub, real = tmp_path / "stub", tmp_path / "real"
    stub.write_text("search example.org\nnameserver 127.0.0.53\nnameserver ::1\n")
    real.write_text("# by hand\nnameserver fe80::1\nnameserver 192.0.2.53\n")
    assert resolver.upstream([stub, real]) == "192.0.2.53"
    assert resolver.upstream([stub, tmp_path / "nothing"]) is None
