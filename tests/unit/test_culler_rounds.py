"""One look at everybody: whose limit counts, what is stopped, and what is told of it."""

import asyncio
from datetime import timedelta

import pytest
from unit.culled_class import MONDAY, PACE, Class, counted, gauge

from cloudjhub.culler.hub import Server


@pytest.fixture
def hub(tmp_path) -> Class:
    made = Class(tmp_path)
    made.look()
    made.let_pass(60)  # after the first look everybody gets the time to report
    return made


def test_who_has_been_idle_for_the_limit_is_stopped_and_nobody_else(hub):
    hub.configure(JUPYTER_NOTEBOOK_TIMEOUT=600, IDLE_ACTION="hibernate")
    before = counted("hibernate", "done")
    hub.begins("ada")
    hub.let_pass(300)
    hub.begins("grace", "gpu")
    hub.let_pass(270)
    assert not hub.stopped
    hub.let_pass(30)
    assert hub.stopped == [("ada", "hibernate", "idle for 0:10:00, the limit is 0:10:00")]
    hub.let_pass(300)
    assert [stop[0] for stop in hub.stopped] == ["ada", "grace/gpu"]
    assert counted("hibernate", "done") == before + 2
    assert [stop.server.user for stop in hub.board.stops] == ["grace", "ada"]


def test_groups_are_asked_for_only_where_one_has_a_limit(hub):
    hub.groups = {"ada": ["gpu"]}
    hub.configure(JUPYTER_NOTEBOOK_TIMEOUT=600, IDLE_TIMEOUT_OF_USER={"grace": 0})
    for user in ("ada", "grace"):
        hub.begins(user)
    hub.let_pass(300)
    assert not hub.asked_for_groups
    hub.configure(JUPYTER_NOTEBOOK_TIMEOUT=600, IDLE_TIMEOUT_OF_GROUP={"gpu": 200})
    hub.look()
    assert hub.asked_for_groups == 1
    assert [stop[0] for stop in hub.stopped] == ["ada"]


def test_a_broken_file_keeps_what_it_said_last_and_is_told(hub):
    hub.configure(JUPYTER_NOTEBOOK_TIMEOUT=600)
    hub.begins("ada")
    hub.let_pass(300)
    hub.configure(JUPYTER_NOTEBOOK_TIMEOUT="soon")
    hub.let_pass(270)
    assert "JUPYTER_NOTEBOOK_TIMEOUT" in hub.board.config_finding
    assert gauge("config_ok") == 0
    assert not hub.stopped
    hub.let_pass(30)
    assert hub.stopped
    hub.configure()
    hub.look()
    assert not hub.board.config_finding
    assert gauge("config_ok") == 1


def test_without_a_good_file_ever_nobody_is_judged(tmp_path):
    hub = Class(tmp_path)
    hub.path.write_text("{")
    hub.begins("ada")
    hub.let_pass(10_000)
    assert not hub.stopped
    assert hub.board.judged_at is None
    assert "not valid JSON" in hub.board.config_finding
    hub.configure(JUPYTER_NOTEBOOK_TIMEOUT=600)
    hub.let_pass(700)
    assert hub.stopped


def test_an_outage_of_the_hub_is_nobodys_idle_time(hub):
    hub.configure(JUPYTER_NOTEBOOK_TIMEOUT=600)
    hub.begins("ada")
    hub.let_pass(300)
    hub.away = True
    hub.let_pass(20_000)
    assert hub.board.hub_finding
    assert not hub.board.complete
    hub.away = False
    hub.look()
    assert hub.board.complete
    assert hub.board.settled_at == hub.now + timedelta(seconds=PACE.settle_seconds)
    assert gauge("unsettled") == 1
    hub.let_pass(270)
    assert not hub.stopped
    hub.let_pass(60)
    assert hub.stopped
    assert hub.board.settled_at is None
    assert gauge("unsettled") == 0


def test_a_limit_too_short_to_be_heard_in_is_met_by_the_shortest_possible(hub):
    hub.configure(JUPYTER_NOTEBOOK_TIMEOUT=10)
    hub.begins("ada")
    hub.let_pass(PACE.floor_seconds - 30)
    assert not hub.stopped
    assert hub.board.judged[0].terms.timeout_seconds == 10
    hub.let_pass(30)
    assert hub.stopped


def test_hours_in_which_nothing_is_stopped(hub):
    hub.configure(
        JUPYTER_NOTEBOOK_TIMEOUT=600, MAX_AGE_HOURS=1, IDLE_NEVER_IN=["mon 09:00-11:00 UTC"]
    )
    hub.begins("ada")
    hub.let_pass(7000)
    assert hub.now.hour == 10
    assert not hub.stopped
    (judged,) = hub.board.judged
    assert judged.verdict.why.endswith("but in these hours nothing is stopped")
    assert judged.stops_at == MONDAY.replace(hour=11)
    hub.let_pass(200)
    assert hub.stopped


def test_whoever_works_is_stopped_only_for_age(hub):
    hub.configure(JUPYTER_NOTEBOOK_TIMEOUT=600, MAX_AGE_HOURS=1)
    hub.servers = [Server("ada", "", (MONDAY + timedelta(hours=9)).isoformat(), hub.now)]
    hub.let_pass(3570)
    assert not hub.stopped
    hub.let_pass(30)
    assert hub.stopped == [("ada", "stop", "up for 1:00:00, the limit is 1:00:00")]


@pytest.mark.parametrize(
    ("status", "outcome"), [(202, "done"), (409, "came_back"), (500, "refused")]
)
def test_what_the_hub_answers_is_counted_and_told(hub, status, outcome, caplog):
    hub.configure(JUPYTER_NOTEBOOK_TIMEOUT=600)
    before = counted("stop", outcome)
    hub.answers["ada"] = status
    hub.begins("ada")
    hub.let_pass(600)
    assert counted("stop", outcome) == before + 1
    assert hub.board.stops[0].outcome == outcome
    refusals = [record for record in caplog.records if record.levelname == "WARNING"]
    assert len(refusals) == (outcome == "refused")


async def test_stops_that_take_long_hold_up_no_look_and_are_not_sent_twice(tmp_path):
    hub = Class(tmp_path)
    hub.configure(MAX_AGE_HOURS=1)
    hub.answering = asyncio.Event()
    hub.begins("ada")
    await hub.rounds.round()
    hub.now += timedelta(hours=2)
    hub.begins("grace")
    for _ in range(3):
        hub.now += timedelta(minutes=40)
        await asyncio.wait_for(hub.rounds.round(), 30)
        await asyncio.sleep(0)
    assert hub.board.judged_at == hub.now
    assert hub.sent == ["ada"]
    hub.answering.set()
    await asyncio.wait_for(hub.rounds.stops_answered(), 30)
    await hub.rounds.round()
    await asyncio.wait_for(hub.rounds.stops_answered(), 30)
    assert hub.sent == ["ada", "grace"] and not hub.servers


def test_what_fails_in_a_stop_as_nobody_foresaw_is_logged_and_keeps_no_other(hub, caplog):
    hub.configure(JUPYTER_NOTEBOOK_TIMEOUT=600)
    hub.answers = {"ada": {}}  # no number
    for user in ("ada", "grace"):
        hub.begins(user)
    hub.let_pass(600)
    assert "ada was not stopped" in caplog.text
    assert [stop[0] for stop in hub.stopped] == ["grace"]


def test_whose_machines_clock_is_behind_is_idle_from_what_the_culler_saw(hub):
    hub.configure(JUPYTER_NOTEBOOK_TIMEOUT=600)
    hub.begins("ada")
    for _ in range(20):
        hub.works("ada", behind=900)
        hub.let_pass(60)
    assert not hub.stopped
    hub.let_pass(510)
    assert not hub.stopped
    hub.let_pass(60)
    assert [stop[0] for stop in hub.stopped] == ["ada"]


@pytest.mark.parametrize("jump", [86_400, 80, -3600])
def test_in_a_round_with_a_jump_of_the_clock_nobody_is_stopped(hub, jump, caplog):
    hub.configure(MAX_AGE_HOURS=1)
    hub.begins("ada")
    hub.let_pass(3570)
    hub.put_forward = jump
    hub.let_pass(30)
    assert not hub.stopped
    assert caplog.text.count("the clock was put by") == 1
    hub.put_forward = max(jump, 0)
    hub.let_pass(60)
    assert hub.stopped
    hub.look()
    assert caplog.text.count("the clock was put by") == (2 if jump < 0 else 1)


def test_a_clock_that_is_put_right_a_little_at_a_time_changes_nothing(hub, caplog):
    hub.configure(JUPYTER_NOTEBOOK_TIMEOUT=600)
    hub.begins("ada")
    for _ in range(6):
        hub.put_forward += 1
        hub.let_pass(100)
    assert hub.stopped and "the clock was put" not in caplog.text


def test_one_that_is_not_heard_is_said_once_and_stopped_for_age(hub, caplog):
    hub.configure(JUPYTER_NOTEBOOK_TIMEOUT=600, MAX_AGE_HOURS=1)
    before = counted("stop", "unheard")
    hub.unheard = True
    hub.begins("ada")
    hub.let_pass(3570)
    assert len(hub.asked_for_age) > 50 and not any(hub.asked_for_age) and not hub.stopped
    assert counted("stop", "unheard") == before + 1
    assert [stop.outcome for stop in hub.board.stops] == ["unheard"]
    assert len([r for r in caplog.records if "not asked for long" in r.getMessage()]) == 1
    hub.let_pass(30)
    assert [stop[0] for stop in hub.stopped] == ["ada"]


def test_one_that_is_heard_again_and_lost_again_is_said_again(hub):
    hub.configure(JUPYTER_NOTEBOOK_TIMEOUT=600)
    hub.unheard = True
    hub.begins("ada")
    hub.let_pass(700)
    (server,) = hub.servers
    hub.servers = [Server("ada", "", hub.now.isoformat(), server.started)]
    hub.let_pass(700)
    assert [stop.outcome for stop in hub.board.stops] == ["unheard", "unheard"]
