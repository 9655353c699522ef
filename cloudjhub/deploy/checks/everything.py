"""All checks, in one list of findings."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cloudjhub.deploy.checks import (
    address,
    cluster,
    disks,
    files,
    hibernation,
    identity,
    image,
    keys,
    network,
    permissions,
    pool,
    profile,
    quotas,
    role_rights,
    types,
)
from cloudjhub.deploy.checks.world import World
from cloudjhub.deploy.findings import Finding, errors_among
from cloudjhub.errors import EC2Error


@dataclass(frozen=True)
class Check:
    """One thing that is looked at."""

    title: str
    look: Callable[[World], list[Finding]]


FIRST = Check("credentials", identity.check)
CHECKS = (
    Check("cluster name", cluster.check),
    Check("AMIs", image.check),
    Check("instance types", types.check),
    Check("disks", disks.check),
    Check("hibernation", hibernation.check),
    Check("network", network.check),
    Check("key pair", keys.check),
    Check("files, HTTPS and login", files.check),
    Check("SSH address and domain", address.check),
    Check("manager's role", profile.check),
    Check("class and pool", pool.check),
    Check("quotas", quotas.check),
    Check("permissions", permissions.check),
    Check("rights on the manager's role", role_rights.check),
)


def look(world: World) -> Iterator[tuple[Check, list[Finding]]]:
    """Each check with what it found. Without credentials, nothing more is asked."""
    found = FIRST.look(world)
    yield FIRST, found
    if errors_among(found):
        return
    for check in CHECKS:
        yield check, _looked(check, world)


def _looked(check: Check, world: World) -> list[Finding]:
    """What AWS refuses to say is a finding as well."""
    try:
        return check.look(world)
    except EC2Error as error:
        return [Finding(error.message, check.title, error.remedy)]
