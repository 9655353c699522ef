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
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Literal

from cloudjhub import homes
from cloudjhub.copy_spec import is_copy_of
from cloudjhub.ec2_values import HOME_DEVICE, Snapshot, Volume
from cloudjhub.errors import EC2Error, HomeHeldUp, NoCapacity, NotFound, TimedOut, WrongState
from cloudjhub.fleet import Fleet
from cloudjhub.naming import COPY_OF_TAG, MOVING_TAG, SUPERSEDED_TAG, Owner

log = logging.getLogger(__name__)

#: said where the files are not on a volume of their own
STAYS = (
    "Your files are on the machine's own disk, which cannot be moved to another zone. Try again "
    "in a few minutes; your administrator can name more types in WORKER_INSTANCE_TYPE."
)

_LET_GO_SECONDS = 300.0
_COPY_SECONDS = 6 * 3600.0  # a start gives up long before; the next one goes on
_LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class Terms:
    """MOVE_HOMES, and whether the user or an admin agreed to this move."""

    rule: Literal["ask", "always", "never"] = "never"
    agreed: bool = False

    def allow(self, home: Volume) -> bool:
        """Whether the home may be moved now. A move that was begun was agreed to then."""
        if self.rule == "ask":
            return self.agreed or MOVING_TAG in home.tags
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
    """A complete copy of the home in the zone. Its machine must be off. EC2Error, TimedOut."""
    home = await _let_go(fleet, home)
    attempt = home.tags.get(MOVING_TAG)
    if attempt is None:
        attempt = uuid.uuid4().hex[:12]
        await fleet.tag([home.id], {MOVING_TAG: attempt})
        home.tags[MOVING_TAG] = attempt
    log.info("Moving the home %s from %s to %s, attempt %s", home.id, home.zone, zone, attempt)
    copy = await _copy_in(fleet, home, zone)
    if copy is None:
        snapshot = await _complete_snapshot(fleet, home, attempt)
        copy = await fleet.copies.volume(home, snapshot, zone, attempt)
    return Move(home, await _available(fleet, copy))


async def take_effect(fleet: Fleet, move: Move) -> None:
    """From now on the copy is the home; the old volume stays, for people to delete. EC2Error."""
    today = datetime.now(timezone.utc).date().isoformat()
    value = homes.superseded_value(today, move.copy.id)
    await fleet.tag([move.home.id], {SUPERSEDED_TAG: value})
    log.warning(
        "The home %s in %s has moved: it is %s in %s now. The old volume stays until somebody "
        "deletes it",
        move.home.id,
        move.home.zone,
        move.copy.id,
        move.copy.zone,
    )


async def tidy(fleet: Fleet, owner: Owner) -> None:
    """Remove snapshots and unused copies of moves that are over. What fails is left for the next.

    A copy goes only while the volume it was made from is there.
    """
    try:
        volumes = {volume.id: volume for volume in await fleet.volumes()}
        for snapshot in await fleet.copies.snapshots():
            if _is_over(volumes.get(snapshot.volume_id), snapshot.tags):
                await fleet.copies.delete_snapshot(snapshot)
        counting = {home.id for home in await fleet.homes_of(owner)}
        for volume in await fleet.volumes_of(owner):
            original = volumes.get(volume.tags.get(COPY_OF_TAG, ""))
            was_never_home = volume.id not in counting and SUPERSEDED_TAG not in volume.tags
            if original is None or volume.state != "available" or not was_never_home:
                continue
            if _is_over(original, volume.tags):
                log.info("Deleting %s, an unused copy of %s", volume.id, original.id)
                await fleet.delete_volume(volume)
    except EC2Error as error:
        log.warning("Left-overs of moves are removed after the next one: %s", error)


def _is_over(original: Volume | None, marks: dict[str, str]) -> bool:
    """Whether what has these marks is of no use to a move any more."""
    if original is None or homes.superseded_by(original) is not None:
        return True
    return original.tags.get(MOVING_TAG) != marks.get(MOVING_TAG)


async def _let_go(fleet: Fleet, home: Volume) -> Volume:
    """The home at no machine: what is copied then is all there is, and nobody adds to it."""
    deadline = time.monotonic() + _LET_GO_SECONDS
    while home.state != "available":
        holder = fleet.view.get(home.attached_to or "")
        if holder is not None and holder.state == "stopped":
            with suppress(WrongState):
                await fleet.detach(home.id, holder.id, HOME_DEVICE)
        if time.monotonic() > deadline:
            raise TimedOut(f"Your files ({home.id}) are still in use at {home.attached_to}.")
        await asyncio.sleep(_LOOK_SECONDS)
        home = _found(await fleet.volumes(), home)
    return home


async def _copy_in(fleet: Fleet, home: Volume, zone: str) -> Volume | None:
    """What an interrupted start made already."""
    for volume in await fleet.volumes():
        usable = volume.state in ("creating", "available") and volume.zone == zone
        if usable and is_copy_of(volume.tags, home):
            return volume
    return None


async def _complete_snapshot(fleet: Fleet, home: Volume, attempt: str) -> Snapshot:
    deadline = time.monotonic() + _COPY_SECONDS
    snapshot = await _begun_snapshot(fleet, home)
    if snapshot is None:
        snapshot = await fleet.copies.snapshot(home, attempt)
    while snapshot.state != "completed":
        if snapshot.state == "error" or time.monotonic() > deadline:
            raise TimedOut(f"EC2 could not copy your files (snapshot {snapshot.id}).")
        await asyncio.sleep(_LOOK_SECONDS)
        listed = {each.id: each for each in await fleet.copies.snapshots()}
        snapshot = listed.get(snapshot.id, snapshot)
    return snapshot


async def _begun_snapshot(fleet: Fleet, home: Volume) -> Snapshot | None:
    for snapshot in await fleet.copies.snapshots():
        if snapshot.state != "error" and is_copy_of(snapshot.tags, home):
            return snapshot
    return None


async def _available(fleet: Fleet, copy: Volume) -> Volume:
    deadline = time.monotonic() + _COPY_SECONDS
    while copy.state != "available":
        if copy.state == "error" or time.monotonic() > deadline:
            raise TimedOut(f"EC2 could not copy your files (volume {copy.id}).")
        await asyncio.sleep(_LOOK_SECONDS)
        copy = _found(await fleet.volumes(), copy, patient=True)
    return copy


def _found(volumes: list[Volume], wanted: Volume, *, patient: bool = False) -> Volume:
    """The volume as listed now; ``patient``: it is too new to be missed."""
    for volume in volumes:
        if volume.id == wanted.id:
            return volume
    if patient:
        return wanted
    raise NotFound(
        f"The home volume {wanted.id} has vanished.", action="DescribeVolumes", code="vanished"
    )
