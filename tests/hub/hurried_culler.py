"""The culler by a clock that a test can put forward; see hurried_clock.py."""

import math
from datetime import timedelta

from hurried_clock import ahead_seconds

from cloudjhub.culler import __main__ as culler
from cloudjhub.culler import clocks

utcnow, monotonic = clocks.utcnow, clocks.monotonic
clocks.utcnow = lambda: utcnow() + timedelta(seconds=ahead_seconds())
clocks.monotonic = lambda: monotonic() + ahead_seconds()

# The hub's clock is not put forward: what somebody did a moment ago is long ago for the culler, as
# these tests want it, and as it would not be believed.
clocks.Changes.seconds_since = lambda self, server: math.inf

if __name__ == "__main__":
    culler.main()
