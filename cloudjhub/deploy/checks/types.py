"""Whether the instance types exist and are on offer where the machines will be."""

from cloudjhub.account.network import Subnet
from cloudjhub.deploy.checks.world import World
from cloudjhub.deploy.findings import Finding


def check(world: World) -> list[Finding]:
    settings = world.settings
    manager, worker = settings.manager_instance_type, settings.worker_instance_type
    return [
        *_check_type(world, "MANAGER_INSTANCE_TYPE", manager, world.public),
        *_check_type(world, "WORKER_INSTANCE_TYPE", worker, world.private),
    ]


def _check_type(world: World, key: str, name: str, subnet: Subnet | None) -> list[Finding]:
    where = f"{key} {name}"
    if name not in world.types:
        what = f"there is no such instance type in {world.settings.region}."
        return [Finding(what, where, "Choose another, such as t3.medium.")]
    zones = world.offers.get(name, set())
    if subnet is None or subnet.zone in zones:
        return []
    what = f"is not on offer in {subnet.zone}, where {subnet.id} lies."
    offered = ", ".join(sorted(zones)) or "no zone of this region"
    remedy = f"Choose another type, or a subnet in a zone that has it ({offered})."
    return [Finding(what, where, remedy)]
