"""Machines of another AMI than the configured one: replaced at their owner's next start.

Only a stopped one whose files are all on a home volume. The order keeps the files safe whatever
ends a start half-way: the new machine answers and lets us in, the old one is set aside by its
tags, the home moves, the notebook serves; only then is the old one terminated.
"""

import logging

from cloudjhub import relocation
from cloudjhub.config import ClusterConfig
from cloudjhub.ec2_values import Instance
from cloudjhub.errors import EC2Error
from cloudjhub.fleet import Fleet
from cloudjhub.machine_end import set_aside
from cloudjhub.naming import OUTDATED_TAG, Owner
from cloudjhub.relocation import Move

log = logging.getLogger(__name__)


async def is_outdated(fleet: Fleet, config: ClusterConfig, owner: Owner, machine: Instance) -> bool:
    """Whether the stopped machine is to be replaced; in doubt it is not."""
    if machine.image_id in ("", config.worker_ami) or config.upgrade_machines == "never":
        return False
    if config.home_disk_gib == 0 or machine.home_volume_id is None:
        log.warning(
            "%s of %s keeps its AMI %s: its files are on its root disk",
            machine.id,
            owner,
            machine.image_id,
        )
        return False
    try:
        homes = await fleet.homes_of(owner)
    except EC2Error as error:
        log.warning("%s of %s keeps its AMI this time: %s", machine.id, owner, error)
        return False
    if not homes or homes[0].id != machine.home_volume_id:
        log.error(
            "%s of %s keeps its AMI %s: %s at it is not the owner's home %s",
            machine.id,
            owner,
            machine.image_id,
            machine.home_volume_id,
            [home.id for home in homes],
        )
        return False
    return True


async def take_over(
    fleet: Fleet, config: ClusterConfig, owner: Owner, old: Instance, new_zone: str | None = None
) -> None:
    """Take the old machine out of everybody's sight: from now on its home may move. EC2Error.

    ``new_zone``: where the home moves, if it does not stay for a new AMI.
    """
    because = new_zone or config.worker_ami
    log.info("%s of %s is replaced, for %s", old.id, owner, because)
    await set_aside(fleet, old, owner, {OUTDATED_TAG: because})


async def succeed(
    fleet: Fleet, config: ClusterConfig, owner: Owner, old: Instance | None, move: Move | None
) -> str | None:
    """From now on the new machine is the one, and a home that moved is where it moved to.

    ``old``: the machine in whose place it is. Gives the id of the volume that has to be the home;
    None where any will do. Raises EC2Error.
    """
    if old is not None:
        await take_over(fleet, config, owner, old, move.copy.zone if move else None)
    if move is not None:
        await relocation.take_effect(fleet, move)
        return move.copy.id
    return old.home_volume_id if old else None


async def end_replaced(fleet: Fleet, owner: Owner) -> None:
    """Terminate what was replaced, also by a start that was interrupted, once the owner is served.

    Never a machine that still holds the home. What fails is done at the owner's next start.
    """
    replaced = [m for m in fleet.set_aside_from(owner) if OUTDATED_TAG in m.tags]
    if not replaced:
        return
    try:
        holders = {home.attached_to for home in await fleet.homes_of(owner)}
        for machine in replaced:
            if holders and machine.id not in holders:
                await fleet.terminate(machine.id)
                log.info("Terminated %s of %s, which was replaced", machine.id, owner)
    except EC2Error as error:
        log.warning("What was replaced for %s is removed at the next start: %s", owner, error)
