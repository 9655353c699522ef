"""The one table of EC2's states."""

import boto3
import pytest

from cloudjhub.states import STATES, OnStart, OnStop


def test_the_table_has_each_state_that_ec2_knows_and_no_machine_and_nothing_else():
    client = boto3.session.Session().client("ec2", region_name="us-east-1")
    known = client.meta.service_model.shape_for("InstanceStateName").enum
    assert set(STATES) == {None, *known}


@pytest.mark.parametrize("state", STATES)
def test_only_a_machine_that_is_or_will_be_on_counts_as_up(state):
    assert STATES[state].up == (state in ("pending", "running"))


@pytest.mark.parametrize("state", STATES)
def test_a_machine_is_waited_for_exactly_while_it_is_up(state):
    assert (STATES[state].on_start is OnStart.AWAIT_ANSWER) == STATES[state].up


@pytest.mark.parametrize("state", STATES)
def test_there_is_something_to_stop_exactly_while_a_machine_is_up(state):
    assert (STATES[state].on_stop is not OnStop.NOTHING) == STATES[state].up


@pytest.mark.parametrize("state", [None, "shutting-down", "terminated"])
def test_what_is_gone_or_going_is_replaced(state):
    assert STATES[state].on_start is OnStart.LAUNCH
