"""POOL: how many machines are to be ready at which moment, and what is refused."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from cloudjhub.pool.timetable import timetable

BERLIN = ZoneInfo("Europe/Berlin")
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
