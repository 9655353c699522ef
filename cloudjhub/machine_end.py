"""The end of a session on a machine, and the end of a machine: both can be repeated."""

import asyncio
import logging
import time
from collections.abc import Mapping
from contextlib import suppress

from cloudjhub import remains
from cloudjhub.ec2_values import Instance
from cloudjhub.errors import NotFound, TimedOut, WrongState
from cloudjhub.fleet import Fleet
from cloudjhub.naming import RETIRED_TAG, SERVER_TAG, USER_TAG, Owner, retired_from
from cloudjhub.states import STATES, OnStop

log = logging.getLogger(__name__)

_DETACH_SECONDS = 420.0  # a machine that shuts down holds its volumes


async def stop(
    fleet: Fleet,
    machine: Instance,
    *,
    patience_seconds: float,
    force: bool = False,
    hibernate: bool = False,
) -> bool:
    """Have EC2 stop a machine from whatever state it is in; one that is off or gone is fine.

    A machine that is still booting is stopped as soon as EC2 allows. ``force`` gives its own
    shutdown less time. Gives whether EC2 hibernates it, if told so. Raises EC2Error.
    """
    deadline = time.monotonic() + patience_seconds
    seen: Instance | None = machine
    while seen is not None and _is_or_will_be_on(fleet, seen):
        try:
            if STATES[seen.state].on_stop is not OnStop.NOTHING:
                return await fleet.stop(machine.id, force=force, hibernate=hibernate)
        except NotFound:
            return False
        except WrongState:
            if time.monotonic() > deadline:
                raise
        await fleet.view.next_listing()
        seen = fleet.view.get(machine.id)
    return False


def _is_or_will_be_on(fleet: Fleet, machine: Instance) -> bool:
    # A start that its user gave up may still be on its way to EC2.
    return STATES[machine.state].on_stop is not OnStop.NOTHING or fleet.is_being_started(machine.id)


async def set_aside(
    fleet: Fleet, machine: Instance, owner: Owner, reason: Mapping[str, str] | None = None
) -> None:
    """Take a machine that is off out of everybody's sight by its tags; its home may move.

    The first call already does it, so that whatever ends this half-way leaves a user without a
    machine and not with one that is no good. Raises EC2Error.
    """
    await fleet.tag([machine.id], {RETIRED_TAG: retired_from(owner), **(reason or {})})
    await fleet.untag([machine.id], [USER_TAG, SERVER_TAG])


async def remove_for_ever(fleet: Fleet, owner: Owner) -> None:
    """Terminate the owner's machines and delete their homes. Of what is gone already: done."""
    for machine in [*fleet.owned_by(owner), *fleet.set_aside_from(owner)]:
        await fleet.terminate(machine.id)
    deadline = time.monotonic() + _DETACH_SECONDS
    while homes := [home for home in await fleet.volumes_of(owner) if home.state != "deleting"]:
        for home in homes:
            if home.state in ("available", "error"):
                log.warning("Deleting the home %s of %s for ever", home.id, owner)
                with suppress(NotFound):
                    await fleet.delete_volume(home)
        if time.monotonic() > deadline:
            raise TimedOut(f"The homes of {owner} are still attached: {[h.id for h in homes]}.")
        await asyncio.sleep(1.0)
    await remains.tidy(fleet, owner)
