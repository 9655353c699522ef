"""Whether the account may run as many vCPUs as the class needs, and have one more address."""

from cloudjhub.account import addresses, machines, types
from cloudjhub.account.quotas import ELASTIC_IPS, quota, quota_code
from cloudjhub.deploy.checks.world import World
from cloudjhub.deploy.findings import Finding, note
from cloudjhub.naming import MANAGER_ROLE

_CONSOLE = "Ask for more in the Service Quotas console; new accounts often wait a day."


def check(world: World) -> list[Finding]:
    return [*_vcpus(world), *_addresses(world)]


def _vcpus(world: World) -> list[Finding]:
    worker = world.types.get(world.settings.worker_instance_type)
    manager = world.types.get(world.settings.manager_instance_type)
    if worker is None or manager is None:
        return []
    code = quota_code(worker.name)
    where = f"quota {code or 'of vCPUs'} for {worker.name}"
    limit = quota(world.clients.quotas, code) if code else None
    if limit is None:
        what = "cannot be read, so nobody knows how many students fit."
        return [note(what, where, "Look it up in the Service Quotas console, under EC2.")]
    taken = _used(world, code)
    own = manager.vcpus if quota_code(manager.name) == code and not world.managers else 0
    return _judge(world, where, left=limit - taken - own, limit=limit, each=worker.vcpus)


def _judge(world: World, where: str, *, left: int, limit: int, each: int) -> list[Finding]:
    fitting = max(0, left // each)
    wanted = world.settings.class_size
    what = f"{limit} vCPUs leave room for {fitting} users' machines at once"
    if fitting < max(wanted, 1):
        missing = max(wanted, 1) * each - left
        what += f", the class has {wanted}." if wanted else "."
        remedy = f"{missing} vCPUs are missing. {_CONSOLE} Or choose smaller machines."
        return [Finding(what, where, remedy)]
    if wanted:
        return []
    return [note(f"{what}.", where, "Say --class_size to have it compared.")]


def _addresses(world: World) -> list[Finding]:
    """The manager gets an Elastic IP of its own."""
    limit = quota(world.clients.quotas, ELASTIC_IPS)
    if limit is None or addresses.of(world.clients.ec2, world.settings.cluster_name, MANAGER_ROLE):
        return []
    taken = addresses.count(world.clients.ec2)
    if taken < limit:
        return []
    what = f"all {limit} Elastic IPs that the account may have are taken; the manager needs one."
    remedy = "Release one that nobody uses, or ask for more in the Service Quotas console."
    return [Finding(what, f"quota {ELASTIC_IPS} of Elastic IPs", remedy)]


def _used(world: World, code: str) -> int:
    """vCPUs that run in the account already and count against the same quota."""
    running = [
        name for name in machines.running_types(world.clients.ec2) if quota_code(name) == code
    ]
    if not running:
        return 0
    known = types.instance_types(world.clients.ec2, running)
    return sum(known[name].vcpus for name in running if name in known)
