"""Whether the instance types exist and are on offer where the machines will be."""

from cloudjhub.account.network import Subnet
from cloudjhub.deploy.checks.world import World
from cloudjhub.deploy.findings import Finding, note


def check(world: World) -> list[Finding]:
    settings = world.settings
    public = [world.public] if world.public else []
    found = _check_type(world, "MANAGER_INSTANCE_TYPE", settings.manager_instance_type, public)
    first, *others = settings.worker_instance_types
    found += _check_type(world, "WORKER_INSTANCE_TYPE", first, world.privates[:1])
    found += _check_elsewhere(world, first, world.privates[1:])
    for name in others:
        found += _check_other(world, name)
    return found


def _check_type(world: World, key: str, name: str, subnets: list[Subnet]) -> list[Finding]:
    where = f"{key} {name}"
    if name not in world.types:
        what = f"there is no such instance type in {world.settings.region}."
        return [Finding(what, where, "Choose another, such as t3.medium.")]
    lacking = _lacking(world, name, subnets)
    remedy = f"Choose another type, or a subnet in a zone that has it ({_zones(world, name)})."
    return [Finding(_not_there(subnet), where, remedy) for subnet in lacking]


def _check_other(world: World, name: str) -> list[Finding]:
    """A type that stands in for the first must be of use somewhere."""
    lacking = _lacking(world, name, world.privates)
    if name not in world.types or lacking == world.privates:
        return _check_type(world, "WORKER_INSTANCE_TYPE", name, world.privates[:1])
    return _check_elsewhere(world, name, world.privates)


def _check_elsewhere(world: World, name: str, subnets: list[Subnet]) -> list[Finding]:
    if name not in world.types:
        return []
    remedy = "Only the other types or subnets are tried there."
    where = f"WORKER_INSTANCE_TYPE {name}"
    lacking = _lacking(world, name, subnets)
    return [note(_not_there(subnet), where, remedy) for subnet in lacking]


def _lacking(world: World, name: str, subnets: list[Subnet]) -> list[Subnet]:
    zones = world.offers.get(name, set())
    return [subnet for subnet in subnets if subnet.zone not in zones]


def _not_there(subnet: Subnet) -> str:
    return f"is not on offer in {subnet.zone}, where {subnet.id} lies."


def _zones(world: World, name: str) -> str:
    return ", ".join(sorted(world.offers.get(name, set()))) or "no zone of this region"
