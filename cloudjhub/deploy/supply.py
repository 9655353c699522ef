"""What an operator sets of users' machines as a whole: types, how many, and the pool."""

import json
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from cloudjhub.config import at_least_one, one_or_several, without_repeats
from cloudjhub.pool.timetable import Timetable, timetable

INSTANCE_TYPE = r"^[a-z0-9-]+\.[a-z0-9-]+$"
SUBNET_ID = r"^subnet-[0-9a-f]{8,17}$"

# Any week without a change of clocks.
_MONDAY = datetime(2026, 1, 12, tzinfo=timezone.utc)
_WEEK_MINUTES = 7 * 24 * 60

_InstanceType = Annotated[str, Field(pattern=INSTANCE_TYPE)]
_SubnetId = Annotated[str, Field(pattern=SUBNET_ID)]


def _whole_number(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a number")
    return value


Number = Annotated[int, BeforeValidator(_whole_number)]


InstanceTypes = Annotated[
    tuple[_InstanceType, ...], BeforeValidator(one_or_several), AfterValidator(at_least_one)
]
SubnetIds = Annotated[
    tuple[_SubnetId, ...], BeforeValidator(one_or_several), AfterValidator(at_least_one)
]


def _from_text(value: Any) -> Any:
    """A flag's text: a number, or a timetable in JSON."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value, object_pairs_hook=without_repeats)
    except json.JSONDecodeError as error:
        raise ValueError(
            "is neither a number nor a timetable in JSON, such as "
            '{"always": 2, "mon,wed 08:50-10:00 Europe/Berlin": 25}'
        ) from error


def _sound(value: Any) -> Any:
    timetable(value)
    return value


#: a number, or a timetable as server_config.json has it
Pool = Annotated[Any, BeforeValidator(_from_text), AfterValidator(_sound)]


class Supply(BaseModel):
    """Part of ``settings.Settings``; the hub has the same keys (``cloudjhub.config``)."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=False)

    worker_instance_types: InstanceTypes = Field(
        default=("t3.medium",),
        alias="WORKER_INSTANCE_TYPE",
        description="instance type of users' machines; several with commas between: the first is "
        "what users get, the others are tried where Amazon has no capacity for it",
    )
    move_homes: Literal["ask", "always", "never"] = Field(
        default="ask",
        alias="MOVE_HOMES",
        description="whether a user's home moves to another subnet's zone where Amazon has no "
        "capacity in its own: ask (the user is asked), always, or never",
    )
    max_machines: Number = Field(
        default=0,
        alias="MAX_MACHINES",
        ge=0,
        description="most machines that run at the same time, spares included; 0: no limit but "
        "the account's quota",
    )
    when_full: Literal["queue", "refuse"] = Field(
        default="queue",
        alias="WHEN_FULL",
        description="what a login finds that MAX_MACHINES or the quota leaves no machine for: "
        "queue (it waits for its turn), or refuse",
    )
    pool: Pool = Field(
        default=0,
        alias="POOL",
        description="machines that are kept ready for whoever comes next: a number, or a "
        'timetable in JSON such as {"always": 2, "mon,wed 08:50-10:00 Europe/Berlin": 25}',
    )
    pool_state: Literal["running", "stopped", "hibernated"] = Field(
        default="running",
        alias="POOL_STATE",
        description="running: ready at once, at the price of used ones; stopped: they cost only "
        "their disks, and boot when somebody comes; hibernated: the same, and they wake up "
        "instead (with IDLE_ACTION hibernate)",
    )
    pool_max: Number = Field(
        default=50,
        alias="POOL_MAX",
        ge=0,
        le=1000,
        description="most machines that the pool keeps ready, whatever POOL says",
    )
    pool_spare_hours: Number = Field(
        default=24,
        alias="POOL_SPARE_HOURS",
        ge=1,
        description="hours after which a machine of the pool that nobody took is replaced",
    )

    @property
    def worker_instance_type(self) -> str:
        """What users get if Amazon has it."""
        return self.worker_instance_types[0]

    @property
    def timetable(self) -> Timetable:
        """When the pool keeps how many."""
        return timetable(self.pool)


def most_spares(wanted: Timetable, pool_max: int) -> int:
    """The most that the pool ever keeps ready."""
    return min(most_wanted(wanted), pool_max)


def most_wanted(wanted: Timetable) -> int:
    """The largest number of a timetable."""
    return max([wanted.always, *(count for _, count in wanted.hours)])


def mean_spares(wanted: Timetable, pool_max: int) -> float:
    """How many the pool keeps ready on average over a week, from a look every five minutes."""
    looks = [_MONDAY + timedelta(minutes=minutes) for minutes in range(0, _WEEK_MINUTES, 5)]
    return sum(min(wanted.wanted(moment), pool_max) for moment in looks) / len(looks)


def one_or_list(values: tuple[str, ...]) -> str | list[str]:
    """As people write it in JSON: a list only where there are several."""
    return values[0] if len(values) == 1 else list(values)


def listed(value: str | list[str]) -> list[str]:
    """What a key of server_config.json says that takes one or several."""
    return [value] if isinstance(value, str) else list(value)
