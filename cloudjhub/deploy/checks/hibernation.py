"""Whether machines will hibernate where idle ones are to: type, memory, disk and AMI.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/hibernating-prerequisites.html
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from cloudjhub.account.images import MachineImage
from cloudjhub.account.types import InstanceType
from cloudjhub.deploy import distributions
from cloudjhub.deploy.checks.world import World
from cloudjhub.deploy.distributions import UBUNTU_22_04
from cloudjhub.deploy.findings import Finding, note

_MOST_MEMORY_GIB = 150
_STOP = "say --idle_action stop"
_SERIAL = re.compile(r"-(\d{8})(\.\d+)?$")


@dataclass(frozen=True)
class Sleepers:
    """What machines that are to hibernate are made of. ``image`` None: not known."""

    types: tuple[str, ...]  # the best first
    known: Mapping[str, InstanceType]
    image: MachineImage | None
    root_gib: int


def check(world: World) -> list[Finding]:
    settings = world.settings
    custom = settings.custom_worker_ami
    source = world.custom_image if custom else world.base_image
    if settings.idle_action == "hibernate":
        made_of = Sleepers(
            settings.worker_instance_types, world.types, source, settings.root_disk_gib
        )
        key = "CUSTOM_WORKER_AMI" if custom else "BASE_AMI"
        return [*types(made_of), *disk(made_of), *ami(source, key)]
    if settings.pool_state == "hibernated":
        what = "no machine can hibernate with IDLE_ACTION stop."
        remedy = "Say --idle_action hibernate, or --pool_state stopped."
        return [Finding(what, "POOL_STATE hibernated", remedy)]
    return []


def types(made_of: Sleepers) -> list[Finding]:
    """The first is what users get. Another stands in for it, and is stopped if it cannot sleep."""
    found = []
    for name in made_of.types:
        kind = made_of.known.get(name)
        why = _why_not(kind) if kind else ""
        where = f"WORKER_INSTANCE_TYPE {name}"
        if why and name == made_of.types[0]:
            remedy = f"Choose another type, such as t3.medium, or {_STOP}."
            found.append(Finding(why, where, remedy))
        elif why:
            found.append(note(why, where, "Idle machines of it are stopped."))
    return found


def _why_not(kind: InstanceType) -> str:
    if not kind.hibernates:
        return "machines of this type cannot hibernate."
    if _memory_gib(kind) >= _MOST_MEMORY_GIB:
        has = f"it has {_memory_gib(kind):.0f} GiB of memory"
        return f"{has}; EC2 hibernates machines with less than {_MOST_MEMORY_GIB} only."
    return ""


def _memory_gib(kind: InstanceType) -> float:
    return kind.memory_mib / 1024


def disk(made_of: Sleepers) -> list[Finding]:
    """The memory is written to the root disk, beside all that is there."""
    known = [made_of.known.get(name) for name in made_of.types]
    kinds = [kind for kind in known if kind and not _why_not(kind)]
    image = made_of.image
    if image is None or not kinds:
        return []
    largest = max(kinds, key=_memory_gib)
    needed = image.root_gib + math.ceil(_memory_gib(largest))
    if made_of.root_gib >= needed:
        return []
    what = (
        f"the AMI takes {image.root_gib} GiB and the memory of a {largest.name} another "
        f"{_memory_gib(largest):g} GiB; without room for both it shuts down instead of hibernating."
    )
    remedy = f"Say --worker_ebs_size {needed}, or more."
    return [Finding(what, f"WORKER_EBS_SIZE {made_of.root_gib}", remedy)]


def ami(image: MachineImage | None, key: str) -> list[Finding]:
    """``key``: of the setting that names it."""
    if image is None:
        return []
    where, other = f"{key} {image.id}", f"Use an AMI of {UBUNTU_22_04.title}, or {_STOP}."
    distribution = distributions.of_image(image.name)
    if distribution is None:
        what = "nobody here can tell whether machines made from it hibernate."
        agent = ", ".join(UBUNTU_22_04.hibernation_packages)
        return [note(what, where, f"It needs what {agent} is for Ubuntu. Try it with one machine.")]
    if not distribution.hibernation_packages:
        what = f"{distribution.title} has no agent that would write the memory to the disk."
        return [Finding(what, where, other)]
    since = dict(distribution.hibernates_since).get(image.architecture)
    if since is None:
        what = f"Amazon does not list {distribution.title} among the systems that hibernate."
        return [note(what, where, f"It has the agent: try it with one machine. Or: {other}")]
    serial = _SERIAL.search(image.name)
    if serial and serial[1] < since:
        what = f"images of {distribution.title} hibernate from {since} on; this is {serial[1]}."
        return [Finding(what, where, "Choose a current AMI of the distribution.")]
    return []
