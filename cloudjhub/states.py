"""EC2's instance states, and what start, stop and poll do in each: the one table.

pending -> running -> stopping -> stopped -> pending; any -> shutting-down -> terminated.
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instance-lifecycle.html
"""

from dataclasses import dataclass
from enum import Enum


class OnStart(Enum):
    """What a start does with a machine."""

    LAUNCH = "launch another"
    START = "start it"
    AWAIT_STOP = "wait until it has stopped"
    AWAIT_ANSWER = "wait until it answers"


class OnStop(Enum):
    """What a stop does with a machine."""

    NOTHING = "nothing"
    STOP = "stop it"
    STOP_WHEN_RUNNING = "stop it as soon as EC2 allows"


@dataclass(frozen=True)
class StateRule:
    """How one EC2 state is treated. ``up``: a notebook may be running on it."""

    on_start: OnStart
    on_stop: OnStop
    up: bool


STATES: dict[str | None, StateRule] = {
    None: StateRule(OnStart.LAUNCH, OnStop.NOTHING, up=False),
    "pending": StateRule(OnStart.AWAIT_ANSWER, OnStop.STOP_WHEN_RUNNING, up=True),
    "running": StateRule(OnStart.AWAIT_ANSWER, OnStop.STOP, up=True),
    "stopping": StateRule(OnStart.AWAIT_STOP, OnStop.NOTHING, up=False),
    "stopped": StateRule(OnStart.START, OnStop.NOTHING, up=False),
    "shutting-down": StateRule(OnStart.LAUNCH, OnStop.NOTHING, up=False),
    "terminated": StateRule(OnStart.LAUNCH, OnStop.NOTHING, up=False),
}
