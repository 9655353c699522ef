"""Whether all subnets exist, lie in one VPC, and lead where they must."""

from cloudjhub.account import network
from cloudjhub.account.network import Subnet
from cloudjhub.deploy.checks.world import World
from cloudjhub.deploy.findings import Finding, note

_TEMPLATE = "launch_cluster/vpc.yaml makes a network that fits."


def check(world: World) -> list[Finding]:
    findings = _missing(world)
    if not findings:
        findings = _one_vpc(world)
    if world.public:
        findings += _leads_outside(world, world.public)
        findings += _room_for_two(world.public)
    for subnet in world.privates:
        findings += _behind_nat(world, subnet)
    return [*findings, *_enough_addresses(world), *_one_zone_twice(world)]


def _missing(world: World) -> list[Finding]:
    wanted = [("PRIVATE_SUBNET_ID", each) for each in world.settings.private_subnet_ids]
    wanted.append(("PUBLIC_SUBNET_ID", world.settings.public_subnet_id))
    what = f"does not exist in {world.settings.region}."
    remedy = "Look the id up in the VPC console of this region."
    return [
        Finding(what, f"{key} {subnet_id}", remedy)
        for key, subnet_id in wanted
        if subnet_id not in world.subnets
    ]


def _one_vpc(world: World) -> list[Finding]:
    named = world.settings.vpc_id
    found = {subnet.id: subnet.vpc_id for subnet in world.subnets.values()}
    if not named and len(set(found.values())) == 1:
        return []
    shown = ", ".join(f"{subnet} in {vpc}" for subnet, vpc in sorted(found.items()))
    if not named:
        remedy = "Name subnets of one VPC."
        return [Finding(f"the subnets lie in different VPCs: {shown}.", "subnets", remedy)]
    if set(found.values()) == {named}:
        return []
    remedy = "Correct VPC_ID (empty: taken from the subnets) or the subnets."
    return [Finding(f"the subnets lie elsewhere: {shown}.", f"VPC_ID {named}", remedy)]


def _leads_outside(world: World, subnet: Subnet) -> list[Finding]:
    where = f"PUBLIC_SUBNET_ID {subnet.id}"
    if subnet.id in world.settings.private_subnet_ids:
        remedy = "Name two different subnets: users' machines have no public addresses."
        return [Finding("is the private subnet too.", where, remedy)]
    route = network.default_route(world.clients.ec2, subnet)
    if route and route.target.startswith("igw-") and route.state == "active":
        return []
    now = f"goes to {route.target or 'nowhere'} ({route.state})" if route else "does not exist"
    what = f"its route to 0.0.0.0/0 {now}, not to an internet gateway: nobody could reach the hub."
    return [Finding(what, where, f"Add the route, or swap the subnets. {_TEMPLATE}")]


def _behind_nat(world: World, subnet: Subnet) -> list[Finding]:
    where = f"PRIVATE_SUBNET_ID {subnet.id}"
    route = network.default_route(world.clients.ec2, subnet)
    if route is None:
        what = "has no route to 0.0.0.0/0: users' machines could install nothing."
        return [Finding(what, where, f"Add one to a NAT gateway. {_TEMPLATE}")]
    if route.target.startswith("igw-"):
        what = "leads to an internet gateway: it is a public subnet."
        return [Finding(what, where, f"Name the subnet behind the NAT gateway. {_TEMPLATE}")]
    if route.target.startswith("nat-"):
        state = network.nat_state(world.clients.ec2, route.target)
        if route.state == "active" and state == "available":
            return []
        what = f"its NAT gateway {route.target} is {state or 'gone'} (route: {route.state})."
        return [Finding(what, where, "Wait until it is available, or make another.")]
    if route.state == "active" and route.target.startswith(("eni-", "i-", "tgw-")):
        what = f"goes out through {route.target}, not through a NAT gateway."
        remedy = "This works if machines there reach the Internet."
        return [Finding(what, where, remedy, "note")]
    what = f"its route to 0.0.0.0/0 goes to {route.target or 'nowhere'} ({route.state})."
    return [Finding(what, where, f"Lead it to a NAT gateway. {_TEMPLATE}")]


def _enough_addresses(world: World) -> list[Finding]:
    """Machines keep their address while they are stopped; those of this cluster have theirs."""
    if not world.privates:
        return []
    free = sum(subnet.free_addresses for subnet in world.privates)
    where = f"PRIVATE_SUBNET_ID {','.join(subnet.id for subnet in world.privates)}"
    remedy = "Name a larger private subnet, or one more: a /20 holds 4,091 machines."
    settings = world.settings
    subnets = {subnet.id for subnet in world.privates}
    ours = sum(machine.subnet_id in subnets for machine in world.workers)
    has = f"has {free} free addresses"
    has += f" beside {ours} of this cluster's machines" if ours else ""
    if free + ours < max(settings.class_size, 1):
        what = f"{has}; the class needs {max(settings.class_size, 1)}."
        return [Finding(what, where, remedy)]
    if free + ours < settings.max_machines:
        what = f"{has}; MAX_MACHINES is {settings.max_machines}."
        return [note(what, where, remedy)]
    return []


def _one_zone_twice(world: World) -> list[Finding]:
    """A second subnet helps against missing capacity only in another zone."""
    zones = [subnet.zone for subnet in world.privates]
    twice = sorted({zone for zone in zones if zones.count(zone) > 1})
    what = "two private subnets lie in it: one adds addresses to the other, but no capacity."
    return [
        note(what, f"PRIVATE_SUBNET_ID in {zone}", "Name one in another zone.") for zone in twice
    ]


def _room_for_two(subnet: Subnet) -> list[Finding]:
    """For the manager and, while it exists, the builder."""
    if subnet.free_addresses >= 2:
        return []
    what = f"has {subnet.free_addresses} free addresses; manager and builder need two."
    return [Finding(what, f"PUBLIC_SUBNET_ID {subnet.id}", "Name another public subnet.")]
