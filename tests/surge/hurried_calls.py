"""Part of a hub's configuration: more of it goes by the clock that a test can put forward.

How long EC2 is waited for, how long a refusal for want of capacity is remembered, how long it is
since anybody was heard, and how old a blank volume is.
"""

import time

from cloudjhub import capacity, hearing, machine
from cloudjhub.fleet import calls, upkeep

capacity.time = calls.time = hearing.time = machine.time


class HurriedCalendar(type(machine.time)):
    """The date goes forward as well."""

    def time(self):
        """As time.time."""
        return time.time() + self.monotonic() - time.monotonic()


upkeep.time = HurriedCalendar()
