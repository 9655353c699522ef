"""What the culler does not take a wall clock's word for: clocks are put right, and differ."""

import math
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timezone

from cloudjhub.culler.hub import Server

_BELIEVED_SECONDS = 60.0

#: a server that was started anew is another one
_Key = tuple[str, str, datetime]


def utcnow() -> datetime:
    """Now, aware."""
    return datetime.now(timezone.utc)


def monotonic() -> float:
    """Seconds by a clock that nobody puts right."""
    return time.monotonic()


class Jumps:
    """Whether the wall clock was put forward or back between two looks."""

    def __init__(self) -> None:
        self._ahead: float | None = None

    def seconds(self, wall: datetime, passed: float) -> float:
        """By how much since the last call; 0 where that is what clocks usually do.

        ``passed`` is monotonic(). Negative: the clock was put back.
        """
        ahead = wall.timestamp() - passed
        jumped = 0.0 if self._ahead is None else ahead - self._ahead
        self._ahead = ahead
        return jumped if abs(jumped) > _BELIEVED_SECONDS else 0.0


class Changes:
    """When servers were seen to have worked again, by this process's own clock.

    Their times of last activity are by their machines' clocks, which may be behind.
    """

    def __init__(self, clock: Callable[[], float]):
        self._clock = clock
        #: of each server: its last activity and when that was new; None: it never changed here
        self._seen: dict[_Key, tuple[str | None, float | None]] = {}

    def look(self, servers: Iterable[Server]) -> None:
        """These are all that there are at this moment."""
        now, before = self._clock(), self._seen
        self._seen = {}
        for each in servers:
            value, changed = before.get(_key(each), (each.last_activity, None))
            self._seen[_key(each)] = (
                each.last_activity,
                changed if value == each.last_activity else now,
            )

    def seconds_since(self, server: Server) -> float:
        """Since its last change; infinite where none was seen."""
        _, changed = self._seen.get(_key(server), (None, None))
        return math.inf if changed is None else self._clock() - changed


def _key(server: Server) -> _Key:
    return server.user, server.name, server.started
