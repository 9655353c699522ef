"""What an operator sets of idle machines at the launch; the hub has more keys for them."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from cloudjhub.deploy.supply import Number
from cloudjhub.idle_config import IdleConfig


class Idleness(BaseModel):
    """Part of ``settings.Settings``; the hub has the same keys (``cloudjhub.idle_config``)."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=False)

    idle_timeout_seconds: Number = Field(
        default=3600,
        alias="JUPYTER_NOTEBOOK_TIMEOUT",
        ge=10,
        description="seconds without work after which a machine is stopped",
    )
    idle_action: Literal["stop", "hibernate"] = Field(
        default="stop",
        alias="IDLE_ACTION",
        description="what happens to an idle machine: stop, or hibernate (kernels and variables "
        "are there at the next login; WORKER_EBS_SIZE must have room for the memory as well)",
    )
    keep_hours: Number = Field(
        default=12,
        alias="KEEP_HOURS",
        ge=0,
        le=720,
        description="most hours for which users can have their idle machine kept; 0: they cannot",
    )
    max_age_hours: Number = Field(
        default=0,
        alias="MAX_AGE_HOURS",
        ge=0,
        description="hours after which a server is stopped even if it works; 0: no limit",
    )
    sweep: Literal["report", "stop", "remove"] = Field(
        default="stop",
        alias="SWEEP",
        description="what happens to machines that run without a server: report (they are listed), "
        "stop, or remove (stopped; and volumes, snapshots and addresses of nobody are removed)",
    )


_ACTIONS = {"stop": "stopped", "hibernate": "hibernated (those that cannot: stopped)"}
_SWEEPS = {
    "report": "listed",
    "stop": "stopped",
    "remove": "stopped, and what belongs to nobody is removed",
}


def in_words(idle: Idleness | IdleConfig) -> str:
    """What happens to machines that nobody needs, in one line."""
    kept = f"users may keep theirs for {idle.keep_hours} h" if idle.keep_hours else ""
    oldest = f"at most {idle.max_age_hours} h old" if idle.max_age_hours else ""
    more = "".join(f", {each}" for each in (kept, oldest) if each)
    return (
        f"Machines without work for {_duration(idle.idle_timeout_seconds)} are "
        f"{_ACTIONS[idle.idle_action]}{more}; those without a server are {_SWEEPS[idle.sweep]}."
    )


def _duration(seconds: int) -> str:
    return f"{seconds // 60} min" if seconds % 60 == 0 else f"{seconds} s"
