"""Whether machines are silent or the hub is deaf."""

import pytest

from cloudjhub import hearing as hearing_module
from cloudjhub.hearing import Hearing
from cloudjhub.naming import Owner

ADA, BOB, EVE = Owner("ada"), Owner("bob"), Owner("eve")


class Clock:
    now = 1000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(hearing_module, "time", clock)
    return clock


@pytest.fixture
def hearing(clock):
    return Hearing()


def test_one_silent_machine_is_itself_to_blame(hearing):
    hearing.note(ADA, heard=False)
    assert not hearing.deaf()


def test_several_silent_machines_and_nobody_heard_is_deafness(hearing):
    hearing.note(ADA, heard=False)
    hearing.note(BOB, heard=False)
    assert hearing.deaf()


def test_several_are_silent_while_another_is_heard_is_no_deafness_for_a_minute(hearing, clock):
    for owner in (ADA, BOB):
        hearing.note(owner, heard=False)
    hearing.note(EVE, heard=True)
    assert not hearing.deaf()
    clock.now += 59
    assert not hearing.deaf()
    clock.now += 2
    assert hearing.deaf()


@pytest.mark.parametrize(
    "comes_back",
    [lambda hearing: hearing.note(BOB, heard=True), lambda hearing: hearing.forget(BOB)],
    ids=["heard", "forgotten"],
)
def test_who_is_heard_or_polled_no_more_does_not_count_as_silent(hearing, clock, comes_back):
    for owner in (ADA, BOB):
        hearing.note(owner, heard=False)
    comes_back(hearing)
    clock.now += 1000
    assert not hearing.deaf()


def test_forgetting_an_unknown_owner_changes_nothing(hearing):
    hearing.note(ADA, heard=False)
    hearing.note(BOB, heard=False)
    hearing.forget(EVE)
    assert hearing.deaf()
