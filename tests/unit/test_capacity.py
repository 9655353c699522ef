"""The memory of what Amazon did not have."""

import pytest
from unit.listings import Clock

from cloudjhub import capacity as capacity_module
from cloudjhub.capacity import START, Capacity, nothing_left
from cloudjhub.ec2_values import Kind
from cloudjhub.errors import NoCapacity

MEDIUM = Kind("t3.medium", "z")


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(capacity_module, "time", clock)
    return clock


@pytest.fixture
def capacity(clock):
    return Capacity()


def test_a_refusal_is_remembered_for_its_type_and_zone_only(capacity):
    capacity.refused(*MEDIUM)
    assert capacity.is_refused(*MEDIUM) and not capacity.may_ask(MEDIUM)
    for other in (Kind("t3.large", "z"), Kind("t3.medium", "y")):
        assert not capacity.is_refused(*other) and capacity.may_ask(other)


def test_a_machine_that_is_granted_ends_the_memory(capacity):
    capacity.refused(*MEDIUM)
    capacity.granted(*MEDIUM)
    assert not capacity.is_refused(*MEDIUM) and capacity.may_ask(MEDIUM)


def test_after_its_time_one_asks_and_the_others_see_how_it_goes(capacity, clock):
    capacity.refused(*MEDIUM, 300)
    clock.ahead += 299
    assert not capacity.may_ask(MEDIUM)
    clock.ahead += 2
    assert [capacity.may_ask(MEDIUM) for _ in range(3)] == [True, False, False]
    assert capacity.is_refused(*MEDIUM)
    capacity.granted(*MEDIUM)
    assert capacity.may_ask(MEDIUM) and capacity.may_ask(MEDIUM)


def test_who_asks_again_and_is_not_answered_holds_nobody_up_for_long(capacity, clock):
    capacity.refused(*MEDIUM, 300)
    clock.ahead += 301
    assert capacity.may_ask(MEDIUM) and not capacity.may_ask(MEDIUM)
    clock.ahead += 31
    assert capacity.may_ask(MEDIUM)


def test_where_nothing_else_is_left_it_is_asked_for_sooner(capacity, clock):
    capacity.refused(*MEDIUM)
    assert not capacity.may_ask(MEDIUM, last_resort=True)
    clock.ahead += 6
    assert not capacity.may_ask(MEDIUM)
    assert capacity.may_ask(MEDIUM, last_resort=True)
    capacity.refused(*MEDIUM)
    assert not capacity.may_ask(MEDIUM, last_resort=True)


def test_a_class_that_has_nothing_else_asks_together(capacity, clock):
    """They share a call; one who was turned away because another asks would have nothing."""
    capacity.refused(*MEDIUM)
    clock.ahead += 6
    assert all(capacity.may_ask(MEDIUM, last_resort=True) for _ in range(30))
    clock.ahead += 300
    assert capacity.may_ask(MEDIUM)
    assert all(capacity.may_ask(MEDIUM, last_resort=True) for _ in range(30))


def test_a_launch_that_is_refused_keeps_nobody_from_starting_what_they_have(capacity):
    capacity.refused(*MEDIUM)
    assert not capacity.may_ask(MEDIUM, action=START)
    assert capacity.may_ask(MEDIUM, action=START, last_resort=True)


def test_the_refusal_names_every_type_and_zone_and_what_ec2_said(capacity):
    last = NoCapacity("x", action="RunInstances", code="Insufficient", request_id="r-1")
    kinds = [MEDIUM, Kind("t3a.medium", "z"), Kind("t3.medium", "y")]
    error = nothing_left("RunInstances", kinds, last)
    assert error.message == (
        "Amazon has no t3.medium or t3a.medium in zone z, no t3.medium in zone y just now."
    )
    assert (error.code, error.request_id, error.__cause__) == ("Insufficient", "r-1", last)
    assert nothing_left("RunInstances", kinds, None).code == "remembered"
