"""The requests that copy a home into another zone. Pure.

Snapshot and copy carry their marks from birth: whose home they are of, and in which attempt to
move it they were made. A copy of an attempt that was given up is never taken for the home.
"""

from typing import Any

from cloudjhub import homes
from cloudjhub.ec2_values import Snapshot, Tags, Volume, tag_list
from cloudjhub.naming import (
    COPY_OF_TAG,
    HOME_MOVE_ROLE,
    MOVING_TAG,
    NAME_TAG,
    ROLE_TAG,
    SUPERSEDED_TAG,
    resource_name,
)

_RESERVED = "aws:"  # tags that only AWS may write


def is_copy_of(tags: Tags, home: Volume) -> bool:
    """Whether something with these tags is a copy of the home, of the attempt now under way."""
    attempt = homes.attempt_of(home)
    return attempt is not None and homes.copy_marks(home.id, attempt).items() <= tags.items()


def snapshot_arguments(cluster: str, home: Volume, attempt: str) -> dict[str, Any]:
    """CreateSnapshot of the home."""
    tags = {
        **_inherited(home),
        ROLE_TAG: HOME_MOVE_ROLE,
        NAME_TAG: resource_name(cluster, HOME_MOVE_ROLE),
        **homes.copy_marks(home.id, attempt),
    }
    return {
        "VolumeId": home.id,
        "Description": f"Home {home.id} on its way to another zone",
        "TagSpecifications": [{"ResourceType": "snapshot", "Tags": tag_list(tags)}],
    }


def volume_arguments(home: Volume, snapshot: Snapshot, zone: str, attempt: str) -> dict[str, Any]:
    """CreateVolume of the home's copy. The same attempt in the same zone gives the same volume."""
    tags = {**_inherited(home), **homes.copy_marks(home.id, attempt)}
    return {
        "SnapshotId": snapshot.id,
        "AvailabilityZone": zone,
        "Size": home.size_gib,
        "VolumeType": "gp3",
        "Encrypted": True,
        "ClientToken": f"{attempt}-{snapshot.id.removeprefix('snap-')}-{zone}"[-64:],
        "TagSpecifications": [{"ResourceType": "volume", "Tags": tag_list(tags)}],
    }


def _inherited(home: Volume) -> Tags:
    own = (MOVING_TAG, SUPERSEDED_TAG, COPY_OF_TAG)
    return {
        key: value
        for key, value in home.tags.items()
        if key not in own and not key.startswith(_RESERVED)
    }
