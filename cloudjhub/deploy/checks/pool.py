"""Whether the pool, the class and MAX_MACHINES go together, and homes can move where told to."""

from cloudjhub.deploy.checks.world import World
from cloudjhub.deploy.findings import Finding, note
from cloudjhub.deploy.settings import Settings
from cloudjhub.deploy.supply import most_spares, most_wanted


def check(world: World) -> list[Finding]:
    settings = world.settings
    return [*_capped(settings), *_limited(settings), *_class(settings), *_homes(world)]


def _capped(settings: Settings) -> list[Finding]:
    wanted = most_wanted(settings.timetable)
    if wanted <= settings.pool_max:
        return []
    what = f"POOL asks for {wanted} machines, and the pool never keeps more than this."
    return [Finding(what, f"POOL_MAX {settings.pool_max}", f"Say --pool_max {wanted}, or fewer.")]


def _limited(settings: Settings) -> list[Finding]:
    spares = most_spares(settings.timetable, settings.pool_max)
    if settings.pool_state != "running" or not 0 < settings.max_machines < spares:
        return []
    what = f"the pool alone keeps up to {spares} machines running, and they count."
    remedy = "Make POOL smaller, MAX_MACHINES larger, or say --pool_state stopped."
    return [Finding(what, f"MAX_MACHINES {settings.max_machines}", remedy)]


def _class(settings: Settings) -> list[Finding]:
    if not 0 < settings.max_machines < settings.class_size:
        return []
    late = settings.class_size - settings.max_machines
    happens = "wait for their turn" if settings.when_full == "queue" else "are refused"
    what = f"of a class of {settings.class_size}, the last {late} {happens}."
    return [note(what, f"MAX_MACHINES {settings.max_machines}", "Raise it, or leave it 0.")]


def _homes(world: World) -> list[Finding]:
    zones = {subnet.zone for subnet in world.privates}
    if world.settings.move_homes != "always" or len(zones) > 1:
        return []
    what = "there is no second zone that a home could move to."
    return [note(what, "MOVE_HOMES always", "Name private subnets in several zones.")]
