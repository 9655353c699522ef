"""POOL: how many machines are to be ready at which moment, and what is refused."""

from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from cloudjhub.pool.timetable import timetable

BERLIN, UTC = ZoneInfo("Europe/Berlin"), timezone.utc
CLASS = timetable(
    {
        "always": 2,
        "mon,wed 08:50-10:00 Europe/Berlin": 25,
        "mon 09:30-12:00 Europe/Berlin": 10,
        "sat 22:00-02:00 Europe/Berlin": 3,
    }
)
MONDAY, TUESDAY, SATURDAY, SUNDAY = (2026, 11, 23), (2026, 11, 24), (2026, 11, 28), (2026, 11, 29)


@pytest.mark.parametrize(
    ("day", "time", "wanted"),
    [
        (MONDAY, (8, 49, 59, 999999), 2),
        (MONDAY, (8, 50), 25),
        (MONDAY, (9, 59, 59, 999999), 25),
        (MONDAY, (10, 0), 10),  # the other hours still hold
        (MONDAY, (12, 0), 2),
        (TUESDAY, (9, 0), 2),
        (SATURDAY, (23, 59), 3),
        (SUNDAY, (1, 59), 3),
        (SUNDAY, (2, 0), 2),
    ],
)
def test_the_largest_number_of_the_hours_that_hold_counts(day, time, wanted):
    assert CLASS.wanted(datetime(*day, *time, tzinfo=BERLIN)) == wanted


def test_hours_are_those_of_their_zone():
    moment = datetime(*MONDAY, 8, 0, tzinfo=ZoneInfo("UTC"))
    assert CLASS.wanted(moment) == 25


@pytest.mark.parametrize(
    ("day", "time", "wanted"),
    [
        ((2026, 3, 29), (1, 59), 0),
        ((2026, 3, 29), (3, 0), 5),  # 02:30 does not exist: the clock goes from 2 to 3
        ((2026, 3, 29), (3, 29), 5),
        ((2026, 3, 29), (3, 30), 0),
        ((2026, 10, 25), (2, 45), 5),
        ((2026, 10, 25), (3, 30), 0),
    ],
)
def test_on_days_on_which_clocks_change(day, time, wanted):
    nightly = timetable({"* 02:30-03:30 Europe/Berlin": 5})
    assert nightly.wanted(datetime(*day, *time, tzinfo=BERLIN)) == wanted


@pytest.mark.parametrize(
    ("entry", "begins", "lasts"),
    [
        ("* 02:30-04:00 Europe/Berlin", "00:30", 150),  # at 02:30 in summer time
        ("* 01:00-02:15 Europe/Berlin", "23:00", 135),  # to 02:15 in winter time
        ("* 02:10-02:20 Europe/Berlin", "00:10", 70),
        ("sat 22:00-23:00 UTC", "22:00", 60),
    ],
)
def test_in_the_night_that_has_an_hour_twice_hours_begin_once(entry, begins, lasts):
    nightly, first = timetable({entry: 5}), datetime(2026, 10, 24, 12, tzinfo=UTC)
    minutes = [first + timedelta(minutes=minute) for minute in range(20 * 60)]
    held = [minute for minute in minutes if nightly.wanted(minute)]
    assert (held[0].strftime("%H:%M"), len(held)) == (begins, lasts)
    assert held[-1] - held[0] == timedelta(minutes=lasts - 1)  # without a gap
    coming = nightly.next_beginning(held[0] - timedelta(minutes=1))
    assert coming[0].astimezone(UTC) == held[0]
    assert all(nightly.next_beginning(minute)[0] > held[-1] for minute in held)


def test_hours_that_end_in_an_hour_that_the_day_lacks_hold():
    nightly = timetable({"* 02:15-02:45 Europe/Berlin": 5})
    first = datetime(2026, 3, 29, tzinfo=UTC)
    minutes = [first + timedelta(minutes=minute) for minute in range(180)]
    held = [minute.strftime("%H:%M") for minute in minutes if nightly.wanted(minute)]
    assert (held[0], held[-1]) == ("01:00", "01:44")


def test_the_next_beginning_is_known():
    begins = CLASS.next_beginning(datetime(*TUESDAY, 12, 0, tzinfo=BERLIN))
    assert begins == (datetime(2026, 11, 25, 8, 50, tzinfo=BERLIN), 25)
    assert timetable(3).next_beginning(datetime(*TUESDAY, tzinfo=BERLIN)) is None


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("many", "'many' is not a number of machines"),
        (True, "not a number"),
        (-1, "-1 is not a number"),
        ({"mon 08:00-09:00 UTC": "5"}, "'5' is not a number"),
        ({"mon 25:00-10:00 UTC": 1}, "hour must be in 0..23"),
        ({"mon 8-10 UTC": 1}, "mon,wed 08:50-10:00 Europe/Berlin"),
        ({"mon 08:00-10:00": 1}, "mon,wed 08:50-10:00 Europe/Berlin"),
        ({"someday 08:00-10:00 UTC": 1}, "day-of-week"),
        ({"mon 08:00-10:00 Mars/Olympus": 1}, "no time zone 'Mars/Olympus'"),
        ({"mon 08:00-10:00 ../etc/passwd": 1}, "is not understood"),
    ],
)
def test_what_is_not_a_timetable_is_refused_in_words(value, said):
    with pytest.raises(ValueError) as raised:
        timetable(value)
    assert said in str(raised.value)
