"""The network of machines that boot: who reaches whom, and as whom."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from local.clouds import code_of
from machines.peers import HOST, Listener, Place, Vpc, local_ec2, tcp
from machines.test_network_leftovers import traces

from cloudjhub.local.vpc.addresses import METADATA

pytestmark = pytest.mark.slow

#: RFC 2544: nobody's on the Internet either
WORLD, GATEWAY = "198.18.77.2", "198.18.77.1"


@pytest.fixture(scope="module")
def vpc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vpc]:
    with local_ec2(tmp_path_factory.mktemp("network") / "state") as made:
        yield made


@pytest.fixture(scope="module")
def world() -> Iterator[Place]:
    """Somebody on the other side of this host, who listens."""
    name, device = "cloudjhub-test-world", "testworld"
    remove_world(name, device)
    for command in (
        f"netns add {name}",
        f"link add {device} type veth peer name eth0 netns {name}",
        f"address add {GATEWAY}/30 dev {device}",
        f"link set {device} up",
        f"-n {name} address add {WORLD}/30 dev eth0",
        f"-n {name} link set eth0 up",
        f"-n {name} link set lo up",
    ):
        subprocess.run(["ip", *command.split()], check=True, capture_output=True)
    listener = Listener(name)
    yield Place(name)
    listener.close()
    remove_world(name, device)


def remove_world(name: str, device: str) -> None:
    for command in (["link", "delete", device], ["netns", "delete", name]):
        subprocess.run(["ip", *command], check=False, capture_output=True)


def everybody(vpc: Vpc) -> str:
    return vpc.group(tcp(22))


# -- the host's two parts --------------------------------------------------------------------------


def test_the_host_is_a_neighbour_at_private_addresses(vpc: Vpc):
    machine = vpc.machine(everybody(vpc))
    assert HOST.seen_as(machine.address) == vpc.network.host_address


def test_the_host_is_somebody_outside_at_public_addresses(vpc: Vpc):
    machine = vpc.machine(everybody(vpc), public=True)
    public = vpc.public_address(machine.id)
    assert HOST.seen_as(public) == vpc.network.addresses.outside


def test_private_addresses_are_not_reached_from_outside(vpc: Vpc):
    machine = vpc.machine(everybody(vpc), public=True)
    outside = vpc.network.addresses.outside
    assert HOST.seen_as(vpc.public_address(machine.id), source=outside) == outside
    assert not HOST.reaches(machine.address, source=outside)


# -- machines among themselves ---------------------------------------------------------------------


def test_machines_see_each_others_private_addresses(vpc: Vpc):
    group = everybody(vpc)
    first, second = vpc.machines(2, group)
    elsewhere = vpc.machine(group, public=True)
    assert first.seen_as(second.address) == first.address
    assert elsewhere.seen_as(first.address) == elsewhere.address


def test_a_public_address_is_reached_by_machines_as_from_outside(vpc: Vpc):
    group = everybody(vpc)
    with_own, other = vpc.machines(2, group, public=True)
    private = vpc.machine(group)
    goal = vpc.public_address(other.id)
    assert with_own.seen_as(goal) == vpc.public_address(with_own.id)
    gateways = vpc.api.describe_nat_gateways()["NatGateways"]
    assert private.seen_as(goal) == gateways[0]["NatGatewayAddresses"][0]["PublicIp"]


def test_a_machine_cannot_send_as_another(vpc: Vpc):
    group = everybody(vpc)
    liar, victim, goal = vpc.machines(3, group)
    assert liar.seen_as(goal.address) == liar.address
    subprocess.run(
        ["ip", "-n", liar.namespace, "address", "add", f"{victim.address}/32", "dev", "host0"],
        check=True,
    )
    assert not liar.reaches(goal.address, source=victim.address)
    assert not liar.reaches(METADATA, 80, source=victim.address)


# -- the way out -----------------------------------------------------------------------------------


def test_a_private_subnet_reaches_the_world_through_its_gateway_only(vpc: Vpc, world: Place):
    machine = vpc.machine()
    # The world sees this host, which translates once more.
    assert machine.seen_as(WORLD) == GATEWAY
    route = {"RouteTableId": vpc.ids["routes-private"], "DestinationCidrBlock": "0.0.0.0/0"}
    vpc.api.delete_route(**route)
    try:
        assert not machine.reaches(WORLD)
    finally:
        vpc.api.create_route(**route, NatGatewayId=vpc.ids["nat-gateway"])
    assert machine.seen_as(WORLD) == GATEWAY


def test_a_public_subnet_is_of_no_use_without_a_public_address(vpc: Vpc, world: Place):
    assert vpc.machine(public=True).seen_as(WORLD) == GATEWAY
    hidden = vpc.machine(
        NetworkInterfaces=[
            {
                "DeviceIndex": 0,
                "SubnetId": vpc.ids["subnet-public"],
                "AssociatePublicIpAddress": False,
            }
        ]
    )
    assert not hidden.reaches(WORLD)


def test_a_subnet_without_a_way_to_the_internet_is_not_reached_from_it(vpc: Vpc):
    private = {
        "DeviceIndex": 0,
        "SubnetId": vpc.ids["subnet-a"],
        "AssociatePublicIpAddress": True,
        "Groups": [everybody(vpc)],
    }
    machine = vpc.machine(NetworkInterfaces=[private])
    assert HOST.seen_as(machine.address) == vpc.network.host_address
    assert not HOST.reaches(vpc.public_address(machine.id))


# -- Elastic IPs -----------------------------------------------------------------------------------


def test_an_elastic_ip_moves_from_machine_to_machine(vpc: Vpc):
    first, second = vpc.machines(2, everybody(vpc), public=True)
    address = vpc.api.allocate_address(Domain="vpc")
    goal, allocation = address["PublicIp"], address["AllocationId"]
    assert not HOST.reaches(goal)
    for machine in (first, second):
        vpc.api.associate_address(AllocationId=allocation, InstanceId=machine.id)
        assert vpc.public_address(machine.id) == goal
        # It takes the place of the address from the launch, also for what goes out.
        assert HOST.seen_as(goal) == vpc.network.addresses.outside
        other = first if machine is second else second
        assert vpc.public_address(other.id) not in (None, goal)
        assert machine.seen_as(vpc.public_address(other.id)) == goal
    found = vpc.api.describe_addresses(AllocationIds=[allocation])["Addresses"][0]
    assert found["InstanceId"] == second.id
    release = {"AllocationId": allocation}
    assert code_of(lambda: vpc.api.release_address(**release))[0] == "InvalidIPAddress.InUse"
    vpc.api.disassociate_address(AssociationId=found["AssociationId"])
    assert not HOST.reaches(goal)
    vpc.api.release_address(AllocationId=allocation)


def test_an_elastic_ip_stays_while_its_machine_is_stopped(vpc: Vpc):
    machine = vpc.machine(everybody(vpc), public=True)
    address = vpc.api.allocate_address(Domain="vpc")
    vpc.api.associate_address(AllocationId=address["AllocationId"], InstanceId=machine.id)
    vpc.api.stop_instances(InstanceIds=[machine.id])
    vpc.wait_state(machine.id, "stopped")
    assert vpc.public_address(machine.id) == address["PublicIp"]
    vpc.api.start_instances(InstanceIds=[machine.id])
    vpc.wait_booted(machine.id)
    assert HOST.seen_as(address["PublicIp"]) == vpc.network.addresses.outside
    vpc.api.terminate_instances(InstanceIds=[machine.id])
    vpc.wait_state(machine.id, "terminated")
    [left] = vpc.api.describe_addresses(PublicIps=[address["PublicIp"]])["Addresses"]
    assert "AssociationId" not in left
    vpc.api.release_address(AllocationId=address["AllocationId"])


def test_a_gateway_that_is_deleted_lets_nobody_out_and_leaves_its_address(tmp_path, world: Place):
    with local_ec2(tmp_path / "state") as own:
        machine = own.machine()
        assert machine.seen_as(WORLD) == GATEWAY
        own.api.delete_nat_gateway(NatGatewayId=own.ids["nat-gateway"])
        assert not machine.reaches(WORLD)
        [address] = own.api.describe_addresses()["Addresses"]
        own.api.release_address(AllocationId=address["AllocationId"])


def test_an_address_from_the_launch_goes_with_a_stop(vpc: Vpc):
    machine = vpc.machine(everybody(vpc), public=True)
    vpc.api.stop_instances(InstanceIds=[machine.id])
    vpc.wait_state(machine.id, "stopped")
    assert vpc.public_address(machine.id) is None


# -- where machines can be -------------------------------------------------------------------------


def test_machines_have_only_addresses_that_lead_to_them(vpc: Vpc):
    elsewhere = vpc.api.create_vpc(CidrBlock="10.200.0.0/16")["Vpc"]["VpcId"]
    far = vpc.api.create_subnet(VpcId=elsewhere, CidrBlock="10.200.0.0/24")["Subnet"]
    twin = vpc.api.create_vpc(CidrBlock=vpc.network.cidr)["Vpc"]["VpcId"]
    number = vpc.network.number
    same = vpc.api.create_subnet(VpcId=twin, CidrBlock=f"10.{number}.0.0/24")["Subnet"]
    free = vpc.api.create_subnet(VpcId=twin, CidrBlock=f"10.{number}.64.0/24")["Subnet"]
    for subnet in (far, same):
        refused = {"SubnetId": subnet["SubnetId"], "SecurityGroupIds": None}
        assert code_of(lambda: vpc.run(**refused)) == ("Unsupported", 400)  # noqa: B023
        vpc.api.delete_subnet(SubnetId=subnet["SubnetId"])
    neighbour = vpc.machine(everybody(vpc))
    stranger, friend = vpc.machines(
        2, NetworkInterfaces=[{"DeviceIndex": 0, "SubnetId": free["SubnetId"]}]
    )
    assert stranger.seen_as(friend.address) == stranger.address
    # Another VPC is another network, also with addresses beside ours.
    assert not stranger.reaches(neighbour.address)
    assert not neighbour.reaches(stranger.address)


def test_a_launch_finds_everything_where_the_command_says(vpc: Vpc):
    command = vpc.ec2.launch_command(vpc.config)
    checked = subprocess.run(
        [sys.executable, *command, "--check"],
        cwd=Path(__file__).parents[2],
        env={k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "CLOUDJHUB_"))},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


# -- what there is besides -------------------------------------------------------------------------


def test_of_this_host_machines_reach_the_api_and_nothing_else(vpc: Vpc):
    machine = vpc.machine()
    port = int(vpc.ec2.endpoint_url.rpartition(":")[2])
    host, outside = vpc.network.host_address, vpc.network.addresses.outside
    listener = Listener(None)
    try:
        assert HOST.seen_as(host, listener.port) == host
        assert not machine.reaches(host, listener.port)
        assert not machine.reaches(outside, listener.port)
        vpc.network.admit(listener.port)
        assert machine.seen_as(host, listener.port) == machine.address
    finally:
        listener.close()
    done = machine.do(lambda: fetch(f"http://{host}:{port}/_local/calls"))
    assert b"RunInstances" in done


def fetch(url: str) -> bytes:
    import urllib.request

    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=10) as got:
        return got.read()


def test_nobody_reaches_the_router_itself(vpc: Vpc):
    listener = Listener(vpc.network.namespace)
    machine = vpc.machine()
    try:
        for goal in (vpc.network.addresses.router, METADATA, machine.link.gateway):
            assert not machine.reaches(goal)
            assert not HOST.reaches(goal)
    finally:
        listener.close()


def test_names_are_asked_of_whom_this_host_asks(vpc: Vpc, world: Place):
    # Whether there is a name server here at all is not for this test to say.
    rules = subprocess.run(
        ["ip", "netns", "exec", vpc.network.namespace, "nft", "list", "table", "inet", "vpc"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    from cloudjhub.local.vpc import resolver

    asked = resolver.upstream()
    assert (f"dnat ip to {asked}" in rules) if asked else ("dport 53" not in rules)


# -- more than one ---------------------------------------------------------------------------------


def test_two_local_ec2s_reach_each_other_only_by_public_addresses(vpc: Vpc, tmp_path):
    with local_ec2(tmp_path / "other") as other:
        assert other.network.number != vpc.network.number
        here = vpc.machine(everybody(vpc), public=True)
        there = other.machine(other.group(tcp(22)), public=True)
        goal = other.public_address(there.id)
        assert here.seen_as(goal) == vpc.public_address(here.id)
        assert not here.reaches(there.address)
        assert HOST.seen_as(here.address) == vpc.network.host_address
        assert HOST.seen_as(there.address) == other.network.host_address


def test_nothing_is_left_of_a_network(tmp_path):
    folder = tmp_path / "state"
    with local_ec2(folder) as made:
        number = made.network.number
        made.machine()
        assert traces(folder)
    assert not traces(folder)
    with local_ec2(folder) as again:
        # Its instances have addresses there.
        assert again.network.number == number
