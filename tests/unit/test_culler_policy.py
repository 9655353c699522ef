"""For how long a server may do nothing: whose limit counts, and when it is over."""

import pytest

from cloudjhub.culler.policy import NEVER, Terms, judge, seconds_left, terms_of
from cloudjhub.idle_config import IdleConfig


def config(**keys) -> IdleConfig:
    return IdleConfig.model_validate(keys)


def terms(timeout: int = 100, age: int = 0) -> Terms:
    return Terms(timeout, "stop", 0, age)


CLASSES = {"gpu": 900, "staff": 7200, "lab": NEVER}


@pytest.mark.parametrize(
    ("user", "groups", "seconds"),
    [
        ("ada", [], 3600),
        ("ada", ["unknown"], 3600),
        ("ada", ["gpu"], 900),
        ("ada", ["gpu", "staff"], 7200),
        ("ada", ["staff", "lab", "gpu"], NEVER),
        ("grace", ["lab"], 60),
        ("eve", ["gpu"], NEVER),
    ],
)
def test_ones_own_limit_counts_before_the_groups_longest_before_everybodys(user, groups, seconds):
    given = config(IDLE_TIMEOUT_OF_GROUP=CLASSES, IDLE_TIMEOUT_OF_USER={"grace": 60, "eve": 0})
    assert terms_of(given, user, groups).timeout_seconds == seconds


def test_hours_become_seconds_and_the_action_is_the_files():
    given = config(KEEP_HOURS=2, MAX_AGE_HOURS=24, IDLE_ACTION="hibernate")
    assert terms_of(given, "ada", ()) == Terms(3600, "hibernate", 7200, 86400)


@pytest.mark.parametrize(
    ("limits", "idle", "age", "stops"),
    [
        (terms(), 99.9, 10**6, False),
        (terms(), 100, 100, True),
        (terms(NEVER), 10**9, 10**9, False),
        (terms(NEVER, age=50), 0, 49, False),
        (terms(NEVER, age=50), 0, 50, True),
        (terms(age=500), 100, 100, True),
        (terms(age=500), 0, 500, True),
    ],
)
def test_a_server_is_stopped_when_idle_or_old_for_too_long(limits, idle, age, stops):
    assert judge(limits, idle_seconds=idle, age_seconds=age, quiet=False).stops is stops
    assert not judge(limits, idle_seconds=idle, age_seconds=age, quiet=True).stops


def test_the_reason_names_what_counted_and_its_limit():
    idle = judge(terms(3600), idle_seconds=3700.4, age_seconds=9000, quiet=False)
    assert idle.why == "idle for 1:01:40, the limit is 1:00:00"
    old = judge(terms(3600, age=86400), idle_seconds=5, age_seconds=86401, quiet=False)
    assert old.why == "up for 1 day, 0:00:01, the limit is 1 day, 0:00:00"
    quiet = judge(terms(3600), idle_seconds=3700, age_seconds=9000, quiet=True)
    assert (
        quiet.why == "idle for 1:01:40, the limit is 1:00:00, but in these hours nothing is stopped"
    )


def test_what_is_left_is_the_shorter_of_both_limits():
    assert seconds_left(terms(100, age=500), idle_seconds=30, age_seconds=90) == 70
    assert seconds_left(terms(100, age=500), idle_seconds=30, age_seconds=490) == 10
    assert seconds_left(terms(NEVER), idle_seconds=30, age_seconds=90) is None
