"""Whether the cluster's name is free, or belongs to a launch that was not finished."""

from cloudjhub.account import groups, keys
from cloudjhub.deploy.checks.world import World
from cloudjhub.deploy.findings import Finding
from cloudjhub.naming import (
    CLUSTER_TAG,
    LAUNCHED_TAG,
    MANAGER2_ROLE,
    MANAGER_ROLE,
    WORKER_ROLE,
    key_pair_name,
    resource_name,
)

GROUP_ROLES = (MANAGER2_ROLE, WORKER_ROLE, MANAGER_ROLE)


def check(world: World) -> list[Finding]:
    return [*_complete(world), *_elsewhere(world), *_strangers(world)]


def _complete(world: World) -> list[Finding]:
    name = world.settings.cluster_name
    for manager in world.managers:
        if since := manager.tags.get(LAUNCHED_TAG):
            what = f"{name} was launched on {since}: manager {manager.id}, {manager.public_ip}."
            remedy = (
                f"See it with scripts/status.py {name}, renew it with scripts/upgrade.py {name}, "
                f"which also gives it a name (--domain D --email E), certificate files "
                f"(--certificate_file F --certificate_key_file K) or another operator's address "
                f"(--ssh_from CIDR), remove it with scripts/teardown.py {name}, or choose another "
                "name."
            )
            return [Finding(what, "CLUSTER_NAME", remedy)]
    return []


def _elsewhere(world: World) -> list[Finding]:
    """A launch that was broken off is only continued in its own VPC."""
    name = world.settings.cluster_name
    others = {group.vpc_id for group in world.groups.values()} - {world.vpc_id}
    if not (others and world.vpc_id):
        return []
    what = f"an unfinished launch of {name} lies in {', '.join(sorted(others))}."
    remedy = f"Name its subnets, or remove it first with scripts/teardown.py {name}."
    return [Finding(what, "CLUSTER_NAME", remedy)]


def _strangers(world: World) -> list[Finding]:
    """Names that we need and that somebody else has."""
    name, ec2 = world.settings.cluster_name, world.clients.ec2
    wanted = [resource_name(name, role) for role in GROUP_ROLES]
    found = groups.named(ec2, wanted, world.vpc_id) if world.vpc_id else []
    taken = [each.name for each in found if each.tags.get(CLUSTER_TAG) != name]
    pair = keys.named(ec2, key_pair_name(name))
    if pair and pair.tags.get(CLUSTER_TAG) != name:
        taken.append(pair.name)
    remedy = "Choose another cluster name, or rename what is there."
    return [
        Finding(f"{each} exists and is not of this cluster.", "CLUSTER_NAME", remedy)
        for each in taken
    ]
