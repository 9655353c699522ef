"""What moves left behind is removed, of its owner only, and cheaply."""

import logging
from dataclasses import replace

import pytest
from unit.worlds import ADA, BOB

from cloudjhub import homes, remains
from cloudjhub.copy_spec import snapshot_arguments
from cloudjhub.errors import EC2Unreachable, NotPermitted
from cloudjhub.naming import COPY_OF_TAG, MOVING_TAG, owner_tags


def leave(ec2, owner, *, attempt="over"):
    """A home with an abandoned snapshot and an abandoned copy of it."""
    home = ec2.add_disk(tags=owner_tags(owner), attached_to="i-1")
    snapshot = ec2.create_snapshot(snapshot_arguments(ec2.cluster, home, attempt))
    copy = ec2.add_disk(tags=owner_tags(owner) | homes.copy_marks(home.id, attempt), zone="y")
    return home, snapshot, copy


async def test_only_the_owners_left_overs_go_while_another_move_begins(fleet, ec2, unlimited):
    home, snapshot, copy = leave(ec2, ADA)
    others, _, others_copy = leave(ec2, BOB)
    ec2.copies = {snapshot.id: snapshot}
    real, begun = ec2.snapshots, []

    def snapshots():  # bob's next move begins while ada's is tidied
        if not begun:
            ec2.tag([others.id], {MOVING_TAG: "b2"})
            begun.append(ec2.create_snapshot(snapshot_arguments(ec2.cluster, others, "b2")))
        return real()

    ec2.snapshots = snapshots
    await remains.tidy(fleet, ADA)
    assert ec2.made("delete-snapshot") == [(snapshot.id,)]
    assert ec2.made("delete-volume") == [(copy.id,)]
    assert set(ec2.disks) == {home.id, others.id, others_copy.id}
    await remains.tidy(fleet, BOB)
    assert list(ec2.copies) == [begun[0].id]  # it is under way
    assert ec2.made("delete-volume") == [(copy.id,), (others_copy.id,)]


async def test_a_move_that_begins_between_the_two_listings_keeps_its_snapshot(
    fleet, ec2, unlimited
):
    home, snapshot, _ = leave(ec2, ADA)
    real = ec2.volumes

    def volumes():  # whatever is read first, the home is marked before its snapshot is there
        if not ec2.count("list-volumes"):
            ec2.tag([home.id], {MOVING_TAG: "a2"})
            ec2.create_snapshot(snapshot_arguments(ec2.cluster, home, "a2"))
        return real()

    ec2.volumes = volumes
    await remains.tidy(fleet, ADA)
    (kept,) = ec2.copies.values()
    assert kept.tags[MOVING_TAG] == "copy-a2" and ec2.made("delete-snapshot") == [(snapshot.id,)]


async def test_a_copy_is_kept_where_nothing_else_of_the_home_is_there(fleet, ec2, unlimited):
    home, _, copy = leave(ec2, ADA)
    del ec2.disks[home.id]
    await remains.tidy(fleet, ADA)
    assert list(ec2.disks) == [copy.id] and not ec2.copies


async def test_who_never_moved_costs_no_call_and_what_an_earlier_hub_left_goes(
    fleet, ec2, unlimited
):
    leave(ec2, ADA)
    await remains.tidy_if_due(fleet, BOB)
    await remains.tidy_if_due(fleet, BOB)
    assert (ec2.count("list-snapshots"), ec2.count("list-volumes")) == (1, 1)
    assert len(ec2.copies) == 1
    await remains.tidy_if_due(fleet, ADA)
    assert not ec2.copies and len(ec2.disks) == 1
    asked = len(ec2.made("list-snapshots"))
    await remains.tidy_if_due(fleet, ADA)
    assert ec2.count("list-snapshots") == asked


async def test_a_copy_that_is_still_being_made_is_removed_another_time(fleet, ec2, unlimited):
    _, _, copy = leave(ec2, ADA)
    ec2.disks[copy.id] = replace(copy, state="creating")
    await remains.tidy_if_due(fleet, ADA)
    assert copy.id in ec2.disks and not ec2.copies
    ec2.disks[copy.id] = copy
    await remains.tidy_if_due(fleet, ADA)
    assert copy.id not in ec2.disks


@pytest.mark.parametrize(("kind", "again"), [(EC2Unreachable, 1), (NotPermitted, 0)])
async def test_where_ec2_does_not_say_what_is_left_a_start_goes_on(
    fleet, ec2, unlimited, caplog, kind, again
):
    leave(ec2, ADA)
    ec2.failures["list-snapshots"].append(kind("No.", action="DescribeSnapshots"))
    with caplog.at_level(logging.WARNING):
        await remains.tidy_if_due(fleet, BOB)
    assert "looked for later" in caplog.text
    await remains.tidy_if_due(fleet, BOB)
    assert ec2.count("list-snapshots") == 1 + again


def test_a_copy_that_never_was_the_home_is_none_once_its_original_is_deleted(ec2):
    gone = {COPY_OF_TAG: "vol-gone"}
    never = ec2.add_disk(tags=homes.copy_marks("vol-gone", "a1"), age_seconds=1000)
    home = ec2.add_disk(tags=gone, age_seconds=10)
    assert homes.present([never, home]) == [home]
    moving = replace(home, tags=gone | {MOVING_TAG: "a2"})
    assert homes.present([never, moving]) == [moving]
