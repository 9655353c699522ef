"""How many machines are to be ready at a moment: a number, or weekly hours with a number each.

An entry is ``DAYS HH:MM-HH:MM ZONE``, such as ``mon,wed 08:50-10:00 Europe/Berlin``; days are those
of cron (``mon-fri``, ``sat,sun``, ``*``). Hours whose end is not after their beginning end on the
next day. A beginning that a day lacks is where the day goes on; in the night that has an hour twice
hours begin with the first and end with the second.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

ALWAYS = "always"
_TWO_DAYS = timedelta(days=2)
_HOURS = re.compile(r"^(\S+) ([0-2]\d:[0-5]\d)-([0-2]\d:[0-5]\d) (\S+)$")
_FORM = (
    '{entry!r} is not understood; write "always" or days, hours and zone as in '
    '"mon,wed 08:50-10:00 Europe/Berlin"'
)


@dataclass(frozen=True)
class Hours:
    """Weekly hours: ``days`` as cron names them, wall-clock times in the zone."""

    days: str
    begin: time
    end: time
    zone: str

    def hold(self, moment: datetime) -> bool:
        """Whether an aware moment lies in them; their end does not."""
        return self.ends(moment) is not None

    def ends(self, moment: datetime) -> datetime | None:
        """When they end if an aware moment lies in them, in UTC; else None."""
        # Forwards, as cronsim begins an hour that a day has twice only once on that way.
        earlier = _utc(moment) - _TWO_DAYS
        began = list(self._beginnings(earlier, until=_utc(moment)))
        end = self._end_of(began[-1]) if began else None
        return end if end is not None and _utc(moment) < end else None

    def begins_after(self, moment: datetime) -> datetime | None:
        """The next beginning after an aware moment; None if there is none."""
        # In an hour that comes for the second time cronsim gives what began in its first time.
        began = (each for each in self._beginnings(moment) if _utc(each) > _utc(moment))
        return next(began, None)

    def _beginnings(self, moment: datetime, until: datetime | None = None) -> Iterator[datetime]:
        expression = f"{self.begin.minute} {self.begin.hour} * * {self.days}"
        for began in CronSim(expression, _utc(moment).astimezone(ZoneInfo(self.zone))):
            if until is not None and _utc(began) > until:
                return
            yield began

    def _end_of(self, began: datetime) -> datetime:
        """In UTC. Of an end that a day has twice the second, of one that it lacks what is later."""
        day = began.date() + timedelta(days=1 if self.end <= self.begin else 0)
        end = datetime.combine(day, self.end, tzinfo=ZoneInfo(self.zone))
        return max(_utc(end), _utc(end.replace(fold=1)))


def _utc(moment: datetime) -> datetime:
    """Times of one zone are compared by the wall's clock, which a night shows twice."""
    return moment.astimezone(timezone.utc)


@dataclass(frozen=True)
class Timetable:
    """A number at all times, and larger ones at some."""

    always: int = 0
    hours: tuple[tuple[Hours, int], ...] = ()

    def wanted(self, moment: datetime) -> int:
        """How many machines are to be ready at an aware moment."""
        return max([self.always, *(count for hours, count in self.hours if hours.hold(moment))])

    def wanted_until(self, moment: datetime, end: datetime) -> int:
        """The most that are to be ready at any moment from one to the other, both included."""
        coming = [
            count
            for hours, count in self.hours
            if (begins := hours.begins_after(moment)) is not None and begins <= end
        ]
        return max([self.wanted(moment), *coming])

    def next_beginning(self, moment: datetime) -> tuple[datetime, int] | None:
        """When hours begin next, and with how many machines; None without hours."""
        coming = [(hours.begins_after(moment), count) for hours, count in self.hours]
        known = [(begins, count) for begins, count in coming if begins is not None]
        return min(known, key=lambda entry: entry[0], default=None)


def timetable(value: Any) -> Any:
    """The timetable that POOL's value says. Raises ValueError with what is wrong."""
    if isinstance(value, Timetable):
        return value
    if not isinstance(value, dict):
        return Timetable(always=_count(value))
    timed = tuple((hours(key), _count(count)) for key, count in value.items() if key != ALWAYS)
    return Timetable(_count(value.get(ALWAYS, 0)), timed)


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is not a number of machines, 0 or more")
    return value


def hours(entry: Any) -> Hours:
    """The hours that one entry says. Raises ValueError with what is wrong."""
    found = _HOURS.match(entry) if isinstance(entry, str) else None
    if not found:
        raise ValueError(_FORM.format(entry=entry))
    days, begin, end, zone = found.groups()
    try:
        ZoneInfo(zone)
        found_hours = Hours(days, time.fromisoformat(begin), time.fromisoformat(end), zone)
        found_hours.hold(datetime.now(ZoneInfo(zone)))
    except (ZoneInfoNotFoundError, OSError) as error:
        raise ValueError(f"{entry!r}: there is no time zone {zone!r}") from error
    except (CronSimError, ValueError) as error:
        raise ValueError(f"{_FORM.format(entry=entry)} ({error})") from error
    return found_hours
