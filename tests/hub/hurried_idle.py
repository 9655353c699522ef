"""The idle service by a clock that a test can put forward; see hurried_clock.py."""

import ctypes
import signal
from datetime import timedelta

import jupyterhub_idle_culler
from hurried_clock import ahead_seconds

from cloudjhub import idle

now = jupyterhub_idle_culler.utcnow
jupyterhub_idle_culler.utcnow = lambda: now() + timedelta(seconds=ahead_seconds())

if __name__ == "__main__":
    # A hub that took long to end and was killed ends no service: PR_SET_PDEATHSIG of prctl(2).
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
    idle.main()
