"""Which of an owner's volumes is the home. Pure.

While a home moves into another zone there are two volumes with the owner's tags, and one tag on
the old one says which of them counts: as long as it is missing the old one is the home, and from
then on the new one that the tag names. So there is exactly one at any moment.
"""

from collections.abc import Iterable

from cloudjhub.ec2_values import Volume
from cloudjhub.naming import COPY_OF_TAG, SUPERSEDED_TAG


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


def _counts(volume: Volume, theirs: dict[str, Volume]) -> bool:
    if superseded_by(volume) is not None:
        return False
    original = theirs.get(volume.tags.get(COPY_OF_TAG, ""))
    return original is None or superseded_by(original) == volume.id
