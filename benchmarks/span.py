"""A while that is measured: what every part of a running hub used and asked for meanwhile."""

import os
import time
from dataclasses import dataclass

from bench import busy_since, cpu_ticks
from hub_under_test import SSH, HubUnderTest
from meter_file import Lateness
from usage import Usage, memory_mib


@dataclass(frozen=True)
class Span:
    """What was counted between two moments."""

    seconds: float
    calls: dict[str, dict[str, int]]  # EC2 action -> ok, throttled, error
    ssh: SSH
    usage: Usage
    memory_mib: float  # of the hub, at its end
    busy: float  # share of all cores
    load_before: float
    lateness: Lateness

    def a_minute(self, count: float) -> float:
        """Something counted meanwhile, per minute."""
        return 60.0 * count / self.seconds

    @property
    def made(self) -> int:
        """EC2 calls of all kinds."""
        return sum(sum(counts.values()) for counts in self.calls.values())

    @property
    def throttled(self) -> int:
        """Of these, refused for coming too fast."""
        return sum(counts["throttled"] for counts in self.calls.values())


class Counting:
    """Counts from the moment it is made; EC2's calls of before are forgotten."""

    def __init__(self, hub: HubUnderTest):
        self._hub = hub
        hub.demo.ec2.reset_calls()
        self._used, self._ssh, self._ticks = hub.usage(), hub.ssh(), cpu_ticks()
        self._load = os.getloadavg()[0]
        self._began = time.monotonic()

    async def end(self, began: float | None = None) -> Span:
        """What it was until now; ``began`` (time.monotonic) if it was later than thought."""
        began, ended = began or self._began, time.monotonic()
        hub = self._hub
        counted = {
            "seconds": ended - began,
            "calls": hub.demo.ec2.calls(),
            "ssh": hub.ssh() - self._ssh,
            "usage": hub.usage() - self._used,
            "memory_mib": memory_mib(hub.hub_pid),
            "busy": busy_since(self._ticks),
            "load_before": self._load,
        }
        return Span(**counted, lateness=await hub.lateness(began, ended))
