"""Part of a hub's configuration: starts go by a clock that a test can put forward.

It is ahead by the seconds in the file ``ec2/ahead`` beside server_config.json. So a test need not
wait as long as the hub does for a silent machine, and the hub's patience need not be so short
that a pause of the computer exhausts it.
"""

import os
import time
from pathlib import Path

from cloudjhub import capacity, machine, machine_power, server_start

AHEAD = Path(os.environ["CLOUDJHUB_CONFIG"]).parent / "ec2/ahead"


def ahead_seconds() -> float:
    """By how much the clock is put forward."""
    return float(AHEAD.read_text()) if AHEAD.exists() else 0.0


class HurriedTime:
    """The time module with another ``monotonic``."""

    def __getattr__(self, name):
        return getattr(time, name)

    def monotonic(self):
        """As time.monotonic."""
        return time.monotonic() + ahead_seconds()


machine.time = machine_power.time = capacity.time = server_start.time = HurriedTime()
