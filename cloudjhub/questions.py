"""Whether a server's words reach the hub: ours ask it every two minutes, working or not.

One that works and is not heard looks as one that is idle.
"""

import time
from collections.abc import Callable
from typing import Any

#: after so long without a question something keeps it from the hub: three should have come
SILENT_SECONDS = 360.0
_SAID_AGAIN_SECONDS = 3600.0


class Questions:
    """When one server has asked the hub what holds for it. It goes with its spawner."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._asks = False
        self._asked_at: float | None = None  # of this process of the hub
        self._said_at: float | None = None

    def load(self, state: dict[str, Any]) -> None:
        """Take up what an earlier hub process wrote."""
        self._asks = bool(state.get("asks"))

    def state(self) -> dict[str, bool]:
        """That it asks at all, which one without our part of it does not."""
        return {"asks": self._asks}

    def begin(self) -> None:
        """Another server, of which nothing was heard yet."""
        self._asks, self._asked_at, self._said_at = False, None, None

    def heard(self) -> bool:
        """It asks now; gives whether that is new, so that the state is to be written."""
        new, self._asks = not self._asks, True
        self._asked_at, self._said_at = self._clock(), None
        return new

    @property
    def silent(self) -> str:
        """For how long it has not asked although it does, for people; "" where all is well."""
        if not self._asks:
            return ""
        if self._asked_at is None:
            return "since the hub began"
        passed = self._clock() - self._asked_at
        return f"for {passed / 60:.0f} minutes" if passed > SILENT_SECONDS else ""

    def is_news(self) -> bool:
        """Whether to say so in the log: once an hour."""
        now = self._clock()
        if self._said_at is not None and now - self._said_at < _SAID_AGAIN_SECONDS:
            return False
        self._said_at = now
        return True
