"""Whether AWS would let the operator make what a launch makes: asked by dry runs."""

from collections.abc import Iterator
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cloudjhub.account import access, machines
from cloudjhub.account.filters import tag_specification
from cloudjhub.deploy import requests
from cloudjhub.deploy.checks.world import World
from cloudjhub.deploy.findings import Finding, note
from cloudjhub.errors import EC2Error, NotPermitted
from cloudjhub.naming import (
    MANAGER2_ROLE,
    MANAGER_ROLE,
    WORKER_KEY_ROLE,
    key_pair_name,
    resource_name,
    role_tags,
)

_MANAGERS = (MANAGER_ROLE, MANAGER2_ROLE)
_POLICY = "docs/install.md has the operator's policy."


def check(world: World) -> list[Finding]:
    findings = [
        Finding(error.message, f"permission ec2:{error.action}", error.remedy)
        for operation, arguments in _creations(world)
        if (error := access.refused(world.clients.ec2, operation, **arguments))
    ]
    return findings + _launching(world)


def _creations(world: World) -> Iterator[tuple[str, dict[str, Any]]]:
    """Calls that need nothing to exist; they are refused for one reason only."""
    cluster, owner = world.settings.cluster_name, world.settings.server_owner
    if world.vpc_id and MANAGER_ROLE not in world.groups:
        tags = role_tags(cluster, MANAGER_ROLE, owner)
        yield (
            "create_security_group",
            {
                "GroupName": resource_name(cluster, MANAGER_ROLE),
                "Description": "dry run",
                "VpcId": world.vpc_id,
                "TagSpecifications": [tag_specification("security-group", tags)],
            },
        )
    tags = role_tags(cluster, MANAGER_ROLE, owner)
    yield (
        "allocate_address",
        {"Domain": "vpc", "TagSpecifications": [tag_specification("elastic-ip", tags)]},
    )
    tags = role_tags(cluster, WORKER_KEY_ROLE, owner)
    yield (
        "import_key_pair",
        {
            "KeyName": key_pair_name(cluster),
            "PublicKeyMaterial": _any_public_key(),
            "TagSpecifications": [tag_specification("key-pair", tags)],
        },
    )


def _launching(world: World) -> list[Finding]:
    """A machine with our tags, in our groups where they exist already."""
    if world.base_image is None or world.public is None:
        return []
    ours = [group.id for role, group in world.groups.items() if role in _MANAGERS]
    request = requests.builder(world.settings, world.base_image, tuple(ours))
    error = machines.dry_run(world.clients.ec2, request)
    if error is None or not isinstance(error, NotPermitted):
        return _other(world, error)
    where = "permission ec2:RunInstances"
    resource = access.refused_resource(world.clients.sts, error)
    if ours or (resource and ":security-group/" not in resource):
        on = f" It was refused on {resource}." if resource else ""
        return [Finding(f"{error.message}{on}", where, f"{error.remedy} {_POLICY}")]
    if resource:
        what = "is there, as far as it can be tried before the cluster's security groups exist."
        return [note(what, where)]
    what = (
        "cannot be tried before the security groups exist: the VPC's default group may be all "
        "that was refused, and sts:DecodeAuthorizationMessage, which would tell, is refused too."
    )
    return [note(what, where, _POLICY)]


def _other(world: World, error: EC2Error | None) -> list[Finding]:
    """What else EC2 has against the machine; named by other checks where they found it."""
    if error is None or error.code.startswith("Invalid"):
        return []
    return [Finding(error.message, "RunInstances (dry run)", error.remedy)]


def _any_public_key() -> bytes:
    """A well-formed key that nobody keeps."""
    public = Ed25519PrivateKey.generate().public_key()
    return public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
