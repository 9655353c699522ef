"""Homes that move into another zone, by a snapshot.

The old volume is let go, copied, and stays for ever as it was; one tag on it, written when the
copy is complete, is the moment from which the copy is the home (see ``homes``). Whatever ends a
move half-way, the next start finds the one home and goes on: snapshot and copy carry the mark of
the attempt, which the home has for as long as nobody wrote to it. Connecting the old volume to a
machine takes that mark away, and with it what was copied until then.
"""

import asyncio
import logging
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Literal

from cloudjhub import homes
from cloudjhub.copy_spec import is_copy_of
from cloudjhub.ec2_values import HOME_DEVICE, Snapshot, Volume
from cloudjhub.errors import (
    EC2Error,
    HomeHeldUp,
    NoCapacity,
    NotFound,
    TimedOut,
    WrongState,
)
from cloudjhub.fleet import Fleet
from cloudjhub.naming import MOVING_TAG, SUPERSEDED_TAG

log = logging.getLogger(__name__)

#: said where the files are not on a volume of their own
STAYS = (
    "Your files are on the machine's own disk, which cannot be moved to another zone. Try again "
    "in a few minutes; your administrator can name more types in WORKER_INSTANCE_TYPE."
)

_LET_GO_SECONDS = 300.0
_COPY_SECONDS = 6 * 3600.0  # a start gives up long before; the next one goes on
_LOOK_SECONDS = 1.0
_MOST_UNSEEN = 60  # listings in a row that may not show yet what was just made
_OTHER_ARGUMENTS = "IdempotentParameterMismatch"  # size or tags of the home are not as they were


class CopyFailed(TimedOut):
    """What was begun in this attempt will never be a complete copy."""


@dataclass(frozen=True)
class Terms:
    """MOVE_HOMES, and whether the user or an admin agreed to this move."""

    rule: Literal["ask", "always", "never"] = "never"
    agreed: bool = False

    def allow(self, home: Volume) -> bool:
        """Whether the home may be moved now. A move that was begun was agreed to then."""
        if self.rule == "ask":
            return self.agreed or homes.attempt_of(home) is not None
        return self.rule == "always"


@dataclass(frozen=True)
class Move:
    """A home and its complete copy in another zone, which is not the home yet."""

    home: Volume
    copy: Volume


def held_up(refusal: EC2Error, home: Volume, terms: Terms, zones: set[str]) -> EC2Error:
    """What to say where the home's zone has nothing and the home is not moved.

    ``zones``: where machines could be instead.
    """
    if not zones and isinstance(refusal, NoCapacity):
        remedy = (
            "Try again in a few minutes. Your administrator can name more types in "
            "WORKER_INSTANCE_TYPE, or subnets of other zones in SUBNET_ID."
        )
    elif not zones:
        remedy = refusal.remedy
    elif terms.rule == "ask":
        return HomeHeldUp(
            f"{refusal.message} Your files are there.",
            f"Try again in a few minutes, or have your files moved to {' or '.join(sorted(zones))}:"
            " they are copied, which takes some minutes, and you work there from then on.",
            refusal=refusal,
        )
    else:
        remedy = (
            f"Your files are in zone {home.zone} and stay there. Try again in a few minutes. Your "
            "administrator can name more types in WORKER_INSTANCE_TYPE, or allow moves by "
            "MOVE_HOMES."
        )
    refusal.remedy = remedy
    return refusal


async def copied(fleet: Fleet, home: Volume, zone: str) -> Move:
    """A complete copy of the home in the zone. Its machine must be off. EC2Error, TimedOut.

    A copy that comes to nothing is begun once more, as another attempt.
    """
    fleet.copies.traces[home.id] = home.tags
    home = await _let_go(fleet, home)
    if homes.attempt_of(home) is None:
        await _begin(fleet, home)
    attempt = homes.attempt_of(home)
    log.info("Moving the home %s from %s to %s, attempt %s", home.id, home.zone, zone, attempt)
    try:
        return Move(home, await _complete_copy(fleet, home, zone))
    except CopyFailed as error:
        log.warning("%s Begun again.", error.message)
        await _begin(fleet, home)
    try:
        return Move(home, await _complete_copy(fleet, home, zone))
    except CopyFailed:
        await _begin(fleet, home)  # for the next start, which was agreed to as this one was
        raise


async def take_effect(fleet: Fleet, move: Move) -> None:
    """From now on the copy is the home; the old volume stays, for people to delete. EC2Error."""
    today = datetime.now(timezone.utc).date().isoformat()
    value = homes.superseded_value(today, move.copy.id)
    await fleet.tag([move.home.id], {SUPERSEDED_TAG: value})
    await fleet.untag([move.copy.id], [MOVING_TAG])
    log.warning(
        "The home %s in %s has moved: it is %s in %s now. The old volume stays until somebody "
        "deletes it",
        move.home.id,
        move.home.zone,
        move.copy.id,
        move.copy.zone,
    )


async def _begin(fleet: Fleet, home: Volume) -> None:
    """Mark the home with a new attempt: what was copied in an earlier one is never used."""
    attempt = uuid.uuid4().hex[:12]
    await fleet.tag([home.id], {MOVING_TAG: attempt})
    home.tags[MOVING_TAG] = attempt


async def _let_go(fleet: Fleet, home: Volume) -> Volume:
    """The home at no machine: what is copied then is all there is, and nobody adds to it.

    One that was at a machine has no mark of an attempt: it is of a time before it was there, if
    a listing still shows one.
    """
    deadline = time.monotonic() + _LET_GO_SECONDS
    was_at_a_machine = home.state != "available"
    while home.state != "available":
        holder = fleet.view.get(home.attached_to or "")
        if holder is not None and holder.state == "stopped":
            with suppress(WrongState):
                await fleet.detach(home.id, holder.id, HOME_DEVICE)
        if time.monotonic() > deadline:
            raise TimedOut(f"Your files ({home.id}) are still in use at {home.attached_to}.")
        await asyncio.sleep(_LOOK_SECONDS)
        home = _found(await fleet.volumes(), home)
    tags = dict(home.tags)
    if was_at_a_machine:
        tags.pop(MOVING_TAG, None)
    return replace(home, tags=tags)


async def _complete_copy(fleet: Fleet, home: Volume, zone: str) -> Volume:
    """The copy of the attempt under way, whatever of it there is already."""
    copy = await _copy_in(fleet, home, zone)
    if copy is None:
        snapshot = await _complete_snapshot(fleet, home)
        copy = await _copy_from(fleet, snapshot, home, zone)
    return await _available(fleet, copy)


async def _copy_in(fleet: Fleet, home: Volume, zone: str) -> Volume | None:
    """What an interrupted start made already."""
    for volume in await fleet.volumes():
        usable = volume.state in ("creating", "available") and volume.zone == zone
        if usable and is_copy_of(volume.tags, home):
            return volume
    return None


async def _copy_from(fleet: Fleet, snapshot: Snapshot, home: Volume, zone: str) -> Volume:
    try:
        return await fleet.copies.volume(home, snapshot, zone, home.tags[MOVING_TAG])
    except NotFound as error:
        raise CopyFailed(f"The copy of your files (snapshot {snapshot.id}) is gone.") from error
    except EC2Error as error:
        if error.code != _OTHER_ARGUMENTS:
            raise
        raise CopyFailed(f"Your home {home.id} was changed while it was copied.") from error


async def _complete_snapshot(fleet: Fleet, home: Volume) -> Snapshot:
    deadline, unseen = time.monotonic() + _COPY_SECONDS, 0
    snapshot = await _begun_snapshot(fleet, home)
    if snapshot is None:
        snapshot = await fleet.copies.snapshot(home, home.tags[MOVING_TAG])
    while snapshot.state != "completed":
        _must_go_on(f"snapshot {snapshot.id}", snapshot.state, unseen, deadline)
        await asyncio.sleep(_LOOK_SECONDS)
        listed = {each.id: each for each in await fleet.copies.snapshots()}
        unseen = 0 if snapshot.id in listed else unseen + 1
        snapshot = listed.get(snapshot.id, snapshot)
    return snapshot


async def _begun_snapshot(fleet: Fleet, home: Volume) -> Snapshot | None:
    for snapshot in await fleet.copies.snapshots():
        if snapshot.state != "error" and is_copy_of(snapshot.tags, home):
            return snapshot
    return None


async def _available(fleet: Fleet, copy: Volume) -> Volume:
    deadline, unseen = time.monotonic() + _COPY_SECONDS, 0
    while copy.state != "available":
        _must_go_on(f"volume {copy.id}", copy.state, unseen, deadline)
        await asyncio.sleep(_LOOK_SECONDS)
        listed = {each.id: each for each in await fleet.volumes()}
        unseen = 0 if copy.id in listed else unseen + 1
        copy = listed.get(copy.id, copy)
    return copy


def _must_go_on(what: str, state: str, unseen: int, deadline: float) -> None:
    """Raise unless the copy can still become complete. ``unseen``: listings without it."""
    if state == "error":
        raise CopyFailed(f"EC2 could not copy your files ({what}).")
    if unseen > _MOST_UNSEEN:
        raise CopyFailed(f"The copy of your files ({what}) is gone.")
    if time.monotonic() > deadline:
        raise TimedOut(f"EC2 has not copied your files in time ({what}).")


def _found(volumes: list[Volume], wanted: Volume) -> Volume:
    for volume in volumes:
        if volume.id == wanted.id:
            return volume
    raise NotFound(
        f"The home volume {wanted.id} has vanished.", action="DescribeVolumes", code="vanished"
    )
