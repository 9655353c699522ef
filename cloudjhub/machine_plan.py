"""What a start of a machine works from."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from cloudjhub.ec2_values import Instance
from cloudjhub.launch_spec import LaunchSpec
from cloudjhub.naming import Owner


@dataclass(frozen=True)
class Patience:
    """How long a start waits, in seconds."""

    boot_seconds: float = 240.0  # from the start of a machine to the first word of its sshd
    running_seconds: float = 20.0  # for a machine that was running before, until it counts as hung
    login_seconds: float = 60.0  # for sshd of a machine that boots to let somebody in
    stop_seconds: float = 420.0  # for a machine that shuts down


@dataclass(frozen=True)
class Specs:
    """The kind of machine to launch: born with a blank home volume, or without one."""

    with_home: LaunchSpec
    without_home: LaunchSpec


async def never(machine: Instance) -> bool:
    """No machine is outdated."""
    return False


@dataclass(frozen=True)
class Plan:
    """What this start works from.

    ``specs`` is only called when a machine is launched: who has one does not need the AMI.
    ``outdated`` says of a stopped machine whether another is to take its place.
    """

    owner: Owner
    specs: Callable[[], Awaitable[Specs]]
    patience: Patience
    outdated: Callable[[Instance], Awaitable[bool]] = never
    most_discarded: int = 1  # new machines that may stay silent before the start gives up
