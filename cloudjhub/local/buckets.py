"""EC2's request limits: token buckets per action.

Numbers: https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Rate:
    """``burst`` calls at once, then ``per_second``."""

    burst: float
    per_second: float


REQUESTS: dict[str, Rate] = {
    "RunInstances": Rate(5, 2),
    "StartInstances": Rate(5, 2),
    "StopInstances": Rate(50, 5),
    "TerminateInstances": Rate(100, 5),
    "CreateTags": Rate(100, 10),
    "DeleteTags": Rate(100, 10),
    "CopyImage": Rate(100, 1),
    "DescribeInstanceTopology": Rate(1, 1),
    **dict.fromkeys(
        [
            "AssociateIamInstanceProfile",
            "CreateNetworkInterface",
            "CreateSnapshot",
            "CreateVolume",
            "DeleteSnapshot",
            "DeleteVolume",
            "DisassociateIamInstanceProfile",
            "ModifyInstanceMetadataOptions",
        ],
        Rate(100, 5),
    ),
}
#: Describe and Get with a filter or MaxResults
READ = Rate(100, 20)
#: these without either
WHOLE_READ = Rate(50, 10)
WHOLE_READ_ACTIONS = frozenset(
    {
        "DescribeInstances",
        "DescribeInstanceStatus",
        "DescribeNetworkInterfaces",
        "DescribeSecurityGroups",
        "DescribeSnapshots",
        "DescribeSpotInstanceRequests",
        "DescribeVolumes",
    }
)
#: every other action that changes something
MUTATE = Rate(50, 5)
#: instances touched, not calls made
RESOURCES: dict[str, Rate] = {
    "RunInstances": Rate(1000, 2),
    "StartInstances": Rate(1000, 2),
    "StopInstances": Rate(1000, 20),
    "TerminateInstances": Rate(1000, 20),
}


class Buckets:
    """Whether EC2 would still take a call. Full at the start; safe from any thread.

    ``rates`` replaces request limits by action.
    """

    def __init__(
        self,
        rates: dict[str, Rate] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._rates = REQUESTS | (rates or {})
        self._clock = clock
        self._levels: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def take(self, action: str, *, narrowed: bool, instances: int = 0) -> bool:
        """False if the call must be refused.

        ``narrowed``: the call has a filter or MaxResults. A call that is refused for touching
        too many instances has used up its request all the same.
        """
        name, rate = self._request_bucket(action, narrowed)
        with self._lock:
            if not self._draw(f"requests/{name}", rate, 1):
                return False
            if action not in RESOURCES or not instances:
                return True
            return self._draw(f"resources/{action}", RESOURCES[action], instances)

    def _request_bucket(self, action: str, narrowed: bool) -> tuple[str, Rate]:
        if action in self._rates:
            return action, self._rates[action]
        if not action.startswith(("Describe", "Get")):
            return action, MUTATE
        if action in WHOLE_READ_ACTIONS and not narrowed:
            return f"{action}/whole", WHOLE_READ
        return action, READ

    def _draw(self, bucket: str, rate: Rate, tokens: float) -> bool:
        now = self._clock()
        level, since = self._levels.get(bucket, (rate.burst, now))
        level = min(rate.burst, level + (now - since) * rate.per_second)
        enough = level >= tokens
        self._levels[bucket] = (level - tokens if enough else level, now)
        return enough
