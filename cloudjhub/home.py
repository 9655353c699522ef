"""The home volume: born with the machine or moved to it. Never made beside an existing one."""

import asyncio
import logging
import time

from cloudjhub import progress
from cloudjhub.ec2_values import HOME_DEVICE, Instance, Volume
from cloudjhub.errors import NotFound, TimedOut, WrongState
from cloudjhub.fleet import Fleet
from cloudjhub.naming import MOVING_TAG, Owner
from cloudjhub.progress import StartReport

log = logging.getLogger(__name__)

_ATTACH_SECONDS = 300.0
_LISTED_SECONDS = 120.0  # how long a listing may show what was before a move
_LOOK_SECONDS = 1.0


async def home_volume_of(
    fleet: Fleet, machine: Instance, owner: Owner, report: StartReport, must_be: str | None = None
) -> str | None:
    """Id of the owner's home volume, attached to the machine; None: the home is on its root disk.

    Attaches the volume that carries the owner's tags where the machine was launched without one.
    ``must_be``: which it is, as a listing may still show what was before it moved. Raises
    TimedOut if the volume does not come free.
    """
    if machine.home_volume_id:
        return machine.home_volume_id
    home = await _home_of(fleet, owner, must_be)
    if home is None:
        return None
    with report.phase(progress.HOME):
        await _attach(fleet, home, machine)
    return home.id


async def _home_of(fleet: Fleet, owner: Owner, must_be: str | None) -> Volume | None:
    deadline = time.monotonic() + _LISTED_SECONDS
    while True:
        home = next(iter(await fleet.homes_of(owner)), None)
        if must_be is None or (home and home.id == must_be) or time.monotonic() > deadline:
            return home
        await asyncio.sleep(_LOOK_SECONDS)


async def _attach(fleet: Fleet, home: Volume, machine: Instance) -> None:
    """Attach by id, waiting until the machine that had it lets go."""
    deadline = time.monotonic() + _ATTACH_SECONDS
    while not _is_attached(home, machine):
        if time.monotonic() > deadline:
            raise TimedOut(
                f"Your files ({home.id}, {home.state}, at {home.attached_to or 'no machine'}) "
                f"could not be connected to your new machine."
            )
        await _one_step(fleet, home, machine)
        await asyncio.sleep(_LOOK_SECONDS)
        home = _same(await fleet.volumes(), home)


async def _one_step(fleet: Fleet, home: Volume, machine: Instance) -> None:
    try:
        if home.state == "available":
            # What was copied until now will not be all of it any more. Whatever the listing shows:
            # the mark may be younger.
            await fleet.untag([home.id], [MOVING_TAG])
            await fleet.attach(home.id, machine.id, HOME_DEVICE)
            log.info("Attached home %s to %s", home.id, machine.id)
        elif home.attached_to not in (None, machine.id) and _is_off(fleet, home.attached_to):
            await fleet.detach(home.id, home.attached_to, HOME_DEVICE)
    except WrongState as error:
        log.info("Home %s is not free yet: %s", home.id, error)


def _is_off(fleet: Fleet, instance_id: str | None) -> bool:
    holder = fleet.view.get(instance_id or "")
    return holder is not None and holder.state == "stopped"


def _is_attached(home: Volume, machine: Instance) -> bool:
    return home.state == "in-use" and home.attached_to == machine.id


def _same(volumes: list[Volume], home: Volume) -> Volume:
    for volume in volumes:
        if volume.id == home.id:
            return volume
    raise NotFound(
        f"The home volume {home.id} has vanished.", action="DescribeVolumes", code="vanished"
    )
