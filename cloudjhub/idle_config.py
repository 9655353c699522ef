"""The keys of server_config.json that say when a machine is idle, and what happens to it then."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field

from cloudjhub.pool.timetable import Hours, hours


def _all_hours(value: Any) -> Any:
    if not isinstance(value, list | tuple):
        raise ValueError('must be a list, such as ["mon-fri 08:00-18:00 Europe/Berlin"]')
    return tuple(each if isinstance(each, Hours) else hours(each) for each in value)


#: what becomes of an idle machine
IdleAction = Literal["stop", "hibernate"]

#: seconds; 0 is "never"
_Timeout = Annotated[int, Field(ge=0)]


class IdleConfig(BaseModel):
    """Part of ``config.ClusterConfig``. Changes take effect within a minute if nothing is said."""

    idle_timeout_seconds: int = Field(
        default=3600,
        alias="JUPYTER_NOTEBOOK_TIMEOUT",
        ge=10,
        description="Seconds without work after which a machine is stopped. "
        "A change takes effect within a minute.",
    )
    idle_timeout_of_group: dict[str, _Timeout] = Field(
        default={},
        alias="IDLE_TIMEOUT_OF_GROUP",
        description="JUPYTER_NOTEBOOK_TIMEOUT of members of groups of the hub, such as "
        '{"gpu": 900, "staff": 0}; 0 is never. Who is in several gets the longest.',
    )
    idle_timeout_of_user: dict[str, _Timeout] = Field(
        default={},
        alias="IDLE_TIMEOUT_OF_USER",
        description='JUPYTER_NOTEBOOK_TIMEOUT of single users, such as {"ada": 14400}; 0 is never. '
        "It counts before their groups'.",
    )
    idle_never_in: Annotated[tuple[Hours, ...], BeforeValidator(_all_hours)] = Field(
        default=(),
        alias="IDLE_NEVER_IN",
        description="Hours in which no machine is stopped for being idle or old, such as "
        '["mon-fri 08:00-18:00 Europe/Berlin"].',
    )
    idle_action: IdleAction = Field(
        default="stop",
        alias="IDLE_ACTION",
        description='What happens to an idle machine. "stop": it is stopped. "hibernate": its '
        "memory is written to its disk first, so that kernels and variables are there at the next "
        "login; for machines that are launched from then on, on types that can. A machine that "
        "cannot is stopped.",
    )
    max_age_hours: int = Field(
        default=0,
        alias="MAX_AGE_HOURS",
        ge=0,
        description="Hours after which a server is stopped even if it works. 0: no limit.",
    )
    keep_hours: int = Field(
        default=12,
        alias="KEEP_HOURS",
        ge=0,
        le=720,
        description="Most hours for which users can have their idle machine kept, counted from the "
        "moment they ask. 0: they cannot.",
    )
    busy_cpu_percent: int = Field(
        default=50,
        alias="BUSY_CPU_PERCENT",
        ge=1,
        description="A machine works while its processors do as much, in percent of one of them, "
        "for BUSY_MINUTES.",
    )
    busy_gpu_percent: int = Field(
        default=10,
        alias="BUSY_GPU_PERCENT",
        ge=1,
        le=100,
        description="A machine works while one of its GPUs is busy to this percentage for "
        "BUSY_MINUTES.",
    )
    busy_minutes: int = Field(
        default=5,
        alias="BUSY_MINUTES",
        ge=1,
        le=60,
        description="Minutes over which BUSY_CPU_PERCENT and BUSY_GPU_PERCENT are averaged.",
    )
    sweep: Literal["report", "stop", "remove"] = Field(
        default="stop",
        alias="SWEEP",
        description='What happens to machines that run without a server. "report": they are '
        'listed. "stop": they are stopped. "remove": besides, volumes, snapshots and addresses of '
        "the cluster that belong to nobody are removed.",
    )
    sweep_grace_seconds: int = Field(
        default=600,
        alias="SWEEP_GRACE_SECONDS",
        ge=10,
        description="Seconds for which a machine must have run without a server before it is "
        "stopped for that; at least its owner's own limit of idleness.",
    )

    def never_idle(self, moment: datetime) -> bool:
        """Whether an aware moment lies in the hours in which nothing is stopped."""
        return any(each.hold(moment) for each in self.idle_never_in)

    def quiet_until(self, moment: datetime) -> datetime | None:
        """When the hours in which nothing is stopped are over; None outside them.

        Hours that follow one another count as one; more than a week of them is not looked at.
        """
        end, horizon = None, moment + timedelta(days=7)
        while (at := end or moment) < horizon:
            ends = [found for each in self.idle_never_in if (found := each.ends(at))]
            if not ends:
                break
            end = max(ends)
        return end
