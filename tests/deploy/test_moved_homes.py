"""Spares, homes that moved to another zone, and what is on its way: listed, kept, removed."""

import json
import re
from dataclasses import dataclass

import pytest
from deploy.made_clusters import Made, Place, gone, tags_of

from cloudjhub.account.inventory import Inventory, SnapshotFound
from cloudjhub.naming import (
    COPY_OF_TAG,
    HOME_MOVE_ROLE,
    LAST_OF_TAG,
    SUPERSEDED_TAG,
    Owner,
    owner_tags,
    role_tags,
)

pytestmark = pytest.mark.slow


@dataclass
class Moved:
    """A cluster in which ada's home has moved, bob's is on its way, and a spare waits."""

    made: Made
    old: str
    new: str
    passing: str
    spare: str


@pytest.fixture
def moved(place: Place) -> Moved:
    made = place.cluster("class1", ["ada", "bob"])
    old = volume(place, "us-east-1b", "ada", {})
    new = made.homes["ada"]
    marks = [{"Key": SUPERSEDED_TAG, "Value": f"2026-11-20 {new}"}]
    place.api.create_tags(Resources=[old], Tags=marks)
    passing = copy(place, made.homes["bob"], "bob")
    spare = place.machine("class1", "worker", group=made.ids["worker-group"], home=True)
    place.until_running(spare)
    return Moved(made, old, new, passing, spare)


def volume(place: Place, zone: str, owner: str, more: dict[str, str]) -> str:
    tags = role_tags("class1", "disk") | owner_tags(Owner(owner)) | more
    made = place.api.create_volume(
        Size=4, AvailabilityZone=zone, TagSpecifications=tags_of("volume", tags)
    )
    return made["VolumeId"]


def copy(place: Place, home: str, owner: str) -> str:
    tags = role_tags("class1", HOME_MOVE_ROLE) | owner_tags(Owner(owner)) | {COPY_OF_TAG: home}
    made = place.api.create_snapshot(VolumeId=home, TagSpecifications=tags_of("snapshot", tags))
    return made["SnapshotId"]


def test_status_tells_them_apart(place: Place, moved: Moved):
    text = place.run("status.py", "class1").stdout
    assert re.search(rf"ada \(moved, now {moved.new}\) +{moved.old} ", text)
    assert re.search(rf"ada +{moved.new} ", text)
    assert "1 snapshot of homes on their way to another zone" in text
    assert "1 volume of homes that moved ($0.32)" in text
    data = json.loads(place.run("status.py", "class1", "--json").stdout)
    superseded = {home["id"]: home["superseded"] for home in data["homes"]}
    assert superseded[moved.old] == f"2026-11-20 {moved.new}" and superseded[moved.new] is None
    assert data["snapshots_of_moves"] == [moved.passing]


def test_workers_end_with_spares_and_no_home_is_lost(place: Place, moved: Moved):
    shown = place.run("terminate_all_workers.py", "class1")
    assert "3 machines of users, 1 spare among them" in shown.stdout
    assert "3 homes (1 of them as it was before it moved" in shown.stdout
    assert "1 snapshot of homes on their way to another zone; the hub goes on" in shown.stdout
    assert "set POOL to 0 on the manager before" in shown.stdout
    before = place.everything()
    done = place.run("terminate_all_workers.py", "class1", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    missing = gone(before, place.everything())
    assert missing["machines"] == {moved.spare, *moved.made.workers.values()}
    assert "snapshots" not in missing
    assert not missing["volumes"] & {moved.old, *moved.made.homes.values()}


def test_with_its_home_a_copy_on_its_way_is_deleted_too(place: Place, moved: Moved):
    # A home that is in use again stays, and so does its copy.
    user = place.machine("class1", "worker", group=moved.made.ids["worker-group"])
    place.until_running(user)
    used = volume(place, "us-east-1a", "carol", {})
    volumes = place.api.describe_volumes
    place.until(
        lambda: volumes(VolumeIds=[used])["Volumes"][0]["State"] == "available", "the volume"
    )
    place.api.attach_volume(VolumeId=used, InstanceId=user, Device="/dev/sdz")
    stays = copy(place, used, "carol")
    protected = {"InstanceId": user, "DisableApiTermination": {"Value": True}}
    place.api.modify_instance_attribute(**protected)
    done = place.run("terminate_all_workers.py", "class1", "--homes", "delete", typed="class1\n")
    assert "To be deleted with its home: 2 snapshots of homes" in done.stdout
    assert done.returncode == 1 and f"home {used} of carol" in done.stdout
    after = place.everything()
    assert moved.made.homes["bob"] not in after["volumes"] and used in after["volumes"]
    assert moved.passing not in after["snapshots"] and stays in after["snapshots"]


def test_a_teardown_keeps_homes_new_and_old_and_removes_what_was_on_its_way(
    place: Place, moved: Moved
):
    shown = place.run("teardown.py", "class1")
    assert re.search(
        rf"snapshot +{moved.passing} +copy of bob's home, which is there", shown.stdout
    )
    done = place.run("teardown.py", "class1", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    after = place.everything()
    assert {moved.old, *moved.made.homes.values()} <= after["volumes"]
    assert moved.passing not in after["snapshots"]
    assert moved.spare not in after["machines"]


def test_a_copy_whose_home_is_gone_is_somebodys_files(place: Place, moved: Moved):
    bobs = moved.made.homes["bob"]
    done = place.run("terminate_all_workers.py", "class1", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    place.api.delete_volume(VolumeId=bobs)
    done = place.run("teardown.py", "class1", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Kept: 1 snapshot of homes" in done.stdout
    assert moved.passing in place.everything()["snapshots"]
    done = place.run("teardown.py", "class1", "--homes", "delete", typed="class1\n")
    assert done.returncode == 0, done.stdout + done.stderr
    assert moved.passing not in place.everything()["snapshots"]


def test_as_snapshots_both_copies_of_a_home_are_kept(place: Place, moved: Moved):
    done = place.run("teardown.py", "class1", "--yes", "--homes", "snapshot")
    assert done.returncode == 0, done.stdout + done.stderr
    after = place.everything()
    assert not {moved.old, *moved.made.homes.values()} & after["volumes"]
    kept = place.api.describe_snapshots(SnapshotIds=sorted(after["snapshots"]))["Snapshots"]
    of = {each["VolumeId"] for each in kept if LAST_OF_TAG in {t["Key"] for t in each["Tags"]}}
    assert of == {moved.old, *moved.made.homes.values()}
    # The last snapshot of bob's home has all that the one on its way had.
    assert moved.passing not in after["snapshots"]


def snapshot(**changes) -> SnapshotFound:
    tags = {"cloudjhub:role": HOME_MOVE_ROLE, "cloudjhub:user": "ada"}
    values = {
        "id": "snap-1",
        "tags": tags,
        "state": "completed",
        "volume_id": "vol-1",
        "size_gib": 4,
        "started_at": None,
        "progress": "100%",
    }
    return SnapshotFound(**{**values, **changes})


def test_only_what_has_its_home_beside_it_is_passing():
    alone = Inventory("class1", snapshots=(snapshot(),))
    assert (alone.passing, len(alone.home_snapshots)) == ([], 1)
    last = snapshot(id="snap-2", tags={LAST_OF_TAG: "vol-1", "cloudjhub:user": "ada"})
    both = Inventory("class1", snapshots=(snapshot(), last))
    assert [each.id for each in both.passing] == ["snap-1"]
    assert [each.id for each in both.home_snapshots] == ["snap-2"]
