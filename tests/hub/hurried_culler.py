"""The culler by a clock that a test can put forward; see hurried_clock.py."""

from datetime import timedelta

from hurried_clock import ahead_seconds

from cloudjhub.culler import __main__ as culler
from cloudjhub.culler import rounds

now = rounds.utcnow
rounds.utcnow = lambda: now() + timedelta(seconds=ahead_seconds())

if __name__ == "__main__":
    culler.main()
