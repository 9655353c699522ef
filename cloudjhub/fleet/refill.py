"""Machines launched for nobody at all: the pool's."""

import hashlib
from collections.abc import Iterable

from cloudjhub.ec2_values import Instance
from cloudjhub.errors import NoCapacity, NoFreeAddress, QuotaReached
from cloudjhub.fleet.fleet import Fleet
from cloudjhub.launch_spec import LaunchSpec, run_arguments


async def launch_spares(fleet: Fleet, spec: LaunchSpec, count: int, token: str) -> list[Instance]:
    """One RunInstances for 1 to ``count`` machines; what EC2 granted of them.

    Sent again with the same token it gives the same machines; those that have ended meanwhile are
    left out. Raises EC2Error where none came.
    """
    while True:
        arguments = run_arguments(spec, count=count, client_token=f"{token}-{count}")
        try:
            launched = await fleet._calls.patiently(
                "RunInstances", fleet._ec2.run, arguments, resources=count
            )
        except NoCapacity:
            fleet.capacity.refused(spec.instance_type, spec.zone)
            raise
        except (QuotaReached, NoFreeAddress):
            # Whether EC2 launches as many as still fit is documented for capacity only.
            if count == 1:
                raise
            count //= 2
            continue
        alive = [machine for machine in launched if machine.state in ("pending", "running")]
        fleet.view.tell(alive)
        return alive


def refill_token(cluster: str, shape: str, known_ids: Iterable[str], attempt: int) -> str:
    """The same for whoever knows of the same machines.

    So a hub that was killed before EC2's answer came, or before a listing showed it, asks for the
    same machines again and not for others beside them. Another ``attempt`` is for others: EC2
    remembers tokens for longer than it lists machines that have ended.
    """
    text = repr((cluster, shape, sorted(known_ids), attempt))
    return hashlib.sha256(text.encode()).hexdigest()[:40]
