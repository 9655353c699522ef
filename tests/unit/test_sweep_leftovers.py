"""What nobody owns, and what of it may go: tables, without clock, hub or EC2."""

from dataclasses import replace
from datetime import timedelta

import pytest
from unit.things import (
    ADA,
    BUILDER,
    IMAGE,
    LAUNCHED,
    LAUNCHING,
    NOW,
    address,
    disk,
    inventory,
    machine,
    snapshot,
    tags,
)

from cloudjhub.culler.leftovers import leftovers


def look(*things, users=("ada",), spare_seconds=3600):
    """Ids of what is listed; True where it may be removed."""
    found = leftovers(
        inventory(*things), set(users).__contains__, spare_seconds=spare_seconds, now=NOW
    )
    return {each.thing.id: each.removable for each in found}


# -- volumes


def test_a_blank_volume_goes_once_the_hub_has_had_its_time():
    assert look(disk()) == {"vol-1": True}
    assert look(disk(created_at=NOW - timedelta(hours=20))) == {}
    assert look(disk(created_at=None)) == {}
    assert look(disk(), spare_seconds=7 * 86400) == {}


@pytest.mark.parametrize(
    "in_use",
    [
        {"state": "in-use", "attached_to": "i-1"},
        {"state": "creating"},
        {"attached_to": "i-1"},  # being attached or let go
    ],
)
def test_a_volume_in_use_is_nobodys_leftover(in_use):
    assert look(disk(**in_use)) == {}


@pytest.mark.parametrize(
    "trace",
    [
        ADA,
        {"cloudjhub:user": "eve", "cloudjhub:server": ""},
        {"cloudjhub:server": ""},
        {"cloudjhub:host-key": "SHA256:x"},
        {"cloudjhub:retired": "x"},
        {"Name": "class-ada"},
        {"cloudjhub:superseded": "2026-11-01 vol-2", **ADA},
        {"cloudjhub:superseded": "2026-11-01 vol-2"},
        {"cloudjhub:copy-of": "vol-2"},
        {"cloudjhub:copy-of": "vol-2", "cloudjhub:moving": "copy-1", **ADA},
        {"cloudjhub:copy-of": "vol-2", "cloudjhub:moving": "copy-1"},
        {"cloudjhub:moving": "1"},
    ],
)
def test_a_volume_that_may_ever_have_had_an_owner_is_never_removed(trace):
    assert True not in look(disk(trace)).values()
    assert True not in look(disk(trace), users=()).values()


def test_homes_are_listed_where_their_owner_is_no_user_any_more():
    assert look(disk(ADA)) == {}
    assert look(disk(ADA), users=["eve"]) == {"vol-1": False}
    assert look(disk({"cloudjhub:host-key": "x"})) == {"vol-1": False}
    assert look(disk(ADA, created_at=NOW - timedelta(hours=3)), users=["eve"]) == {}


def test_what_moves_left_is_listed_whoever_has_the_home():
    copy = {**ADA, "cloudjhub:copy-of": "vol-2", "cloudjhub:moving": "copy-1"}
    assert look(disk(copy)) == {"vol-1": False}
    assert look(disk({**ADA, "cloudjhub:copy-of": "vol-2"})) == {}  # the home since it moved
    assert look(disk({**ADA, "cloudjhub:superseded": "2026-11-01 vol-2"})) == {"vol-1": False}


@pytest.mark.parametrize(
    "other",
    [
        disk(from_snapshot=True),
        disk(role="manager-disk"),
        disk(role="builder-disk"),
        disk(role=""),
        disk(tags=tags("disk")),  # nobody knows what made it
    ],
)
def test_what_is_of_another_make_is_listed_and_stays(other):
    assert look(other) == {"vol-1": False}


def test_nothing_of_another_cluster_is_even_listed():
    for foreign in ("other", "Class", ""):
        thing = {**tags("disk"), "cloudjhub:shape": "abc", "cloudjhub:cluster": foreign}
        assert look(disk(tags=thing)) == {}
    assert look(replace(snapshot(role="worker-image"), tags={"cloudjhub:cluster": "other"})) == {}
    assert look(replace(address(), tags={}), address(2, "eipassoc-1")) == {}


# -- snapshots


def test_a_snapshot_on_the_way_of_a_home_goes_when_the_move_is_over_and_the_home_is_there():
    of_attempt = {**ADA, "cloudjhub:copy-of": "vol-1", "cloudjhub:moving": "copy-a"}
    here = {"state": "in-use", "attached_to": "i-1"}
    home = disk(ADA, **here)
    assert look(snapshot(of_attempt), home) == {"snap-1": True}  # given up
    under_way = disk({**ADA, "cloudjhub:moving": "a"}, **here)
    assert look(snapshot(of_attempt), under_way) == {}
    another = disk({**ADA, "cloudjhub:moving": "b"}, **here)
    assert look(snapshot(of_attempt), another) == {"snap-1": True}
    assert look(snapshot(of_attempt, started_at=NOW - timedelta(hours=3)), home) == {}
    assert look(snapshot(of_attempt, state="pending"), home) == {}


def test_a_snapshot_that_may_hold_the_only_copy_stays():
    of_attempt = {**ADA, "cloudjhub:copy-of": "vol-1", "cloudjhub:moving": "copy-a"}
    assert look(snapshot(of_attempt)) == {"snap-1": False}  # the home is gone
    moved = disk({**ADA, "cloudjhub:superseded": "2026-11-01 vol-2"})
    assert look(snapshot(of_attempt), moved) == {"vol-1": False, "snap-1": False}
    new = disk(ADA, id="vol-2", state="in-use", attached_to="i-1")
    assert look(snapshot(of_attempt), moved, new) == {"vol-1": False, "snap-1": True}


def test_snapshots_of_homes_are_listed_where_their_owner_is_no_user_any_more():
    last = snapshot({**ADA, "cloudjhub:last-of": "vol-1"}, "home-snapshot")
    assert look(last) == {}
    assert look(last, users=()) == {"snap-1": False}
    assert look(snapshot(ADA, "")) == {}


def test_snapshots_of_worker_amis_go_when_no_ami_has_them():
    of_image = snapshot(role="worker-image")
    assert look(of_image) == {"snap-1": True}
    assert look(of_image, LAUNCHED) == {"snap-1": True}
    assert look(of_image, IMAGE) == {}
    assert look(snapshot(role="")) == {"snap-1": False}


@pytest.mark.parametrize(
    "under_way", [LAUNCHING, BUILDER, replace(IMAGE, state="pending", snapshot_ids=())]
)
def test_nothing_of_a_launch_is_a_leftover_while_one_may_be_under_way(under_way):
    assert look(snapshot(role="worker-image"), under_way) == {}
    assert look(address(), address(2, "eipassoc-1"), under_way) == {}


# -- addresses and machines


def test_an_address_goes_only_where_the_manager_has_another():
    assert look(address(1, "eipassoc-1")) == {}
    assert look(address(1)) == {"eipalloc-1": False}
    assert look(address(1), address(2, "eipassoc-1")) == {"eipalloc-1": True}
    assert look(address(1, role="worker"), address(2, "eipassoc-1")) == {"eipalloc-1": False}


@pytest.mark.parametrize(
    ("more", "state", "listed"),
    [
        (ADA, "stopped", False),
        ({"cloudjhub:user": "eve", "cloudjhub:server": ""}, "stopped", True),
        ({"cloudjhub:user": "eve", "cloudjhub:server": ""}, "running", False),  # strays' affair
        ({"cloudjhub:retired": "x"}, "stopped", True),
        ({"cloudjhub:retired": "x", "cloudjhub:outdated": "ami-2"}, "stopped", True),
        ({}, "stopped", False),  # a spare of the pool
    ],
)
def test_machines_that_are_off_are_listed_where_nobody_will_start_them(more, state, listed):
    assert look(machine(more, state=state)) == ({"i-worker": False} if listed else {})
