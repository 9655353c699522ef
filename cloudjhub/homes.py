"""Which of an owner's volumes is the home. Pure.

While a home moves into another zone there are two volumes with the owner's tags, and one tag on
the old one says which of them counts: as long as it is missing the old one is the home, and from
then on the new one that the tag names. So there is exactly one at any moment. A copy that was never
the home says so itself, too: the volume that it was made from may be deleted before it is.
"""

from collections.abc import Iterable

from cloudjhub.ec2_values import Tags, Volume
from cloudjhub.naming import COPY_OF_TAG, MOVING_TAG, SUPERSEDED_TAG

_COPY = "copy-"  # before the attempt: on the copy, not on the home that is copied


def present(volumes: Iterable[Volume]) -> list[Volume]:
    """The homes among an owner's volumes, oldest first; more than one is a fault."""
    theirs = {volume.id: volume for volume in volumes}
    homes = [volume for volume in theirs.values() if _counts(volume, theirs)]
    return sorted(homes, key=lambda home: (str(home.created_at), home.id))


def superseded(volumes: Iterable[Volume]) -> list[Volume]:
    """What was the home until it moved."""
    return [volume for volume in volumes if SUPERSEDED_TAG in volume.tags]


def superseded_by(volume: Volume) -> str | None:
    """Id of the volume that took its place; None while it is the home itself."""
    return volume.tags.get(SUPERSEDED_TAG, "").rpartition(" ")[2] or None


def superseded_value(date: str, volume_id: str) -> str:
    """What the tag says: since when, and which volume is the home now."""
    return f"{date} {volume_id}"


def copy_marks(home_id: str, attempt: str) -> Tags:
    """What a copy is born with, and loses when it is the home: of which home, in which attempt."""
    return {COPY_OF_TAG: home_id, MOVING_TAG: f"{_COPY}{attempt}"}


def attempt_of(home: Volume) -> str | None:
    """The attempt to move it that is under way; None where there is none."""
    return None if is_on_its_way(home.tags) else home.tags.get(MOVING_TAG)


def is_on_its_way(tags: Tags) -> bool:
    """Whether these are the tags of a copy that was not the home yet."""
    return tags.get(MOVING_TAG, "").startswith(_COPY)


def _counts(volume: Volume, theirs: dict[str, Volume]) -> bool:
    if superseded_by(volume) is not None:
        return False
    original = theirs.get(volume.tags.get(COPY_OF_TAG, ""))
    if original is None:
        return not is_on_its_way(volume.tags)
    return superseded_by(original) == volume.id
