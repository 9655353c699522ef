"""Until when nothing is stopped."""

from datetime import datetime, timedelta, timezone

import pytest

from cloudjhub.idle_config import IdleConfig

MONDAY = datetime(2026, 11, 23, 10, 0, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("hours", "until"),
    [
        ([], None),
        (["mon 11:00-12:00 UTC"], None),
        (["mon 08:00-10:00 UTC"], None),
        (["mon 08:00-18:00 UTC"], MONDAY.replace(hour=18)),
        (["mon 08:00-18:00 Europe/Berlin"], MONDAY.replace(hour=17)),
        (["mon 08:00-12:00 UTC", "mon 11:00-13:00 UTC"], MONDAY.replace(hour=13)),
        (["mon 13:00-14:00 UTC", "mon 08:00-13:00 UTC"], MONDAY.replace(hour=14)),
        (["mon 22:00-06:00 UTC"], None),
        (["sun 22:00-11:00 UTC"], MONDAY.replace(hour=11)),
        (["mon 09:00-11:00 UTC", "mon 12:00-13:00 UTC"], MONDAY.replace(hour=11)),
    ],
)
def test_until_when_nothing_is_stopped(hours, until):
    assert IdleConfig(IDLE_NEVER_IN=hours).quiet_until(MONDAY) == until


def test_hours_without_an_end_are_looked_at_for_a_week():
    until = IdleConfig(IDLE_NEVER_IN=["* 00:00-00:00 UTC"]).quiet_until(MONDAY)
    assert timedelta(days=7) <= until - MONDAY <= timedelta(days=8)
