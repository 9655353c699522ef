"""The fleet on an EC2 in memory: batched calls, claims, and what is repeated."""

import asyncio
import random
import threading

import pytest

from cloudjhub.errors import (
    BadLaunch,
    EC2Error,
    EC2Throttled,
    EC2Unreachable,
    NoCapacity,
    NotFound,
    NotPermitted,
)
from cloudjhub.fleet import fleet as fleet_module
from cloudjhub.naming import Owner, owner_tags

ADA, BOB = Owner("ada"), Owner("bob")


def students(count):
    return [Owner(f"student-{number}") for number in range(count)]


async def all_of(*waits):
    waiting = asyncio.gather(*waits, return_exceptions=True)
    return await asyncio.wait_for(waiting, 30)


def unreachable():
    return EC2Unreachable("Gone.", action="RunInstances")


def throttled():
    return EC2Throttled("Too often.", action="RunInstances", code="RequestLimitExceeded")


@pytest.fixture
def gate(ec2):
    """Holds calls of one action until the test lets them go."""

    def hold(action):
        ec2.gates[action] = threading.Event()
        return ec2.gates[action]

    yield hold
    for gate in ec2.gates.values():
        gate.set()


async def called(ec2, action, times=1):
    while ec2.count(action) < times:
        await asyncio.sleep(0.001)


# -- launching


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


async def test_a_lost_answer_is_asked_for_again_with_the_same_token(fleet, ec2, spec, hurry):
    hurry(fleet_module)
    ec2.failures["run"].extend([unreachable(), unreachable()])
    machine = await fleet.launch(spec, ADA)
    tokens = [arguments["ClientToken"] for (arguments,) in ec2.made("run")]
    assert len(tokens) == 3 and len(set(tokens)) == 1
    assert list(ec2.machines) == [machine.id]


async def test_a_throttled_launch_is_repeated_later_with_the_same_token(fleet, ec2, spec, hurry):
    slept = hurry(fleet_module)
    ec2.failures["run"].extend([throttled(), throttled(), throttled()])
    await fleet.launch(spec, ADA)
    tokens = {arguments["ClientToken"] for (arguments,) in ec2.made("run")}
    assert ec2.count("run") == 4 and len(tokens) == 1
    pauses = [pause for pause in slept if pause >= 0.5]
    assert len(pauses) == 3 and pauses[2] > 0.5 * 4 - 0.01


async def test_ec2_that_never_answers_is_given_up_in_the_end(fleet, ec2, spec, hurry, monkeypatch):
    hurry(fleet_module)
    monkeypatch.setattr(fleet_module, "_PATIENCE_SECONDS", 0.7)
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


async def test_however_logins_come_and_go_no_two_have_the_same_machine(fleet, ec2, spec):
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
    fleet._limits = NoLimits()
    try:
        results = await all_of(*(login(owner) for owner in students(400)))
    finally:
        supply.cancel()
    assert [result for result in results if result is not None] == []
    assert len(held) > 200
    for machine_id, owner in held.items():
        assert [own.id for own in fleet.owned_by(owner)] == [machine_id]


class NoLimits:
    async def admit(self, action, resources=0):
        pass


# -- starting, stopping, terminating


async def test_starts_at_the_same_time_are_one_call(fleet, ec2):
    ids = [ec2.add("stopped").id for _ in range(20)]
    await all_of(*(fleet.start(each) for each in ids))
    assert ec2.made("start") == [(ids,)]


async def test_one_bad_machine_does_not_keep_the_others_from_starting(fleet, ec2):
    ids = [ec2.add("stopped").id for _ in range(7)]
    ids.insert(3, "i-ffffffff")
    answers = await all_of(*(fleet.start(each) for each in ids))
    assert isinstance(answers.pop(3), NotFound)
    assert answers == [None] * 7
    states = {ec2.machines[each].state for each in ids if each != "i-ffffffff"}
    assert states <= {"pending", "running"}


async def test_what_ec2_answered_is_seen_at_once(fleet, ec2):
    machine, other = ec2.add("stopped"), ec2.add("running")
    ec2.held |= {machine.id, other.id}
    await fleet.view.next_listing()
    await fleet.view.next_listing()
    await fleet.start(machine.id)
    assert fleet.view.get(machine.id).state == "pending"
    await fleet.stop(other.id)
    assert fleet.view.get(other.id).state == "stopping"
    await fleet.terminate(other.id)
    assert fleet.view.get(other.id).state == "shutting-down"


async def test_forced_and_gentle_stops_are_not_mixed(fleet, ec2):
    gentle, forced = ec2.add().id, ec2.add().id
    await all_of(fleet.stop(gentle), fleet.stop(forced, force=True))
    assert ec2.made("stop") == [([gentle],)]
    assert ec2.made("force-stop") == [([forced],)]


async def test_terminating_can_be_repeated_even_when_the_machine_is_forgotten(fleet, ec2):
    machine = ec2.add()
    await fleet.terminate(machine.id)
    await fleet.terminate(machine.id)
    del ec2.machines[machine.id]
    await fleet.terminate(machine.id)
    assert ec2.count("terminate") == 3


# -- tags and volumes


async def test_a_machine_too_new_to_be_tagged_is_tagged_as_soon_as_ec2_knows_it(fleet, ec2, hurry):
    hurry(fleet_module)
    machine = ec2.add()
    unknown = NotFound("Unknown.", action="CreateTags", code="InvalidInstanceID.NotFound")
    ec2.failures["tag"].extend([unknown, unknown])
    await fleet.tag([machine.id], owner_tags(ADA))
    assert ec2.count("tag") == 3
    assert ec2.machines[machine.id].tags["cloudjhub:user"] == "ada"


async def test_written_and_removed_tags_are_seen_at_once(fleet, ec2):
    machine = ec2.add(tags={"a": "1"})
    ec2.shown = lambda machines: [machine]
    await fleet.view.next_listing()
    await fleet.tag([machine.id], owner_tags(ADA))
    assert [own.id for own in fleet.owned_by(ADA)] == [machine.id]
    await fleet.untag([machine.id], [*owner_tags(ADA), "a"])
    assert fleet.owned_by(ADA) == []
    assert "a" not in fleet.view.get(machine.id).tags


@pytest.mark.parametrize("state", ["shutting-down", "terminated"])
async def test_an_ended_machine_belongs_to_nobody(fleet, ec2, state):
    machine = ec2.add(state, tags=owner_tags(ADA))
    ec2.held.add(machine.id)
    await fleet.view.next_listing()
    await fleet.view.next_listing()
    assert fleet.view.get(machine.id).state == state
    assert fleet.owned_by(ADA) == []


async def test_homes_are_those_with_the_owners_tags_oldest_first(fleet, ec2, caplog):
    ec2.add_disk()
    ec2.add_disk(tags=owner_tags(BOB))
    young = ec2.add_disk(tags=owner_tags(ADA), age_seconds=10)
    old = ec2.add_disk(tags=owner_tags(ADA), age_seconds=1000)
    assert [home.id for home in await fleet.homes_of(ADA)] == [old.id, young.id]
    assert "2 home volumes" in caplog.text


async def test_many_who_ask_for_volumes_share_a_read(fleet, ec2):
    await all_of(*(fleet.homes_of(owner) for owner in students(50)))
    assert ec2.count("list-volumes") == 1


async def test_a_volume_of_another_cluster_is_not_deleted(fleet, ec2):
    foreign = ec2.add_disk(tags={"cloudjhub:cluster": "other"})
    with pytest.raises(ValueError, match="not a volume of cluster class"):
        await fleet.delete_volume(foreign)
    assert ec2.count("delete-volume") == 0


async def test_an_image_is_asked_for_once(fleet, ec2):
    assert await fleet.image("ami-1") == await fleet.image("ami-1")
    assert ec2.count("image") == 1


async def test_a_machine_that_lost_its_tags_is_its_users_if_nobody_else_has_it(fleet, ec2):
    free, owned = ec2.add(), ec2.add(tags=owner_tags(BOB))
    ended = ec2.add("terminated")
    await fleet.view.next_listing()
    await fleet.view.next_listing()
    assert fleet.untagged(free.id, ADA).id == free.id
    assert [own.id for own in fleet.owned_by(ADA)] == [free.id]
    for machine_id in (free.id, owned.id, ended.id, "i-ffffffff"):
        assert fleet.untagged(machine_id, BOB) is None


async def test_closing_twice_and_without_any_call_ends_the_looking(ec2, quick_settings):
    fleet = fleet_module.Fleet(ec2, quick_settings)
    await fleet.view.refreshed()
    await fleet.aclose()
    looked = ec2.count("list")
    await fleet.aclose()
    await asyncio.sleep(0.1)
    assert ec2.count("list") == looked
