"""A stopped machine of another AMI than the configured one, at its owner's next start."""

import asyncio
from dataclasses import replace

import pytest
from unit.worlds import ADA, BOB, homes_asked_for

from cloudjhub import renewal
from cloudjhub.errors import EC2Unreachable, LoginRefused, NoCapacity
from cloudjhub.machine_end import set_aside
from cloudjhub.naming import OUTDATED_TAG, RETIRED_TAG, owner_tags
from cloudjhub.policy.documents import HUB_TAGS

OLD = "ami-00000000000000001"


@pytest.fixture
def renewing(world, config):
    """Starts that look whether the machine is of the configured AMI."""

    async def outdated(machine):
        return await renewal.is_outdated(world.fleet, world.config, ADA, machine)

    world.config = config
    world.plan = replace(world.plan, outdated=outdated)
    world.machine = world.another()
    return world


async def of_old_ami(world, state="stopped", **more):
    """Ada's machine, made before the upgrade."""
    machine = world.ec2.add(state, home=True, tags=owner_tags(ADA), **more)
    world.ec2.change(machine.id, image_id=OLD)
    await world.see()
    return world.ec2.machines[machine.id]


async def whole_start(world, known_id=None):
    """What server_start does around it: take over, own, move the home, end the old one."""
    machine = world.machine
    new = await world.start(known_id, machine)
    if machine.replaces is None:
        return new
    old = machine.replaces
    await renewal.take_over(world.fleet, world.config, ADA, old)
    await world.fleet.tag([new.id], owner_tags(ADA))
    world.ec2.detach(old.home_volume_id, old.id, "/dev/sdf")
    world.ec2.attach(old.home_volume_id, new.id, "/dev/sdf")
    await renewal.end_replaced(world.fleet, ADA)
    machine.release()
    return new


# -- it is replaced


async def test_it_is_replaced_and_its_home_comes_along(renewing):
    old = await of_old_ami(renewing)
    new = await whole_start(renewing, old.id)
    assert new.id != old.id
    assert homes_asked_for(renewing.ec2) == [False]
    assert renewing.ec2.count("start") == 0
    assert renewing.ec2.made("terminate") == [([old.id],)]
    (home,) = await renewing.fleet.homes_of(ADA)
    assert (home.id, home.attached_to) == (old.home_volume_id, new.id)
    assert [m.id for m in renewing.fleet.owned_by(ADA)] == [new.id]


async def test_until_the_new_one_answers_nothing_is_done_to_the_old_one(renewing):
    old = await of_old_ami(renewing)
    await renewing.start(old.id)
    assert renewing.machine.replaces.id == old.id
    assert {call[0] for call in renewing.ec2.calls} <= {"list", "list-volumes", "run"}
    assert renewing.ec2.machines[old.id].state == "stopped"


async def test_one_that_is_shutting_down_is_replaced_when_it_has(renewing):
    old = await of_old_ami(renewing, "stopping")
    assert (await whole_start(renewing, old.id)).id != old.id


async def test_its_user_is_told(renewing):
    old = await of_old_ami(renewing)
    await renewing.start(old.id)
    said = [event["message"] for event in renewing.report._events]
    assert any("new version of your machine" in text and "your files" in text for text in said)


async def test_the_new_one_is_not_replaced_again(renewing):
    old = await of_old_ami(renewing)
    new = await whole_start(renewing, old.id)
    renewing.ec2.change(new.id, state="stopped", image_id=renewing.config.worker_ami)
    await renewing.see()
    assert (await renewing.start(new.id, renewing.another())).id == new.id
    assert renewing.ec2.count("run") == 1


# -- it is not


@pytest.mark.parametrize("state", ["running", "pending"])
async def test_one_that_is_up_is_not_disturbed(renewing, state):
    old = await of_old_ami(renewing, state)
    assert (await renewing.start(old.id)).id == old.id
    assert renewing.ec2.count("run") == 0


async def stays(world, old):
    assert (await world.start(old.id)).id == old.id
    assert world.machine.replaces is None
    assert world.ec2.count("run") == 0


async def test_the_operator_can_forbid_it(renewing):
    old = await of_old_ami(renewing)
    renewing.config = renewing.config.model_copy(update={"upgrade_machines": "never"})
    await stays(renewing, old)


async def test_without_home_volumes_it_stays_and_the_log_says_why(renewing, caplog):
    old = await of_old_ami(renewing)
    renewing.config = renewing.config.model_copy(update={"home_disk_gib": 0})
    await stays(renewing, old)
    assert f"{old.id} of ada keeps its AMI {OLD}: its files are on its root disk" in caplog.text


async def test_with_its_files_on_the_root_disk_it_stays(renewing, caplog):
    old = renewing.ec2.add("stopped", tags=owner_tags(ADA))
    renewing.ec2.change(old.id, image_id=OLD)
    await renewing.see()
    await stays(renewing, old)
    assert "its files are on its root disk" in caplog.text


async def test_with_a_volume_that_is_not_the_owners_it_stays(renewing, caplog):
    old = await of_old_ami(renewing)
    renewing.ec2.disks[old.home_volume_id] = replace(
        renewing.ec2.disks[old.home_volume_id], tags={"cloudjhub:cluster": "class"}
    )
    await stays(renewing, old)
    assert "is not the owner's home" in caplog.text


async def test_with_a_second_home_it_stays(renewing):
    renewing.ec2.add_disk(tags=owner_tags(ADA), age_seconds=1000)
    old = await of_old_ami(renewing)
    await stays(renewing, old)


async def test_while_volumes_cannot_be_listed_it_stays(renewing):
    old = await of_old_ami(renewing)
    renewing.ec2.failures["list-volumes"].append(EC2Unreachable("Gone.", action="x"))
    await stays(renewing, old)


# -- the new one is no good


async def test_without_capacity_for_a_new_one_the_old_one_is_started(renewing):
    old = await of_old_ami(renewing)
    renewing.ec2.capacity = 0
    assert (await renewing.start(old.id)).id == old.id
    assert renewing.ec2.made("start") == [([old.id],)]
    said = [event["message"] for event in renewing.report._events]
    assert any("you get the machine you had" in text for text in said)


async def test_a_new_one_that_stays_silent_ends_before_the_old_one_is_started(renewing):
    old = await of_old_ami(renewing)
    heard = renewing.answers

    async def only_the_old_one(instance):
        if instance.id != old.id:
            renewing.deaf.add(instance.id)
        return await heard(instance)

    renewing.answers = only_the_old_one
    renewing.machine = renewing.another()
    assert (await renewing.start(old.id)).id == old.id
    (launched,) = set(renewing.ec2.machines) - {old.id}
    order = [call[0] for call in renewing.ec2.calls if call[0] in ("terminate", "start")]
    assert order[:2] == ["terminate", "start"]
    assert renewing.ec2.machines[launched].state in ("shutting-down", "terminated")
    assert renewing.machine.replaces is None


async def test_a_new_one_that_admits_nobody_ends_before_the_old_one_is_started(renewing):
    old = await of_old_ami(renewing)
    machine = renewing.machine
    new = await renewing.start(old.id)
    back = await machine.back_to_old(LoginRefused("Not this key."))
    assert back.id == old.id and machine.replaces is None
    order = [call[0] for call in renewing.ec2.calls if call[0] in ("terminate", "start")]
    assert order == ["terminate", "start"]
    assert renewing.fleet.spares.claimed_by(ADA) == []
    assert [m.id for m in renewing.fleet.owned_by(ADA)] == [old.id]
    assert new.id != old.id


async def test_a_new_one_born_with_a_blank_home_is_never_used(renewing):
    """The list of volumes showed the home and shows it no more."""
    old = await of_old_ami(renewing)
    truth = renewing.ec2.volumes
    answers = iter([True, False])
    renewing.ec2.volumes = lambda: truth() if next(answers, True) else []
    assert (await renewing.start(old.id)).id == old.id
    (launched,) = set(renewing.ec2.machines) - {old.id}
    assert renewing.ec2.machines[launched].state in ("shutting-down", "terminated")


async def test_a_start_that_is_given_up_leaves_a_spare_and_the_old_one(renewing):
    old = await of_old_ami(renewing)
    waiting = asyncio.ensure_future(renewing.start(old.id))
    renewing.ec2.held.update(f"i-{n:08x}" for n in range(50) if f"i-{n:08x}" != old.id)
    while not renewing.ec2.count("run"):
        await asyncio.sleep(0.001)
    await renewing.see()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert renewing.fleet.spares.claimed_by(ADA) == []
    assert [m.id for m in renewing.fleet.owned_by(ADA)] == [old.id]


# -- a start that was interrupted half-way


async def test_interrupted_after_the_takeover_the_next_start_goes_on(renewing):
    old = await of_old_ami(renewing)
    await renewal.take_over(renewing.fleet, renewing.config, ADA, old)
    tags = renewing.ec2.machines[old.id].tags
    assert tags[OUTDATED_TAG] == renewing.config.worker_ami and RETIRED_TAG in tags
    new = await renewing.start(old.id)
    assert new.id != old.id
    assert homes_asked_for(renewing.ec2) == [False]
    # The home is still at the old one: nothing is terminated.
    await renewal.end_replaced(renewing.fleet, ADA)
    assert renewing.ec2.count("terminate") == 0
    renewing.ec2.detach(old.home_volume_id, old.id, "/dev/sdf")
    renewing.ec2.attach(old.home_volume_id, new.id, "/dev/sdf")
    await renewal.end_replaced(renewing.fleet, ADA)
    assert renewing.ec2.made("terminate") == [([old.id],)]


async def test_the_hubs_policy_allows_the_tags_of_a_takeover(renewing):
    old = await of_old_ami(renewing)
    await renewal.take_over(renewing.fleet, renewing.config, ADA, old)
    ((_, written),) = renewing.ec2.made("tag")
    ((_, removed),) = renewing.ec2.made("untag")
    assert {*written, *removed} <= set(HUB_TAGS)


async def test_a_machine_set_aside_because_it_was_silent_is_not_terminated(renewing):
    old = await of_old_ami(renewing)
    await set_aside(renewing.fleet, old, ADA)
    renewing.ec2.detach(old.home_volume_id, old.id, "/dev/sdf")
    await renewal.end_replaced(renewing.fleet, ADA)
    assert renewing.ec2.count("terminate") == 0


async def test_that_ec2_cannot_be_asked_in_the_end_spoils_nothing(renewing, caplog):
    old = await of_old_ami(renewing)
    await renewal.take_over(renewing.fleet, renewing.config, ADA, old)
    failure = NoCapacity("x", action="x")
    renewing.ec2.failures["list-volumes"].append(failure)
    await renewal.end_replaced(renewing.fleet, ADA)
    assert "is removed at the next start" in caplog.text


async def test_nobody_elses_machine_is_ended(renewing):
    old = await of_old_ami(renewing)
    await renewal.take_over(renewing.fleet, renewing.config, ADA, old)
    await renewal.end_replaced(renewing.fleet, BOB)
    assert renewing.ec2.count("terminate") == 0
