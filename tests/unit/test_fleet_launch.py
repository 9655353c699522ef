"""Launches on an EC2 in memory: shared, repeated, given up, and never two owners of one."""

import asyncio
import random
import threading

import pytest
from unit.fake_ec2 import all_of, called, students

from cloudjhub import ec2_errors
from cloudjhub.errors import (
    BadLaunch,
    EC2Error,
    EC2Throttled,
    EC2Unreachable,
    NoCapacity,
    NotPermitted,
    QuotaReached,
)
from cloudjhub.fleet import calls as calls_module
from cloudjhub.fleet import fleet as fleet_module
from cloudjhub.naming import Owner, owner_tags

ADA, BOB = Owner("ada"), Owner("bob")


def unreachable():
    return EC2Unreachable("Gone.", action="RunInstances")


def throttled():
    return EC2Throttled("Too often.", action="RunInstances", code="RequestLimitExceeded")


async def test_thirty_logins_at_once_are_one_launch_and_thirty_machines(fleet, ec2, spec):
    owners = students(30)
    machines = await all_of(*(fleet.launch(spec, owner) for owner in owners))
    assert [arguments["MaxCount"] for (arguments,) in ec2.made("run")] == [30]
    assert len({machine.id for machine in machines}) == 30
    for owner, machine in zip(owners, machines, strict=True):
        assert [own.id for own in fleet.owned_by(owner)] == [machine.id]


async def test_machines_of_different_kinds_are_launched_apart(fleet, ec2, spec, config, image):
    other = fleet_module.LaunchSpec(**{**vars(spec), "instance_type": "t3.large"})
    await all_of(fleet.launch(spec, ADA), fleet.launch(other, BOB))
    assert sorted(arguments["InstanceType"] for (arguments,) in ec2.made("run")) == [
        "t3.large",
        "t3.medium",
    ]


async def test_a_launched_machine_is_in_the_view_although_listings_lag(fleet, ec2, spec):
    ec2.shown = lambda machines: []
    machine = await fleet.launch(spec, ADA)
    await fleet.view.next_listing()
    assert fleet.view.get(machine.id).state == "pending"
    assert [own.id for own in fleet.owned_by(ADA)] == [machine.id]


async def test_when_capacity_ends_some_are_served_and_the_others_hear_it(fleet, ec2, spec):
    ec2.capacity = 4
    answers = await all_of(*(fleet.launch(spec, owner) for owner in students(10)))
    served = [answer for answer in answers if not isinstance(answer, Exception)]
    refused = [answer for answer in answers if isinstance(answer, NoCapacity)]
    assert len({machine.id for machine in served}) == 4
    assert len(refused) == 6
    assert len({id(error) for error in refused}) == 6
    first, second = ((a["MaxCount"], a["ClientToken"]) for (a,) in ec2.made("run"))
    assert (first[0], second[0]) == (10, 6)
    assert first[1] != second[1]


async def test_who_was_refused_holds_no_claim_and_may_try_again(fleet, ec2, spec):
    ec2.capacity = 0
    with pytest.raises(NoCapacity):
        await fleet.launch(spec, ADA)
    assert fleet.owned_by(ADA) == []
    ec2.capacity = 1
    assert (await fleet.launch(spec, ADA)).state == "pending"


async def test_a_launch_that_nobody_waits_for_any_more_leaves_a_spare_for_the_next(
    fleet, ec2, spec, gate
):
    go_on = gate("run")
    login = asyncio.ensure_future(fleet.launch(spec, ADA))
    await called(ec2, "run")
    login.cancel()
    await asyncio.wait([login])
    go_on.set()
    while not list(fleet.view.all()):
        await asyncio.sleep(0.001)
    assert fleet.owned_by(ADA) == []
    machine = await fleet.launch(spec, BOB)
    assert ec2.count("run") == 1
    assert [own.id for own in fleet.owned_by(BOB)] == [machine.id]


async def test_a_machine_meant_for_who_has_given_up_goes_to_who_waits(fleet, ec2, spec, gate):
    go_on = gate("run")
    ec2.capacity = 1
    gone = asyncio.ensure_future(fleet.launch(spec, ADA))
    waits = asyncio.ensure_future(fleet.launch(spec, BOB))
    await called(ec2, "run")
    gone.cancel()
    go_on.set()
    machine = await asyncio.wait_for(waits, 60)
    assert [own.id for own in fleet.owned_by(BOB)] == [machine.id]
    assert fleet.owned_by(ADA) == []


async def test_a_login_given_up_and_begun_again_during_a_launch_has_one_machine(
    fleet, ec2, spec, monkeypatch
):
    may_run = [threading.Event(), threading.Event()]
    run = ec2.run

    def run_when_told(arguments):
        ec2.calls.append(("asked",))
        assert may_run[ec2.count("asked") - 1].wait(60)
        return run(arguments)

    monkeypatch.setattr(ec2, "run", run_when_told)
    login = asyncio.ensure_future(fleet.launch(spec, ADA))
    await called(ec2, "asked")
    login.cancel()
    await asyncio.wait([login])
    again = asyncio.ensure_future(fleet.launch(spec, ADA))
    await called(ec2, "asked", 2)
    for number, each in enumerate(may_run, start=1):
        each.set()
        while len(list(fleet.view.all())) < number:
            await asyncio.sleep(0.001)
    machine = await asyncio.wait_for(again, 60)
    assert [own.id for own in fleet.owned_by(ADA)] == [machine.id]


async def test_a_machine_that_is_listed_before_its_launch_is_answered_has_one_owner(
    fleet, ec2, spec, may_answer, look
):
    """It is no spare, however much it looks like one to another login."""
    first = asyncio.ensure_future(fleet.launch(spec, ADA))
    await called(ec2, "run")
    await look()
    other = asyncio.ensure_future(fleet.launch(spec, BOB))
    await look()
    may_answer.set()
    machines = await all_of(first, other)
    assert len({machine.id for machine in machines}) == 2
    for owner, machine in zip((ADA, BOB), machines, strict=True):
        assert [own.id for own in fleet.owned_by(owner)] == [machine.id]


async def test_a_machine_that_got_an_owner_before_its_launch_is_answered_stays_theirs(
    fleet, ec2, spec, may_answer, look
):
    first = asyncio.ensure_future(fleet.launch(spec, ADA))
    await called(ec2, "run")
    await look()
    (theirs,) = fleet.view.all()
    await fleet.tag([theirs.id], owner_tags(BOB))
    may_answer.set()
    assert (await asyncio.wait_for(first, 60)).id != theirs.id
    assert [own.id for own in fleet.owned_by(BOB)] == [theirs.id]


async def test_a_lost_answer_is_asked_for_again_with_the_same_token(fleet, ec2, spec, hurry):
    hurry(calls_module)
    ec2.failures["run"].extend([unreachable(), unreachable()])
    machine = await fleet.launch(spec, ADA)
    tokens = [arguments["ClientToken"] for (arguments,) in ec2.made("run")]
    assert len(tokens) == 3 and len(set(tokens)) == 1
    assert list(ec2.machines) == [machine.id]


@pytest.mark.parametrize(
    "code", ["InternalError", "InternalFailure", "Unavailable", "ServiceUnavailable"]
)
async def test_a_passing_trouble_of_ec2_itself_is_waited_for(fleet, ec2, spec, hurry, code):
    hurry(calls_module)
    ec2.failures["run"].append(ec2_errors.from_code("RunInstances", code, "Oops", "r"))
    machine = await fleet.launch(spec, ADA)
    assert list(ec2.machines) == [machine.id]
    assert len({arguments["ClientToken"] for (arguments,) in ec2.made("run")}) == 1


async def test_a_throttled_launch_is_repeated_later_with_the_same_token(fleet, ec2, spec, hurry):
    slept = hurry(calls_module)
    ec2.failures["run"].extend([throttled(), throttled(), throttled()])
    await fleet.launch(spec, ADA)
    tokens = {arguments["ClientToken"] for (arguments,) in ec2.made("run")}
    assert ec2.count("run") == 4 and len(tokens) == 1
    pauses = [pause for pause in slept if pause >= 0.5]
    assert len(pauses) == 3 and pauses[2] > 0.5 * 4 - 0.01


async def test_ec2_that_never_answers_is_given_up_in_the_end(fleet, ec2, spec, hurry, monkeypatch):
    hurry(calls_module)
    monkeypatch.setattr(calls_module, "_PATIENCE_SECONDS", 0.7)
    ec2.failures["run"].extend([unreachable() for _ in range(50)])
    with pytest.raises(EC2Unreachable):
        await fleet.launch(spec, ADA)
    assert fleet.owned_by(ADA) == []


@pytest.mark.parametrize("kind", [BadLaunch, NotPermitted, EC2Error])
async def test_what_will_not_get_better_is_not_repeated(fleet, ec2, spec, kind):
    ec2.failures["run"].append(kind("No.", action="RunInstances", code="X"))
    answers = await all_of(*(fleet.launch(spec, owner) for owner in students(3)))
    assert [type(answer) for answer in answers] == [kind] * 3
    assert ec2.count("run") == 1


async def test_a_spare_is_given_before_one_is_launched(fleet, ec2, spec):
    spare = ec2.add("running", tags={"cloudjhub:shape": spec.shape})
    await fleet.view.next_listing()
    await fleet.view.next_listing()
    assert (await fleet.launch(spec, ADA)).id == spare.id
    assert ec2.count("run") == 0


async def test_however_logins_come_and_go_no_two_have_the_same_machine(fleet, ec2, spec, unlimited):
    """Hundreds of logins, some given up, some refused at first: capacity comes and goes."""
    choose = random.Random(7)
    held: dict[str, Owner] = {}

    async def launched(owner):
        while True:
            try:
                return await fleet.launch(spec, owner)
            except NoCapacity:
                await asyncio.sleep(choose.random() * 0.02)

    async def login(owner):
        await asyncio.sleep(choose.random() * 0.2)
        attempt = asyncio.ensure_future(launched(owner))
        if choose.random() < 0.3:
            await asyncio.sleep(choose.random() * 0.03)
            attempt.cancel()
        await asyncio.wait([attempt])
        if attempt.cancelled():
            return
        machine = attempt.result()
        assert machine.id not in held, f"{owner} and {held[machine.id]} share {machine.id}"
        held[machine.id] = owner
        if choose.random() < 0.5:
            await fleet.tag([machine.id], owner_tags(owner))

    async def capacity():
        while True:
            ec2.capacity = choose.choice([0, 1, 3, 10, 50])
            await asyncio.sleep(0.01)

    supply = asyncio.ensure_future(capacity())
    try:
        results = await all_of(*(login(owner) for owner in students(400)))
    finally:
        supply.cancel()
    assert [result for result in results if result is not None] == []
    assert len(held) > 200
    for machine_id, owner in held.items():
        assert [own.id for own in fleet.owned_by(owner)] == [machine_id]


async def test_logins_one_after_another_share_the_call_that_waits_its_turn(fleet, ec2, spec):
    """A class that arrives over seconds: EC2 takes 5 launches at once, then none for a while."""
    fleet._calls.limits = limits = FiveCalls()
    launches = []
    for owner in students(60):
        launches.append(asyncio.ensure_future(fleet.launch(spec, owner)))
        await asyncio.sleep(0.02)  # mostly longer than the window in which logins share a call
    limits.more.set()
    await all_of(*launches)
    assert ec2.count("run") <= 6


class FiveCalls:
    """Limits that let five calls pass, and the others when there are ``more``."""

    def __init__(self):
        self.left = 5
        self.more = asyncio.Event()

    async def reserve(self, action):
        self.left -= 1
        if self.left < 0:
            await self.more.wait()

    async def admit(self, action, resources=0):
        pass


async def test_where_the_quota_leaves_room_for_some_these_are_served(fleet, ec2, spec, unlimited):
    run = ec2.run

    def room_for_three(arguments):
        if arguments["MaxCount"] > 3 - sum(len(batch) for batch in launched):
            raise QuotaReached("Used up.", action="RunInstances", code="VcpuLimitExceeded")
        launched.append(run(arguments))
        return launched[-1]

    launched = []
    ec2.run = room_for_three
    answers = await all_of(*(fleet.launch(spec, owner) for owner in students(8)))
    assert sum(isinstance(answer, QuotaReached) for answer in answers) == 5
    assert len({answer.id for answer in answers if not isinstance(answer, QuotaReached)}) == 3
