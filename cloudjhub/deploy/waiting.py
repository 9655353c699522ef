"""Waiting for AWS: one look after the other, up to a deadline."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from cloudjhub.errors import NotFound, TimedOut

T = TypeVar("T")

PAUSE_SECONDS = 2.0
_FIRST_PAUSE_SECONDS = 0.1


def wait_for(what: str, look: Callable[[], T | None], *, seconds: float) -> T:
    """The first answer of ``look`` that is neither None nor False.

    Raises TimedOut, and whatever ``look`` raises. Pauses grow up to two seconds.
    """
    deadline = time.monotonic() + seconds
    pause = _FIRST_PAUSE_SECONDS
    while True:
        if answer := look():
            return answer
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimedOut(f"{what} did not happen within {seconds / 60:g} minutes.")
        time.sleep(min(pause, left))
        pause = min(pause * 1.5, PAUSE_SECONDS)


def known(call: Callable[..., Any], *arguments: Any) -> Callable[[], bool]:
    """A look that makes the call, and finds nothing while AWS does not know what it is about."""
    return partial(_made, call, arguments)


def _made(call: Callable[..., Any], arguments: tuple[Any, ...]) -> bool:
    try:
        call(*arguments)
    except NotFound:
        return False
    return True
