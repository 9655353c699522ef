"""Stops of several ways on an EC2 in memory: hibernations apart, and plain where they fail."""

from dataclasses import replace

import pytest
from prometheus_client import REGISTRY
from unit.fake_ec2 import all_of

from cloudjhub.errors import CannotHibernate, EC2Error, EC2Unreachable, NotFound, WrongState


def able(ec2, state="running"):
    """A machine that was launched to hibernate."""
    machine = ec2.add(state)
    ec2.change(machine.id, hibernation_configured=True)
    return machine.id


async def seen(fleet):
    await fleet.view.next_listing()
    await fleet.view.next_listing()


def counted(outcome):
    return REGISTRY.get_sample_value("cloudjhub_hibernations_total", {"outcome": outcome}) or 0


async def test_hibernations_are_one_call_and_not_mixed_with_plain_stops(fleet, ec2):
    asleep, off = [able(ec2) for _ in range(5)], [able(ec2) for _ in range(3)]
    await seen(fleet)
    answers = await all_of(
        *(fleet.stop(each, hibernate=True) for each in asleep), *(fleet.stop(each) for each in off)
    )
    assert answers == [True] * 5 + [False] * 3
    assert (ec2.made("hibernate"), ec2.made("stop")) == ([(asleep,)], [(off,)])
    await seen(fleet)
    assert [fleet.view.get(each).hibernated for each in (*asleep, *off)] == [True] * 5 + [False] * 3


async def test_a_machine_is_hibernated_until_it_is_started(fleet, ec2):
    machine = able(ec2)
    await fleet.stop(machine, hibernate=True)
    await seen(fleet)
    assert fleet.view.get(machine).hibernated
    await fleet.start(machine)
    assert not fleet.view.get(machine).hibernated
    await seen(fleet)
    assert (fleet.view.get(machine).state, fleet.view.get(machine).hibernated) == ("running", False)


async def test_a_machine_that_was_not_launched_for_it_is_stopped_without_asking(fleet, ec2, caplog):
    machine, before = ec2.add().id, counted("not_configured")
    await seen(fleet)
    assert await fleet.stop(machine, hibernate=True) is False
    assert (ec2.count("hibernate"), ec2.made("stop")) == (0, [([machine],)])
    assert "was not launched to hibernate" in caplog.text
    assert counted("not_configured") == before + 1


REFUSALS = [
    CannotHibernate("No.", action="StopInstances", code="UnsupportedHibernationConfiguration"),
    EC2Error("Not ready yet.", action="StopInstances", code="UnsupportedOperation"),
    WrongState("Not ready yet.", action="StopInstances", code="IncorrectInstanceState"),
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.code)
async def test_whom_ec2_refuses_is_stopped_plainly_and_the_others_hibernate(
    fleet, ec2, unlimited, caplog, refusal
):
    ids, before = [able(ec2) for _ in range(4)], counted("refused")
    await seen(fleet)
    ec2.failures["hibernate"].extend([refusal, refusal, refusal])  # of all, of a half, of the first
    answers = await all_of(*(fleet.stop(each, hibernate=True) for each in ids))
    assert answers == [False, True, True, True]
    assert ec2.made("stop") == [([ids[0]],)]
    assert f"{ids[0]} is stopped plainly" in caplog.text
    assert counted("refused") == before + 1


async def test_what_a_plain_stop_would_fail_of_is_no_matter_of_hibernation(fleet, ec2):
    machine, gone = able(ec2), able(ec2)
    await seen(fleet)
    del ec2.machines[gone]
    ec2.failures["hibernate"].append(EC2Unreachable("No.", action="StopInstances"))
    with pytest.raises(EC2Unreachable):
        await fleet.stop(machine, hibernate=True)
    with pytest.raises(NotFound):
        await fleet.stop(gone, hibernate=True)
    assert ec2.count("stop") == 0
    assert await fleet.stop(machine, hibernate=True)  # it would have been seen


async def test_a_hibernation_that_failed_on_the_machine_is_no_hibernation(fleet, ec2):
    machine = able(ec2)
    ec2.held.add(machine)
    await seen(fleet)
    assert await fleet.stop(machine, hibernate=True)
    reason = "Client.UserInitiatedShutdown: User initiated shutdown"
    shown = replace(ec2.machines[machine], state="stopped", state_reason=reason)
    ec2.machines[machine] = shown
    await seen(fleet)
    assert (fleet.view.get(machine).state, fleet.view.get(machine).hibernated) == (
        "stopped",
        False,
    )
