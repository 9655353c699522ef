"""What a start of a machine works from."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from cloudjhub.ec2_values import Instance
from cloudjhub.errors import EC2Error
from cloudjhub.launch_spec import LaunchSpec
from cloudjhub.naming import Owner
from cloudjhub.relocation import Terms


@dataclass(frozen=True)
class Patience:
    """How long a start waits, in seconds."""

    boot_seconds: float = 240.0  # from the start of a machine to the first word of its sshd
    running_seconds: float = 20.0  # for a machine that was running before, until it counts as hung
    login_seconds: float = 60.0  # for sshd of a machine that boots to let somebody in
    stop_seconds: float = 420.0  # for a machine that shuts down
    hibernate_seconds: float = 900.0  # for one that writes its memory, GiB by GiB, to its disk


async def never(machine: Instance) -> bool:
    """No machine is outdated."""
    return False


def as_it_is(present: str) -> tuple[str, ...]:
    """A stopped machine starts as the type it is."""
    return (present,)


@dataclass(frozen=True)
class Plan:
    """What this start works from.

    ``kinds``: what may be launched, best first, as if the owner had no home yet; only called when
    a machine is launched: who has one does not need the AMI. ``types``: what a stopped machine
    may start as, by its present type. ``outdated`` says of a stopped machine whether another is
    to take its place. ``moving``: whether the home may go into another zone. ``held_up``: why the
    home's own zone need not be asked any more.
    """

    owner: Owner
    kinds: Callable[[], Awaitable[tuple[LaunchSpec, ...]]]
    patience: Patience
    types: Callable[[str], tuple[str, ...]] = as_it_is
    outdated: Callable[[Instance], Awaitable[bool]] = never
    most_discarded: int = 1  # new machines that may stay silent before the start gives up
    moving: Terms = field(default_factory=Terms)
    held_up: EC2Error | None = None
