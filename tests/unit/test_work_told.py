"""What users and the hub are told of the work on a machine."""

import asyncio
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import pytest
from unit.work_terms import TERMS

from cloudjhub.worker.idle import reports
from cloudjhub.worker.idle.forecast import forecast
from cloudjhub.worker.idle.hub import Hub, Terms, terms_from
from cloudjhub.worker.idle.work import Seen, Work


@pytest.mark.parametrize(
    ("activity", "told", "told_at", "due"),
    [
        (1000.0, 0.0, 0.0, True),  # nothing was told yet
        (1000.0, 400.0, 400.0, True),  # back after a pause
        (1000.0, 990.0, 990.0, False),  # at work, and told of it
        (1000.0, 940.0, 940.0, True),  # at work for an interval
        (900.0, 900.0, 905.0, False),  # idle: the hub knows
        (900.0, 880.0, 885.0, True),  # the last of it
    ],
)
def test_the_hub_is_told_what_is_new_and_not_twice(activity, told, told_at, due):
    assert reports.is_due(activity, told, told_at, 1000.0, 60.0) is due


class _App:
    """JupyterHub's part of a server, as far as it tells the hub."""

    def __init__(self):
        self.told = 0
        self.fails = False

    async def notify_activity(self):
        if self.fails:
            raise TimeoutError("Failed to notify Hub of activity")
        self.told += 1


async def test_what_jupyterhub_tells_by_the_clock_is_told_only_if_new():
    app, hub = _App(), Hub(None, {})
    moment = datetime.now(timezone.utc) - timedelta(hours=1)
    web_app = SimpleNamespace(last_activity=lambda: moment)
    told = reports.Reports(app, web_app, hub)
    await app.notify_activity()
    await app.notify_activity()
    assert app.told == 1 and hub.heard
    told._told_at -= 61.0
    await app.notify_activity()
    assert app.told == 1
    moment += timedelta(minutes=30)
    app.fails, hub.heard = True, 0.0
    with pytest.raises(TimeoutError):
        await app.notify_activity()
    assert not hub.heard
    app.fails = False
    told.begin()
    await asyncio.wait_for(told._telling, 30)
    assert app.told == 2 and hub.heard
    hub.terms = terms_from({**TERMS, "timeout_seconds": 30})
    assert told.interval() == 10.0


def test_terms_are_what_the_hub_answers():
    terms = terms_from({**TERMS, "quiet_until": "2026-11-23T18:00:00Z"})
    assert terms == Terms(3600.0, "stop", 7200.0, 0.0, 1795456800.0, 50.0, 10.0, 5.0)
    assert terms_from(TERMS).quiet_until is None
    for broken in ({}, {**TERMS, "busy_minutes": None}, {**TERMS, "keep_seconds": "soon"}):
        with pytest.raises((KeyError, TypeError, ValueError)):
            terms_from(broken)


def _forecast(now, *, look=None, kept=0.0, terms=TERMS, started=0.0):
    """What is shown of a machine that began to work at 0."""
    work = Work(0.0, gap_seconds=1e9)
    work.keep(kept)
    work.look(now, look or Seen())
    return forecast(work, terms_from(terms) if terms else None, started, now)


def test_users_are_told_when_it_stops():
    idle = _forecast(600.0)
    assert (idle["state"], idle["stops_at"], idle["ends_at"]) == ("idle", 3600.0, None)
    assert (idle["action"], idle["keep_seconds"], idle["signs"]) == ("stop", 7200.0, [])


def test_users_are_told_why_it_does_not_stop():
    works = _forecast(600.0, look=Seen(kernels=("a.ipynb",)), kept=900.0)
    assert (works["state"], works["stops_at"]) == ("working", None)
    assert works["signs"][0] == {"kind": "kernel", "what": "a.ipynb"}
    kept = _forecast(600.0, kept=900.0)
    assert (kept["state"], kept["stops_at"], kept["kept_until"]) == ("kept", None, 900.0)
    assert _forecast(900.0, kept=900.0)["kept_until"] is None
    never = _forecast(600.0, terms={**TERMS, "timeout_seconds": 0})
    assert (never["state"], never["stops_at"]) == ("never", None)
    unknown = _forecast(600.0, terms=None)
    assert (unknown["state"], unknown["stops_at"], unknown["keep_seconds"]) == ("unknown", None, 0)


def test_the_end_of_quiet_hours_and_of_a_servers_age_are_counted_in():
    quiet = {**TERMS, "quiet_until": "1970-01-01T02:00:00+00:00"}
    assert _forecast(600.0, terms=quiet)["stops_at"] == 7200.0
    aged = {**TERMS, "max_age_seconds": 3000}
    idle = _forecast(600.0, terms=aged, started=100.0)
    assert (idle["stops_at"], idle["ends_at"]) == (3100.0, 3100.0)
    works = _forecast(600.0, look=Seen(kernels=("a",)), terms=aged)
    assert (works["state"], works["stops_at"], works["ends_at"]) == ("working", 3000.0, 3000.0)
    both = _forecast(600.0, terms={**quiet, "max_age_seconds": 60})
    assert both["ends_at"] == 7200.0
