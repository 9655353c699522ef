"""What a launch would make, by name, and what it would cost. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cloudjhub.deploy import idleness, prices
from cloudjhub.deploy.prices import HOURS_PER_MONTH
from cloudjhub.deploy.settings import Settings
from cloudjhub.deploy.supply import mean_spares, most_spares
from cloudjhub.naming import (
    BUILDER_ROLE,
    MANAGER2_ROLE,
    MANAGER_ROLE,
    WORKER_IMAGE_ROLE,
    WORKER_ROLE,
    key_pair_name,
    resource_name,
)

#: What a worker image holds when nothing but ours is added, measured on the local EC2.
_IMAGE_GIB = 3


@dataclass(frozen=True)
class Item:
    """One resource. ``month`` is what it costs at rest; None: no price is known here."""

    kind: str
    name: str
    month: float | None = 0.0
    remark: str = ""


def items(settings: Settings) -> list[Item]:
    """Everything the launch makes, in the order in which it does."""
    return [*_access(settings), *_image(settings), *_manager(settings)]


def _access(settings: Settings) -> Iterator[Item]:
    cluster = settings.cluster_name
    for role in (MANAGER2_ROLE, WORKER_ROLE, MANAGER_ROLE):
        yield Item("security group", resource_name(cluster, role))
    if not settings.manager_iam_role:
        name = resource_name(cluster, MANAGER_ROLE)
        yield Item("IAM role, policy and instance profile", name)


def _image(settings: Settings) -> Iterator[Item]:
    name = resource_name(settings.cluster_name, BUILDER_ROLE)
    if settings.custom_worker_ami:
        remark = f"{settings.custom_worker_ami} is looked at on it; then it is terminated"
        yield Item("instance", name, 0.0, remark)
        return
    yield Item("instance", name, 0.0, "for some minutes; then it is terminated")
    month = _times(prices.snapshot_gib_month(settings.region), _IMAGE_GIB)
    remark = f"about {_IMAGE_GIB} GiB, more with a class's own packages"
    name = resource_name(settings.cluster_name, WORKER_IMAGE_ROLE)
    yield Item("AMI with its snapshot", name, month, remark)


def _manager(settings: Settings) -> Iterator[Item]:
    name = resource_name(settings.cluster_name, MANAGER_ROLE)
    region = settings.region
    month = _times(prices.address_hour(region), HOURS_PER_MONTH)
    yield Item("Elastic IP", name, month)
    month = _times(prices.hour(settings.manager_instance_type, region), HOURS_PER_MONTH)
    yield Item("instance", name, month, settings.manager_instance_type)
    month = _times(prices.disk_gib_month(region), settings.manager_disk_gib)
    yield Item("volume of the manager", name, month, f"{settings.manager_disk_gib} GiB gp3")
    yield Item("key pair", key_pair_name(settings.cluster_name))


def student_hour(settings: Settings) -> float | None:
    """What a user's machine costs while it runs, without its disks."""
    return prices.hour(settings.worker_instance_type, settings.region)


def student_month(settings: Settings) -> float | None:
    """What a user's disks cost, whether the machine runs or not."""
    gib = settings.root_disk_gib + settings.home_disk_gib
    return _times(prices.disk_gib_month(settings.region), gib)


def lines(settings: Settings, zones: Mapping[str, str]) -> list[str]:
    """The plan as it is printed. ``zones``: where each private subnet lies."""
    rows = [(item.kind, item.name, _dollars(item.month), item.remark) for item in items(settings)]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    table = [
        f"  {kind:<{widths[0]}}  {name:<{widths[1]}}  {month:>{widths[2]}}  {remark}".rstrip()
        for kind, name, month, remark in rows
    ]
    return [
        "What would be made, and its price per month:",
        "",
        *table,
        "",
        *machines(settings, zones),
        *costs(settings),
    ]


def machines(settings: Settings, zones: Mapping[str, str]) -> list[str]:
    """Which machines users get, where, and what they get where Amazon has none of those."""
    kinds = ", else ".join(settings.worker_instance_types)
    places = [f"{each} in {zones.get(each, '?')}" for each in settings.private_subnet_ids]
    return [f"Users' machines: {kinds}; {', else '.join(places)}.", idleness.in_words(settings)]


def costs(settings: Settings) -> list[str]:
    """What the cluster costs, for the plan and for the end of a launch."""
    months = [item.month for item in items(settings)]
    rest = None if None in months else sum(month or 0.0 for month in months)
    return [
        f"At rest, with everybody's machine stopped: {_dollars(rest)} a month, "
        f"and {_dollars(student_month(settings))} for each user's disks.",
        f"Each hour that a user works: {_dollars(student_hour(settings), digits=4)} "
        f"({settings.worker_instance_type}).",
        *_pool(settings),
        _most_per_hour(settings),
        f"On-demand prices of {settings.region} as of {prices.DATED}, without taxes, traffic "
        "and the network's NAT gateway.",
    ]


def _pool(settings: Settings) -> list[str]:
    """What the pool costs in a month, used or not."""
    mean = mean_spares(settings.timetable, settings.pool_max)
    if not mean:
        return []
    largest = most_spares(settings.timetable, settings.pool_max)
    machines = f"{mean:.1f} machines on average, {largest} at most"
    disks = _times(student_month(settings), mean)
    if settings.pool_state != "running":
        kept = f"{machines}, {settings.pool_state}"
        return [f"The pool ({kept}): {_dollars(disks)} a month for their disks."]
    running = _times(student_hour(settings), mean * HOURS_PER_MONTH)
    both = None if running is None or disks is None else running + disks
    return [f"The pool ({machines}, running): {_dollars(both)} a month."]


def _most_per_hour(settings: Settings) -> str:
    """What machines that run cannot exceed, with every one of the dearest of WORKER_INSTANCE_TYPE.

    Disks, which stopped machines have too, and types that users may choose besides are not in it.
    """
    if not settings.max_machines:
        return (
            "The most per hour for machines that run: no limit but the account's quota, as "
            "MAX_MACHINES is 0 (say --max_machines)."
        )
    prices_of = [prices.hour(name, settings.region) for name in settings.worker_instance_types]
    known = [price for price in prices_of if price is not None]
    each = max(known) if len(known) == len(prices_of) else None
    manager = prices.hour(settings.manager_instance_type, settings.region)
    total = None if each is None or manager is None else each * settings.max_machines + manager
    return (
        f"The most per hour for machines that run: {_dollars(total)}, with {settings.max_machines} "
        "of these types (MAX_MACHINES) and the manager; disks are not in it."
    )


def _times(price: float | None, amount: float) -> float | None:
    return None if price is None else price * amount


def _dollars(amount: float | None, digits: int = 2) -> str:
    if amount is None:
        return "price unknown"
    return f"${amount:.{digits}f}" if amount else "-"
