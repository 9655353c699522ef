"""What the view of a test lists, and when."""

import asyncio
import time

from cloudjhub.ec2_values import Instance


class Listings:
    """What EC2 lists; ``errors`` are raised by the next looks."""

    def __init__(self):
        self.machines: list[Instance] = []
        self.errors: list[Exception] = []
        self.looks = 0
        self.during = None  # called in the middle of a look

    async def fetch(self):
        """One look."""
        self.looks += 1
        listed = list(self.machines)
        await asyncio.sleep(0)
        if self.during:
            self.during()
        if self.errors:
            raise self.errors.pop(0)
        return listed


class Clock:
    """The time module, for which no time passes but what the test adds to ``ahead``."""

    def __init__(self):
        self._began = time.monotonic()
        self.ahead = 0.0

    def monotonic(self):
        """As time.monotonic."""
        return self._began + self.ahead


def machine(number=1, state="running", **changes) -> Instance:
    """A machine as a listing has it."""
    return Instance(f"i-{number}", state, **changes)


def shown(view) -> dict[str, str]:
    """The states of all machines in the view."""
    return {each.id: each.state for each in view.all()}
