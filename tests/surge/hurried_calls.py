"""Part of a hub's configuration: more of it goes by the clock that a test can put forward.

How long EC2 is waited for, how long a refusal for want of capacity is remembered, how long it is
since anybody was heard, and how old a blank volume is.
"""

import os
import time
from pathlib import Path

from cloudjhub import capacity, hearing, machine
from cloudjhub.fleet import calls, upkeep

capacity.time = calls.time = machine.time
# On a slow computer a surge takes minutes until EC2 is as a test wants it. Who waits for it
# meanwhile waits on, and is told before the test gives up.
calls._PATIENCE_SECONDS = 150.0
#: while there is such a file, it is long ago that anybody was heard
NOBODY_HEARD = Path(os.environ["CLOUDJHUB_CONFIG"]).parent / "ec2/nobody-heard"


class HurriedCalendar(type(machine.time)):
    """The date goes forward as well."""

    def time(self):
        """As time.time."""
        return time.time() + self.monotonic() - time.monotonic()


class DeafTime(type(machine.time)):
    """Goes forward only if a test says so: most silent machines are silent among others."""

    def monotonic(self):
        """As time.monotonic."""
        return super().monotonic() if NOBODY_HEARD.exists() else time.monotonic()


upkeep.time = HurriedCalendar()
hearing.time = DeafTime()
