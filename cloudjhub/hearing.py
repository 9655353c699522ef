"""Whether it is a machine that is silent, or whether the hub itself hears nobody."""

import time

from cloudjhub.naming import Owner

_RECENT_SECONDS = 60.0


class Hearing:
    """What all polls together heard of the machines."""

    def __init__(self) -> None:
        self._heard_at: float | None = None
        self._silent: set[Owner] = set()

    def note(self, owner: Owner, *, heard: bool) -> None:
        """One poll's result."""
        if heard:
            self._heard_at = time.monotonic()
            self._silent.discard(owner)
        else:
            self._silent.add(owner)

    def forget(self, owner: Owner) -> None:
        """This owner's server is not polled any more."""
        self._silent.discard(owner)

    def deaf(self) -> bool:
        """Several machines are silent and none was heard lately: it is the network, not they."""
        if len(self._silent) < 2:
            return False
        return self._heard_at is None or time.monotonic() - self._heard_at > _RECENT_SECONDS
