"""How often this process may call EC2, so that EC2 never has to say no.

EC2 counts per account, region and action in token buckets: one for requests, and for some
actions one for the machines they touch.
https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html
"""

from collections import Counter
from typing import NamedTuple

from aiolimiter import AsyncLimiter


class Bucket(NamedTuple):
    """Tokens it holds when full, and tokens it gains per second."""

    size: int
    per_second: float


_OTHER_WRITES = Bucket(50, 5)

REQUEST_BUCKETS = {
    "RunInstances": Bucket(5, 2),
    "StartInstances": Bucket(5, 2),
    "StopInstances": _OTHER_WRITES,
    "TerminateInstances": Bucket(100, 5),
    "CreateTags": Bucket(100, 10),
    "DeleteTags": Bucket(100, 10),
    "DeleteVolume": Bucket(100, 5),
    "CreateVolume": Bucket(100, 5),
    "CreateSnapshot": Bucket(100, 5),
    "DeleteSnapshot": Bucket(100, 5),
    "DescribeInstances": Bucket(100, 20),
    "DescribeVolumes": Bucket(100, 20),
    "DescribeImages": Bucket(100, 20),
    "DescribeSnapshots": Bucket(100, 20),
    "DescribeSubnets": Bucket(100, 20),
}

RESOURCE_BUCKETS = {
    "RunInstances": Bucket(1000, 2),
    "StartInstances": Bucket(1000, 2),
    "StopInstances": Bucket(1000, 20),
    "TerminateInstances": Bucket(1000, 20),
}


class Limits:
    """Waits until a call is within EC2's limits, as far as this process is the only caller."""

    def __init__(self) -> None:
        self._requests: dict[str, AsyncLimiter] = {}
        self._resources: dict[str, AsyncLimiter] = {}
        self._reserved: Counter[str] = Counter()

    async def reserve(self, action: str) -> None:
        """Return when one more request may be sent; the next ``admit`` of the action uses it."""
        await _limiter(self._requests, REQUEST_BUCKETS, action).acquire()
        self._reserved[action] += 1

    def is_free(self, action: str) -> bool:
        """Whether a call could be sent without waiting."""
        return _limiter(self._requests, REQUEST_BUCKETS, action).has_capacity()

    async def admit(self, action: str, resources: int = 0) -> None:
        """Return when ``action`` on that many machines may be sent."""
        if self._reserved[action]:
            self._reserved[action] -= 1
        else:
            await _limiter(self._requests, REQUEST_BUCKETS, action).acquire()
        if resources and action in RESOURCE_BUCKETS:
            limiter = _limiter(self._resources, RESOURCE_BUCKETS, action)
            await limiter.acquire(min(resources, limiter.max_rate))


def _limiter(
    limiters: dict[str, AsyncLimiter], buckets: dict[str, Bucket], action: str
) -> AsyncLimiter:
    if action not in limiters:
        size, per_second = buckets.get(action, _OTHER_WRITES)
        limiters[action] = AsyncLimiter(size, size / per_second)
    return limiters[action]
