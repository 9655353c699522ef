"""The fleet on an EC2 in memory: batched calls, whose is what, and what is repeated."""

import asyncio

import pytest
from unit.fake_ec2 import all_of, called, students

from cloudjhub.errors import EC2Unreachable, NotFound, PolicyRefuses
from cloudjhub.fleet import calls as calls_module
from cloudjhub.fleet import fleet as fleet_module
from cloudjhub.naming import Owner, owner_tags

ADA, BOB = Owner("ada"), Owner("bob")


# -- starting, stopping, terminating


async def test_starts_at_the_same_time_are_one_call(fleet, ec2):
    ids = [ec2.add("stopped").id for _ in range(20)]
    await all_of(*(fleet.start(each) for each in ids))
    assert ec2.made("start") == [(ids,)]


async def test_one_bad_machine_does_not_keep_the_others_from_starting(fleet, ec2, unlimited):
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


def refusal(action):
    return PolicyRefuses("No.", action=action, code="UnauthorizedOperation")


@pytest.mark.parametrize("call", ["start", "stop", "terminate"])
async def test_a_policy_that_goes_by_tags_refuses_what_is_gone(fleet, ec2, call):
    machine, other = ec2.add("stopped"), ec2.add("stopped")
    await fleet.view.next_listing()
    del ec2.machines[machine.id]
    # The whole call, then the half with the machine that is gone.
    ec2.failures[call].extend([refusal(call), refusal(call)])
    ask = getattr(fleet, call)
    gone, fine = await all_of(ask(machine.id), ask(other.id))
    assert not isinstance(fine, Exception)
    assert gone is None if call == "terminate" else isinstance(gone, NotFound)


async def test_a_policy_that_refuses_what_is_there_is_said_so(fleet, ec2):
    machine = ec2.add()
    ec2.failures["stop"].append(refusal("StopInstances"))
    with pytest.raises(PolicyRefuses):
        await fleet.stop(machine.id)


async def test_a_policy_that_allows_nothing_is_not_tried_for_everybody(fleet, ec2, unlimited):
    ids = [ec2.add("stopped").id for _ in range(32)]
    ec2.failures["start"].extend([refusal("StartInstances")] * 100)
    answers = await all_of(*(fleet.start(each) for each in ids))
    assert {type(answer) for answer in answers} == {PolicyRefuses}
    assert ec2.count("start") < 12


async def test_a_home_that_is_gone_is_told_from_one_that_may_not_be_deleted(fleet, ec2):
    gone, there = ec2.add_disk(), ec2.add_disk()
    del ec2.disks[gone.id]
    ec2.failures["delete-volume"].extend([refusal("DeleteVolume"), refusal("DeleteVolume")])
    with pytest.raises(NotFound):
        await fleet.delete_volume(gone)
    with pytest.raises(PolicyRefuses):
        await fleet.delete_volume(there)


# -- tags and volumes


async def test_a_machine_too_new_to_be_tagged_is_tagged_as_soon_as_ec2_knows_it(fleet, ec2, hurry):
    hurry(calls_module)
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


async def test_a_launched_machine_that_is_tagged_for_another_is_the_first_ones_no_more(
    fleet, ec2, spec, look
):
    machine = await fleet.launch(spec, ADA)
    await fleet.tag([machine.id], owner_tags(ADA))
    await fleet.tag([machine.id], owner_tags(BOB))  # as a rename does
    assert (fleet.owned_by(ADA), [own.id for own in fleet.owned_by(BOB)]) == ([], [machine.id])
    await look()
    fleet.spares.forget_missing({machine.id})
    assert fleet.owned_by(ADA) == []


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
    at_once = await all_of(*(fleet.image("ami-1") for _ in range(10)))
    assert {image.id for image in [*at_once, await fleet.image("ami-1")]} == {"ami-1"}
    assert ec2.count("image") == 1


async def test_an_image_that_could_not_be_read_is_asked_for_again(fleet, ec2):
    ec2.failures["image"].append(EC2Unreachable("Gone.", action="DescribeImages"))
    with pytest.raises(EC2Unreachable):
        await fleet.image("ami-1")
    assert (await fleet.image("ami-1")).id == "ami-1"


async def test_a_machine_that_lost_its_tags_is_its_users_if_nobody_else_has_it(fleet, ec2):
    free, owned = ec2.add(), ec2.add(tags=owner_tags(BOB))
    ended = ec2.add("terminated")
    await fleet.view.next_listing()
    await fleet.view.next_listing()
    assert fleet.untagged(free.id, ADA).id == free.id
    assert [own.id for own in fleet.owned_by(ADA)] == [free.id]
    for machine_id in (free.id, owned.id, ended.id, "i-ffffffff"):
        assert fleet.untagged(machine_id, BOB) is None


async def test_who_waits_for_a_fresh_view_hears_when_the_fleet_closes(ec2, quick_settings, gate):
    go_on = gate("list")
    fleet = fleet_module.Fleet(ec2, quick_settings)
    waiting = asyncio.ensure_future(fleet.view.refreshed())
    await called(ec2, "list")
    go_on.set()
    await fleet.aclose()
    await asyncio.wait([waiting], timeout=60)
    assert waiting.done()


async def test_closing_twice_and_without_any_call_ends_the_looking(ec2, quick_settings):
    fleet = fleet_module.Fleet(ec2, quick_settings)
    await fleet.view.refreshed()
    await fleet.aclose()
    looked = ec2.count("list")
    await fleet.aclose()
    await asyncio.sleep(0.1)
    assert ec2.count("list") == looked
