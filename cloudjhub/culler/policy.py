"""For how long a server may do nothing, and whether that is over: no clock, no hub, no EC2."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from cloudjhub.idle_config import IdleConfig

_HOUR_SECONDS = 3600
#: as IDLE_TIMEOUT_OF_GROUP and IDLE_TIMEOUT_OF_USER write it
NEVER = 0


@dataclass(frozen=True)
class Terms:
    """What holds for the servers of one user."""

    #: NEVER: it may do nothing for ever
    timeout_seconds: int
    action: Literal["stop", "hibernate"]
    #: for how long users can have their machine kept; 0: they cannot
    keep_seconds: int
    #: 0: no limit
    max_age_seconds: int


@dataclass(frozen=True)
class Verdict:
    """Whether a server is to be stopped, and why so, for logs and people."""

    stops: bool
    why: str
    #: it is so old that it does not matter whether it works
    for_age: bool = False


def terms_of(config: IdleConfig, user: str, groups: Iterable[str]) -> Terms:
    """A user's own timeout, else the longest of the groups', else everybody's."""
    return Terms(
        timeout_seconds=_timeout_seconds(config, user, groups),
        action=config.idle_action,
        keep_seconds=config.keep_hours * _HOUR_SECONDS,
        max_age_seconds=config.max_age_hours * _HOUR_SECONDS,
    )


def _timeout_seconds(config: IdleConfig, user: str, groups: Iterable[str]) -> int:
    if user in config.idle_timeout_of_user:
        return config.idle_timeout_of_user[user]
    of_group = config.idle_timeout_of_group
    theirs = [of_group[group] for group in groups if group in of_group]
    if not theirs:
        return config.idle_timeout_seconds
    return NEVER if NEVER in theirs else max(theirs)


def judge(terms: Terms, *, idle_seconds: float, age_seconds: float, quiet: bool) -> Verdict:
    """What becomes of a server; ``quiet`` is an hour in which nothing is stopped."""
    left = seconds_left(terms, idle_seconds=idle_seconds, age_seconds=age_seconds)
    if left is None:
        return Verdict(False, "it may be idle for ever")
    if left > 0:
        return Verdict(False, f"idle for {_span(idle_seconds)} of {_limit(terms)}")
    why = _why(terms, idle_seconds, age_seconds)
    if quiet:
        return Verdict(False, f"{why}, but in these hours nothing is stopped")
    old = 0 < terms.max_age_seconds <= age_seconds
    return Verdict(True, why, for_age=old)


def seconds_left(terms: Terms, *, idle_seconds: float, age_seconds: float) -> float | None:
    """Until it is stopped if it does nothing from now on; None is never, 0 or less is due."""
    left = []
    if terms.timeout_seconds != NEVER:
        left.append(terms.timeout_seconds - idle_seconds)
    if terms.max_age_seconds:
        left.append(terms.max_age_seconds - age_seconds)
    return min(left, default=None)


def _why(terms: Terms, idle_seconds: float, age_seconds: float) -> str:
    if terms.timeout_seconds != NEVER and idle_seconds >= terms.timeout_seconds:
        return f"idle for {_span(idle_seconds)}, the limit is {_span(terms.timeout_seconds)}"
    return f"up for {_span(age_seconds)}, the limit is {_span(terms.max_age_seconds)}"


def _limit(terms: Terms) -> str:
    return _span(terms.timeout_seconds) if terms.timeout_seconds != NEVER else "any time"


def _span(seconds: float) -> str:
    return str(timedelta(seconds=int(seconds)))
