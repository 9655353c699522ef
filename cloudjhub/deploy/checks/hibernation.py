"""Whether machines will hibernate where idle ones are to: type, memory, disk and AMI.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/hibernating-prerequisites.html
"""

import math
import re

from cloudjhub.account.images import MachineImage
from cloudjhub.account.types import InstanceType
from cloudjhub.deploy import distributions
from cloudjhub.deploy.checks.world import World
from cloudjhub.deploy.distributions import UBUNTU_22_04
from cloudjhub.deploy.findings import Finding, note

_MOST_MEMORY_GIB = 150
_STOP = "say --idle_action stop"
_SERIAL = re.compile(r"-(\d{8})(\.\d+)?$")


def check(world: World) -> list[Finding]:
    settings = world.settings
    if settings.idle_action == "hibernate":
        return [*_types(world), *_disk(world), *_image(world)]
    if settings.pool_state == "hibernated":
        what = "no machine can hibernate with IDLE_ACTION stop."
        remedy = "Say --idle_action hibernate, or --pool_state stopped."
        return [Finding(what, "POOL_STATE hibernated", remedy)]
    return []


# -- types


def _types(world: World) -> list[Finding]:
    """The first is what users get. Another stands in for it, and is stopped if it cannot sleep."""
    first, *others = world.settings.worker_instance_types
    found = []
    for name in (first, *others):
        kind = world.types.get(name)
        why = _why_not(kind) if kind else ""
        where = f"WORKER_INSTANCE_TYPE {name}"
        if why and name == first:
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


# -- the disk


def _disk(world: World) -> list[Finding]:
    """The memory is written to the root disk, beside all that is there."""
    settings = world.settings
    known = [world.types.get(name) for name in settings.worker_instance_types]
    kinds = [kind for kind in known if kind and not _why_not(kind)]
    image = _source(world)
    if image is None or not kinds:
        return []
    largest = max(kinds, key=_memory_gib)
    needed = image.root_gib + math.ceil(_memory_gib(largest))
    if settings.root_disk_gib >= needed:
        return []
    what = (
        f"the AMI takes {image.root_gib} GiB and the memory of a {largest.name} another "
        f"{_memory_gib(largest):g} GiB; without room for both it shuts down instead of hibernating."
    )
    remedy = f"Say --worker_ebs_size {needed}, or more."
    return [Finding(what, f"WORKER_EBS_SIZE {settings.root_disk_gib}", remedy)]


def _source(world: World) -> MachineImage | None:
    return world.custom_image if world.settings.custom_worker_ami else world.base_image


# -- the AMI


def _image(world: World) -> list[Finding]:
    image = _source(world)
    if image is None:
        return []
    key = "CUSTOM_WORKER_AMI" if world.settings.custom_worker_ami else "BASE_AMI"
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
