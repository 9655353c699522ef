"""Idle time is time in which the hub could be read."""

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from cloudjhub.culler.ledger import Ledger
from cloudjhub.culler.pace import VARIABLE, Pace

PACE = Pace(round_seconds=30, hole_seconds=90, report_seconds=300, work_report_seconds=60)
SETTLE = PACE.settle_seconds
MONDAY = datetime(2026, 3, 2, 9, 0, tzinfo=timezone.utc)


def after(seconds: float) -> datetime:
    return MONDAY + timedelta(seconds=seconds)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.json"


def read_for(ledger: Ledger, begin: int, end: int) -> None:
    for second in range(begin, end + 1, 30):
        ledger.read_at(after(second))


@pytest.fixture
def ledger(path: Path) -> Ledger:
    """Of a hub that has been read for an hour until MONDAY."""
    made = Ledger(path, PACE)
    read_for(made, -3600, 0)
    return made


def test_all_time_counts_while_the_hub_is_read(ledger):
    read_for(ledger, 0, 600)
    assert ledger.seen_seconds(after(-900), after(600)) == 1500
    assert ledger.seen_seconds(after(600), after(600)) == 0


def test_time_before_the_first_look_does_not_count(path):
    ledger = Ledger(path, PACE)
    ledger.read_at(MONDAY)
    assert ledger.seen_seconds(after(-(10**6)), MONDAY) == 0
    read_for(ledger, 0, 900)
    assert ledger.seen_seconds(after(-(10**6)), after(900)) == 900 - SETTLE


def test_an_outage_and_the_time_until_everybody_has_reported_do_not_count(ledger):
    ledger.read_at(after(7200))
    assert ledger.seen_seconds(after(-600), after(7200)) == 600
    read_for(ledger, 7200, 7800)
    assert ledger.seen_seconds(after(-600), after(7200 + SETTLE)) == 600
    assert ledger.seen_seconds(after(-600), after(7800)) == 600 + 600 - SETTLE
    # Of somebody who was heard last during the outage, or after it.
    assert ledger.seen_seconds(after(3600), after(7800)) == 600 - SETTLE
    assert ledger.seen_seconds(after(7200 + SETTLE + 10), after(7800)) == 590 - SETTLE


def test_outages_close_to_each_other_are_subtracted_once(ledger):
    ledger.read_at(after(1000))
    ledger.read_at(after(1200))
    assert ledger.seen_seconds(after(-100), after(1200 + SETTLE + 50)) == 150


def test_a_look_that_is_late_is_no_outage(ledger):
    ledger.read_at(after(90))
    assert ledger.seen_seconds(after(-100), after(90)) == 190


def test_the_ledger_outlives_the_culler(ledger, path):
    ledger.read_at(after(7200))
    again = Ledger(path, PACE)
    assert again.holes == ledger.holes
    again.read_at(after(20_000))
    assert again.seen_seconds(after(-600), after(20_000)) == 600 + 0
    assert again.settled_at() == after(20_000 + SETTLE).timestamp()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"read_until": 1, "holes": [1]}'])
def test_a_ledger_that_cannot_be_read_begins_anew(ledger, path, text, caplog):
    path.write_text(text)
    again = Ledger(path, PACE)
    again.read_at(after(30))
    assert again.seen_seconds(after(-3600), after(30)) == 0
    assert "cannot be read" in caplog.text


def test_a_ledger_that_cannot_be_written_is_said_once_and_kept_in_memory(tmp_path, caplog):
    ledger = Ledger(tmp_path / "no such folder" / "ledger.json", PACE)
    read_for(ledger, 0, 600)
    assert ledger.seen_seconds(after(0), after(600)) == 600 - SETTLE
    assert caplog.text.count("cannot be written") == 1


def test_a_clock_that_was_put_back_makes_no_outage(ledger):
    ledger.read_at(after(-300))
    read_for(ledger, -300, 0)
    assert ledger.seen_seconds(after(-600), after(0)) == 600


@pytest.mark.parametrize("restarted", [False, True])
def test_a_clock_that_was_far_ahead_for_a_look_ends_nobodys_idle_time(ledger, path, restarted):
    ledger.read_at(after(10**8))
    if restarted:
        ledger = Ledger(path, PACE)
    read_for(ledger, 30, 900)
    assert ledger.settled_at() == after(30 + SETTLE).timestamp()
    counts = 900 - 30 - SETTLE
    assert ledger.seen_seconds(after(-600), after(900)) == counts + (0 if restarted else 600)
    again = Ledger(path, PACE)
    read_for(again, 930, 1200)
    assert again.seen_seconds(after(600), after(1200)) == 600


def test_how_long_a_culler_was_away_is_not_told_by_a_clock_that_was_ahead(ledger, path):
    ledger.read_at(after(86_400))
    again = Ledger(path, PACE)
    again.read_at(after(7200))  # two hours in which nobody was heard
    assert again.seen_seconds(after(-600), after(7200)) == 0


def test_old_holes_are_forgotten(ledger):
    ledger.read_at(after(10**7))
    assert len(ledger.holes) == 1


def test_the_pace_can_be_set_in_the_environment():
    assert Pace.of({}) == Pace()
    hurried = Pace.of({VARIABLE: '{"round_seconds": 1, "hole_seconds": 5}'})
    assert (hurried.round_seconds, hurried.floor_seconds) == (1, 80)
