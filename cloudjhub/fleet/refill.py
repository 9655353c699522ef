"""Machines launched for nobody at all: the pool's."""

import hashlib
from collections.abc import Iterable, Sequence

from cloudjhub.capacity import START
from cloudjhub.ec2_values import Instance, Kind
from cloudjhub.errors import EC2Unavailable, NoCapacity, NoFreeAddress, QuotaReached
from cloudjhub.fleet.fleet import Fleet
from cloudjhub.launch_spec import LaunchSpec


async def launch_spares(fleet: Fleet, spec: LaunchSpec, count: int, token: str) -> list[Instance]:
    """One RunInstances for 1 to ``count`` machines; what EC2 granted of them.

    Sent again with the same token it gives the same machines; those that have ended meanwhile are
    left out. Raises EC2Error where none came.
    """
    while True:
        try:
            launched = await fleet._launching.run(spec, count=count, token=f"{token}-{count}")
        except NoCapacity:
            fleet.capacity.refused(*spec.kind)
            raise
        except (QuotaReached, NoFreeAddress):
            # Whether EC2 launches as many as still fit is documented for capacity only.
            if count == 1:
                raise
            count //= 2
            continue
        fleet.capacity.granted(*spec.kind)
        fleet.spares.launched(machine.id for machine in launched)
        alive = [machine for machine in launched if machine.state in ("pending", "running")]
        fleet.view.tell(alive)
        return alive


def may_start(fleet: Fleet) -> bool:
    """Whether a StartInstances of the pool would not stand in the way of users' starts."""
    return fleet._calls.limits.is_free("StartInstances")


async def start_spares(fleet: Fleet, instance_ids: Sequence[str], kind: Kind) -> None:
    """One StartInstances for stopped spares of one kind. Raises EC2Error where none started.

    It is not shared with users: one spare that EC2 refuses would cost them calls and time.
    """
    try:
        states = await fleet._calls.patiently(
            "StartInstances",
            fleet._ec2.start,
            list(instance_ids),
            resources=len(instance_ids),
            retry=EC2Unavailable,
        )
    except NoCapacity:
        fleet.capacity.refused(*kind, action=START)
        raise
    fleet.capacity.granted(*kind)
    fleet.view.tell_states(states)


def refill_token(cluster: str, shape: str, known_ids: Iterable[str], attempt: int) -> str:
    """The same for whoever knows of the same machines.

    So a hub that was killed before EC2's answer came, or before a listing showed it, asks for the
    same machines again and not for others beside them. Another ``attempt`` is for others: EC2
    remembers tokens for longer than it lists machines that have ended.
    """
    text = repr((cluster, shape, sorted(known_ids), attempt))
    return hashlib.sha256(text.encode()).hexdigest()[:40]
