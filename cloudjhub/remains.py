"""What moves of homes left behind: snapshots, and copies that were never the home."""

import logging

from cloudjhub import homes
from cloudjhub.copy_spec import is_copy_of
from cloudjhub.ec2_values import Snapshot, Tags, Volume
from cloudjhub.errors import EC2Error, NotPermitted
from cloudjhub.fleet import Fleet
from cloudjhub.naming import COPY_OF_TAG, Owner, is_owned_by

log = logging.getLogger(__name__)

_FRESH_SECONDS = 60.0  # EC2 answered so lately that a question will not hold a start up


async def tidy_if_due(fleet: Fleet, owner: Owner) -> None:
    """``tidy``, where a move of the owner's may have left something.

    EC2 is asked what earlier hubs left once in the life of this one, not at each user's start.
    """
    copies = fleet.copies
    if not copies.looked and fleet.view.age_seconds < _FRESH_SECONDS:
        try:
            copies.traces.update(await _left_behind(fleet))
        except EC2Error as error:
            log.warning("What moves of homes left behind is looked for later: %s", error)
            copies.looked = isinstance(error, NotPermitted)
        else:
            copies.looked = True
    if any(is_owned_by(tags, owner) for tags in copies.traces.values()):
        await tidy(fleet, owner)


async def _left_behind(fleet: Fleet) -> dict[str, Tags]:
    snapshots = await fleet.copies.snapshots()
    volumes = {volume.id: volume for volume in await fleet.volumes()}
    copies = {each.id: each.tags for each in volumes.values() if homes.is_on_its_way(each.tags)}
    return copies | {each.id: _whose(each, volumes) for each in snapshots}


def _whose(snapshot: Snapshot, volumes: dict[str, Volume]) -> Tags:
    """The tags that say so: its volume's, as that may have got another owner."""
    return volumes.get(snapshot.volume_id, snapshot).tags


async def tidy(fleet: Fleet, owner: Owner) -> None:
    """Remove what the owner's moves that are over left: snapshots, copies that were never the home.

    Not while one is under way. A copy goes only while the volume it was made from is there. What
    fails is left for the next start.
    """
    copies = fleet.copies
    try:
        snapshots = await copies.snapshots()  # first, as a home is marked before it is copied
        volumes = {volume.id: volume for volume in await fleet.volumes()}
        for snapshot in snapshots:
            if not is_owned_by(_whose(snapshot, volumes), owner):
                continue
            if _is_over(volumes.get(snapshot.volume_id), snapshot.tags):
                await copies.delete_snapshot(snapshot)
        theirs = [each for each in volumes.values() if is_owned_by(each.tags, owner)]
        done = [await _tidied(fleet, each, volumes) for each in theirs]
    except EC2Error as error:
        log.warning("Left-overs of moves are removed at the next start: %s", error)
        return
    if all(done):
        traces = copies.traces.items()
        copies.traces = {key: tags for key, tags in traces if not is_owned_by(tags, owner)}


async def _tidied(fleet: Fleet, volume: Volume, volumes: dict[str, Volume]) -> bool:
    """Whether the volume is of no concern any more: deleted if it is an unused copy."""
    original = volumes.get(volume.tags.get(COPY_OF_TAG, ""))
    if original is None or not homes.is_on_its_way(volume.tags):
        return True
    if homes.superseded_by(original) == volume.id or not _is_over(original, volume.tags):
        return True
    if volume.state not in ("available", "error"):
        return False
    log.info("Deleting %s, an unused copy of %s", volume.id, original.id)
    await fleet.delete_volume(volume)
    return True


def _is_over(original: Volume | None, tags: Tags) -> bool:
    """Whether a snapshot or copy with these tags is of no use to a move any more."""
    if original is None or original.state in ("deleting", "deleted"):
        return True
    if homes.superseded_by(original) is not None:
        return True
    return not is_copy_of(tags, original)
