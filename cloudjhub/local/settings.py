"""What can be set about the local EC2 before it starts, and its one error."""

from dataclasses import dataclass, field
from typing import Literal

from cloudjhub.errors import CloudJHubError

Variant = Literal["auto", "userns", "plain", "booted", "standin"]

#: (instance type, availability zone) -> how many such instances EC2 "has"
Capacity = dict[tuple[str, str], int]


class LocalEC2Error(CloudJHubError):
    """The local EC2 cannot do what was asked of it on this computer."""

    remedy = ""


@dataclass(frozen=True)
class LocalSettings:
    """Times are seconds and may be 0.

    ``variant`` chooses the machines: ``userns`` (own user, process and mount namespace),
    ``plain`` (nothing but an sshd of its own), ``auto`` (the first of the two this computer
    allows), ``booted`` (Debian with systemd, on disks and in a network of its own; root only),
    ``standin`` (no process of its own: one for all of them answers SSH and HTTP, at addresses of
    127/8, and says whose server would run; for having a thousand of them).

    ``capacity`` and ``vcpu_quota`` limit launches and starts; absent means unlimited.
    ``throttle`` turns EC2's documented request limits on. All three can be changed while it
    runs, see :class:`cloudjhub.local.faults.Faults`.
    """

    region: str = "us-east-1"
    variant: Variant = "auto"
    pending_seconds: float = 1.0
    boot_seconds: float = 1.0
    stopping_seconds: float = 1.0
    shutting_down_seconds: float = 1.0
    #: how long EC2 goes on listing a terminated instance; EC2 itself: about an hour
    terminated_seconds: float = 3600.0
    #: each of creating, attaching and detaching a volume
    volume_seconds: float = 0.5
    #: before a snapshot is copied; EC2 itself: by what was written since the last one
    snapshot_seconds: float = 0.0
    #: how long an instance has to run before it can hibernate; EC2 itself: about two minutes
    hibernate_after_seconds: float = 0.0
    ssh_port: int = 2222
    throttle: bool = False
    capacity: Capacity = field(default_factory=dict)
    vcpu_quota: int | None = None
    #: machines that may boot or die at the same moment
    workers: int = 4

    def zone(self, letter: str) -> str:
        """``"a"`` -> ``"us-east-1a"``."""
        return f"{self.region}{letter}"
