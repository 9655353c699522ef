"""User and server names as tag values and instance names: always valid, never colliding.

A JupyterHub user name is any Unicode string. It becomes a tag value (256 characters at most,
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html) and part of the ``Name`` tag.
It never becomes a Unix name, a path or a shell word.
"""

import hashlib
import re
from typing import NamedTuple

CLUSTER_TAG = "cloudjhub:cluster"
ROLE_TAG = "cloudjhub:role"
USER_TAG = "cloudjhub:user"
SERVER_TAG = "cloudjhub:server"
SHAPE_TAG = "cloudjhub:shape"
HOST_KEY_TAG = "cloudjhub:host-key"
RETIRED_TAG = "cloudjhub:retired"
#: on a machine that was replaced; its value is why: the AMI wanted then, or its home's new zone
OUTDATED_TAG = "cloudjhub:outdated"
#: on a snapshot that was made because its volume, the value, was to be deleted
LAST_OF_TAG = "cloudjhub:last-of"
#: on a home that is being moved into another zone
MOVING_TAG = "cloudjhub:moving"
#: on a volume that was a home until it moved; the value is the date and the volume that has it now
SUPERSEDED_TAG = "cloudjhub:superseded"
#: on a snapshot and on the volume made from it: the home that they are copies of
COPY_OF_TAG = "cloudjhub:copy-of"
#: on a builder: how far it is
BUILD_TAG = "cloudjhub:build"
#: on the manager: when its launch was finished; absent while one is under way
LAUNCHED_TAG = "cloudjhub:launched"
SERVER_OWNER_TAG = "cloudjhub:paid-by"

NAME_TAG = "Name"

WORKER_ROLE = "worker"
DISK_ROLE = "disk"
MANAGER_ROLE = "manager"
MANAGER2_ROLE = "manager2"
BUILDER_ROLE = "builder"
MANAGER_DISK_ROLE = "manager-disk"
BUILDER_DISK_ROLE = "builder-disk"
WORKER_IMAGE_ROLE = "worker-image"
HOME_SNAPSHOT_ROLE = "home-snapshot"
#: on the way of a home into another zone; a hub may delete these, and no other snapshots
HOME_MOVE_ROLE = "home-move"
WORKER_KEY_ROLE = "worker-key"

#: An IAM role's name has 64 characters at most, and ours carries the cluster's inside.
CLUSTER_NAME_LIMIT = 64 - len("cloudjhub--manager")
CLUSTER_NAME = rf"^[A-Za-z0-9][A-Za-z0-9_-]{{0,{CLUSTER_NAME_LIMIT - 1}}}$"

_TAG_VALUE_LIMIT = 256
_HASH_LENGTH = 32
# What EC2 filters or XML would read as something else, and our own escape and hash marks.
_ESCAPED = frozenset('%~*?\\<>&"')


class Owner(NamedTuple):
    """Whose machine: a JupyterHub user and the name of one of their servers ("" is the default)."""

    user: str
    server: str = ""

    def __str__(self) -> str:
        return f"{self.user}/{self.server}" if self.server else self.user


def resource_name(cluster: str, role: str) -> str:
    """What a resource of the cluster is called: its ``Name`` tag, or its name where it has one."""
    return f"cloudjhub-{cluster}-{role}"


def key_pair_name(cluster: str) -> str:
    """The EC2 key pair that users' machines admit; its private half stays on the manager."""
    return resource_name(cluster, WORKER_ROLE)


def role_tags(cluster: str, role: str, server_owner: str = "") -> dict[str, str]:
    """The tags that every resource of a cluster is born with."""
    tags = {CLUSTER_TAG: cluster, ROLE_TAG: role, NAME_TAG: resource_name(cluster, role)}
    if server_owner:
        tags[SERVER_OWNER_TAG] = server_owner
    return tags


def tag_value(name: str) -> str:
    """Any string as a tag value: readable where it can be, and different for different strings."""
    escaped = "".join(_escape(character) for character in name)
    if len(escaped) <= _TAG_VALUE_LIMIT and escaped == escaped.strip():
        return escaped
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_LENGTH]
    return f"{escaped[: _TAG_VALUE_LIMIT - _HASH_LENGTH - 1].strip()}~{digest}"


def _escape(character: str) -> str:
    if character in _ESCAPED or not character.isprintable():
        return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))
    return character


def owner_tags(owner: Owner) -> dict[str, str]:
    """The tags that make a machine or a home volume this owner's."""
    return {USER_TAG: tag_value(owner.user), SERVER_TAG: tag_value(owner.server)}


def is_owned_by(tags: dict[str, str], owner: Owner) -> bool:
    """Whether these tags name this owner."""
    return owner_tags(owner).items() <= tags.items()


def has_owner(tags: dict[str, str]) -> bool:
    """Whether these tags name any owner; a machine without one is a spare."""
    return USER_TAG in tags


def was_somebodys(tags: dict[str, str]) -> bool:
    """Whether any tag shows that a user had the machine, even if the owner's own is lost."""
    return any(tag in tags for tag in (USER_TAG, SERVER_TAG, HOST_KEY_TAG, RETIRED_TAG))


def retired_from(owner: Owner) -> str:
    """Value of the tag of a machine that was set aside: whose it was, different for each owner."""
    return tag_value(f"{owner.user}\n{owner.server}")


def instance_name(cluster: str, owner: Owner) -> str:
    """The ``Name`` tag, for people who read the EC2 console; nothing looks machines up by it."""
    readable = re.sub(r"[^a-z0-9]+", "-", str(owner).lower()).strip("-")[:60] or "user"
    return f"{cluster}-{readable}"
