"""What can go wrong while a home moves: snapshots, copies, marks, listings, machines."""

import asyncio
from dataclasses import replace

import pytest
from unit import home_moves
from unit.home_moves import ALWAYS, MOVE, Killed, moved_whole
from unit.worlds import ADA, TYPES, NoLimits, World, homes_asked_for, quick_plan

from cloudjhub import ec2_errors, homes
from cloudjhub.copy_spec import snapshot_arguments
from cloudjhub.errors import BadLaunch, LoginRefused, NoCapacity, TimedOut
from cloudjhub.fleet import Fleet
from cloudjhub.fleet import calls as calls_module
from cloudjhub.machine_end import remove_for_ever
from cloudjhub.naming import MOVING_TAG, SUPERSEDED_TAG, owner_tags
from cloudjhub.policy.documents import HUB_TAGS
from cloudjhub.relocation import Terms

hubs = home_moves.hubs


async def test_a_snapshot_that_fails_leaves_everything_as_it_was(hubs):
    listed = hubs.ec2.snapshots
    hubs.ec2.snapshots = lambda: [replace(each, state="error") for each in listed()]
    with pytest.raises(TimedOut, match="could not copy your files"):
        await hubs.start()
    assert hubs.content() == "thesis" and not hubs.up()
    hubs.ec2.snapshots = listed
    hubs.ec2.copies.clear()
    await hubs.start()
    moved_whole(hubs)


async def test_a_snapshot_that_vanishes_is_made_again(hubs):
    made = hubs.ec2.create_snapshot

    def vanishing(arguments):
        snapshot = made(arguments)
        if hubs.done.count("create_snapshot") == 1:
            del hubs.ec2.copies[snapshot.id]
        return snapshot

    hubs.ec2.create_snapshot = vanishing
    await hubs.start()
    moved_whole(hubs)
    assert hubs.done.count("create_snapshot") == 2


def spoil_copies(ec2, spoilt: set[str], how) -> None:
    """Of the same token the same volume, as EC2 does; of the first token what ``how`` makes."""
    made, of_token = ec2.create_volume, {}

    def create(arguments):
        token = arguments["ClientToken"]
        if token not in of_token:
            of_token[token] = made(arguments)
            if not spoilt:
                spoilt.add(token)
                how(of_token[token].id)
        return of_token[token]

    ec2.create_volume = create


async def test_a_copy_that_fails_is_made_again_under_another_token(hubs):
    disks = hubs.ec2.disks

    def fail(volume_id):
        disks[volume_id] = replace(disks[volume_id], state="error")

    spoilt: set[str] = set()
    spoil_copies(hubs.ec2, spoilt, fail)
    await hubs.start()
    moved_whole(hubs)
    assert spoilt and len(hubs.volumes()) == 2


async def test_a_copy_that_vanishes_is_made_again(hubs):
    spoilt: set[str] = set()
    spoil_copies(hubs.ec2, spoilt, hubs.ec2.disks.pop)
    await hubs.start()
    moved_whole(hubs)
    assert spoilt


@pytest.mark.parametrize("code", ["IdempotentParameterMismatch", "InvalidSnapshot.NotFound"])
async def test_an_attempt_that_ec2_refuses_to_go_on_with_is_begun_again(hubs, code, monkeypatch):
    monkeypatch.setattr(calls_module, "_PATIENCE_SECONDS", 0.0)
    hubs.kill_at(MOVE.index("create_volume"), after=True)
    with pytest.raises(Killed):
        await hubs.start()
    (copy,) = (v.id for v in hubs.volumes() if v.id != hubs.old_home)
    del hubs.ec2.disks[copy]
    error = ec2_errors.from_code("CreateVolume", code, "No.", "r")
    refusing = hubs.ec2.create_volume

    def refuse(arguments):
        if arguments["ClientToken"] == first:
            raise error
        return refusing(arguments)

    (first,) = (each["ClientToken"] for (each,) in hubs.ec2.made("create-volume"))
    hubs.ec2.create_volume = refuse
    await hubs.start()
    moved_whole(hubs)


async def test_two_attempts_that_fail_are_told_and_the_next_start_begins_another(hubs):
    made = hubs.ec2.create_snapshot
    hubs.ec2.create_snapshot = lambda arguments: replace(made(arguments), state="error")
    with pytest.raises(TimedOut, match="could not copy your files"):
        await hubs.start(Terms("ask", agreed=True))
    hubs.ec2.create_snapshot = made
    await hubs.start(Terms("ask"))
    moved_whole(hubs)
    attempts = [tags[MOVING_TAG] for _, tags in hubs.ec2.made("tag") if MOVING_TAG in tags]
    assert len(set(attempts)) == 3


async def test_a_mark_of_a_time_before_the_home_was_at_a_machine_brings_nothing_old_back(hubs):
    old = hubs.ec2.disks[hubs.old_home]
    hubs.ec2.disks[old.id] = replace(old, tags={**old.tags, MOVING_TAG: "a1"})
    snapshot = hubs.ec2.create_snapshot(
        snapshot_arguments(hubs.ec2.cluster, hubs.ec2.disks[old.id], "a1")
    )
    hubs.ec2.contents[snapshot.id] = "a draft of a thesis"
    hubs.ec2.snapshots()
    await hubs.start()
    moved_whole(hubs)


async def test_a_new_machine_that_stays_silent_moves_nothing(hubs, monkeypatch):
    async def silent(self, instance):
        self.clock.ahead += 1.0
        return instance.zone == "z"

    with monkeypatch.context() as patch:
        patch.setattr(World, "answers", silent)
        with pytest.raises(Exception, match="did not come up"):
            await hubs.start()
    assert hubs.the_home().id == hubs.old_home
    hubs.ec2.rooms = {}
    assert (await hubs.start()).id == hubs.old_machine
    assert hubs.the_home().attached_to == hubs.old_machine


async def test_listings_that_still_show_what_was_before_the_move_are_waited_for(hubs):
    listed = hubs.ec2.volumes
    lags = []

    def lagging():
        volumes = listed()
        if "tag superseded" in hubs.done and len(lags) < 3:
            lags.append(1)
            tags = dict(hubs.ec2.disks[hubs.old_home].tags)
            tags.pop(SUPERSEDED_TAG)
            return [replace(v, tags=tags) if v.id == hubs.old_home else v for v in volumes]
        return volumes

    hubs.ec2.volumes = lagging
    await hubs.start()
    assert len(lags) == 3 and hubs.done == list(MOVE)
    moved_whole(hubs)


async def test_a_home_that_moved_and_is_gone_is_never_replaced_by_an_empty_one(hubs):
    await hubs.start()
    hubs.off()
    (machine,) = hubs.owned()
    hubs.ec2.change(machine.id, state="terminated")
    del hubs.ec2.disks[hubs.the_home().id]
    with pytest.raises(BadLaunch, match=f"is missing; {hubs.old_home} is what it was"):
        await hubs.start()
    assert not any(homes_asked_for(hubs.ec2))


async def test_a_copy_that_was_never_used_is_neither_the_home_nor_replaced_by_an_empty_one(hubs):
    del hubs.ec2.disks[hubs.old_home]
    hubs.ec2.change(hubs.old_machine, state="terminated")
    tags = owner_tags(ADA) | homes.copy_marks(hubs.old_home, "a1")
    copy = hubs.ec2.add_disk(tags=tags, zone="y")
    with pytest.raises(BadLaunch, match=f"missing; {copy.id} is a copy of it") as refused:
        await hubs.start()
    assert MOVING_TAG in refused.value.remedy and not any(homes_asked_for(hubs.ec2))
    hubs.ec2.untag([copy.id], [MOVING_TAG])
    assert (await hubs.start()).home_volume_id == copy.id


async def test_a_new_machine_that_lets_nobody_in_is_told_as_a_move_that_was_not_made(hubs, world):
    fleet, ec2 = world.fleet, hubs.ec2
    plan = replace(world.plan, types=lambda present: TYPES, moving=ALWAYS)
    start = World(fleet, ec2, replace(plan, kinds=quick_plan(hubs.config, hubs.image).kinds), None)
    fleet._calls.limits = NoLimits()
    assert (await start.start(hubs.old_machine)).zone == "y" and start.machine.move is not None
    with pytest.raises(NoCapacity, match="in zone z just now"):
        await start.machine.back_to_old(LoginRefused("No."))
    assert hubs.the_home().id == hubs.old_home and not hubs.up()
    said = [event["message"] for event in start.report._events]
    assert any("files could not be moved just now" in text for text in said)
    assert not any("new version" in text for text in said)
    start.machine.release()


async def test_everything_of_a_user_goes_with_the_user(hubs, quick_settings):
    await hubs.start()
    assert len(hubs.volumes()) == 2
    fleet = Fleet(hubs.ec2, quick_settings)
    await fleet.view.refreshed()
    await asyncio.wait_for(remove_for_ever(fleet, ADA), 60)
    await fleet.aclose()
    assert hubs.volumes() == []


def test_the_hubs_policy_allows_the_tags_of_a_move():
    assert {MOVING_TAG, SUPERSEDED_TAG} <= set(HUB_TAGS)
