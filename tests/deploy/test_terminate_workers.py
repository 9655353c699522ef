"""The end of users' machines, their homes kept, kept as snapshots, or deleted."""

import pytest
from deploy.made_clusters import Place, gone

from cloudjhub.account.inventory import MachineFound
from cloudjhub.deploy.desk import desk
from cloudjhub.deploy.removing import Removing
from cloudjhub.deploy.settings import Account
from cloudjhub.deploy.terminate_workers import machines_text
from cloudjhub.ec2_values import tag_list, tags_from
from cloudjhub.naming import Owner, owner_tags, role_tags

pytestmark = pytest.mark.slow

SCRIPT = "terminate_all_workers.py"


def test_without_yes_it_only_says_what_would_happen(place: Place):
    made = place.cluster("class1")
    before = place.everything()
    done = place.run(SCRIPT, "class1")
    assert done.returncode == 0, done.stderr
    for machine in made.workers.values():
        assert machine in done.stdout
    assert "Kept: 2 homes" in done.stdout and "a month" in done.stdout
    assert f"Kept: the manager {made.ids['manager']}" in done.stdout
    assert "Nothing was changed. Add --yes" in done.stdout
    assert not gone(before, place.everything())


def test_users_machines_end_and_nothing_else_does(place: Place):
    made, other, stranger = place.cluster("class1"), place.cluster("other"), place.stranger()
    spare = place.machine("class1", "worker", group=made.ids["worker-group"], home=True)
    place.until_running(spare)
    blank = place.home_of(spare)
    before = place.everything()
    done = place.run(SCRIPT, "class1", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    missing = gone(before, place.everything())
    assert missing["machines"] == {*made.workers.values(), spare}
    assert missing.keys() == {"machines", "volumes"}
    assert blank in missing["volumes"]
    assert not missing["volumes"] & {*made.homes.values(), *other.homes.values()}
    assert stranger["volume"] not in missing["volumes"]
    again = place.run(SCRIPT, "class1", "--yes")
    assert again.returncode == 0, again.stderr
    assert "No users' machines." in again.stdout


def test_every_state_of_a_machine_ends(place: Place):
    made = place.cluster("class1", ["stopped", "stopping", "going"])
    api, workers = place.api, made.workers
    api.stop_instances(InstanceIds=[workers["stopped"]])
    place.until(lambda: place.state(workers["stopped"]) == "stopped", "a stopped machine")
    place.worker(made, "on")
    for stage in ("stopping", "shutting_down", "pending"):
        place.ec2.faults.hold(stage)
    api.stop_instances(InstanceIds=[workers["stopping"]])
    api.terminate_instances(InstanceIds=[workers["going"]])
    place.machine("class1", "worker", group=made.ids["worker-group"])
    shown = place.run(SCRIPT, "class1")
    for state in ("stopped", "stopping", "shutting-down", "pending", "running"):
        assert f" {state} " in shown.stdout, state
    place.ec2.faults.clear()
    done = place.run(SCRIPT, "class1", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert place.everything()["machines"] == {made.ids["manager"]}


def test_a_protected_machine_is_named_and_the_others_end(place: Place):
    made = place.cluster("class1", ["ada", "bob", "eve"])
    place.api.modify_instance_attribute(
        InstanceId=made.workers["bob"], DisableApiTermination={"Value": True}
    )
    done = place.run(SCRIPT, "class1", "--yes", "--homes", "delete")
    assert done.returncode == 1
    assert f"machine {made.workers['bob']}: it is protected against termination" in done.stdout
    left = place.everything()
    assert left["machines"] == {made.ids["manager"], made.workers["bob"]}
    # Of a machine that stays, the home stays too.
    assert made.homes["bob"] in left["volumes"]
    assert not left["volumes"] & {made.homes["ada"], made.homes["eve"]}
    place.api.modify_instance_attribute(
        InstanceId=made.workers["bob"], DisableApiTermination={"Value": False}
    )
    again = place.run(SCRIPT, "class1", "--yes", "--homes", "delete")
    assert again.returncode == 0, again.stdout + again.stderr
    assert made.homes["bob"] not in place.everything()["volumes"]


def test_machines_that_do_not_end_in_time_are_named(place: Place):
    made = place.cluster("class1", ["ada"])
    place.ec2.faults.hold("shutting_down")
    done = place.run(SCRIPT, "class1", "--yes", "--wait-seconds", "1")
    assert done.returncode == 1
    assert f"machine {made.workers['ada']}: still shutting-down" in done.stdout


def test_homes_become_snapshots_with_their_owners_tags(place: Place):
    made = place.cluster("class1")
    owner_of = {home: owner for owner, home in made.homes.items()}
    before = place.everything()
    done = place.run(SCRIPT, "class1", "--yes", "--homes", "snapshot")
    assert done.returncode == 0, done.stdout + done.stderr
    after = place.everything()
    assert made.homes.keys() == {"ada", "bob"}
    assert not after["volumes"] & set(made.homes.values())
    new = after["snapshots"] - before["snapshots"]
    described = place.api.describe_snapshots(SnapshotIds=list(new))["Snapshots"]
    assert {raw["VolumeId"] for raw in described} == set(made.homes.values())
    for raw in described:
        tags = tags_from(raw)
        assert tags["cloudjhub:cluster"] == "class1"
        assert tags["cloudjhub:role"] == "home-snapshot"
        assert tags["cloudjhub:user"] == owner_of[raw["VolumeId"]]
        assert "cloudjhub:server" in tags
        assert raw["State"] == "completed"


@pytest.mark.parametrize("said", ["Terminating", "terminated", "begun", "Deleted home"])
def test_killed_in_the_middle_and_run_again_no_home_is_lost_or_doubled(place: Place, said: str):
    made = place.cluster("class1", ["ada"])
    before = place.everything()
    assert place.killed_at(said, SCRIPT, "class1", "--yes", "--homes", "snapshot")
    done = place.run(SCRIPT, "class1", "--yes", "--homes", "snapshot")
    assert done.returncode == 0, done.stdout + done.stderr
    after = place.everything()
    assert made.homes["ada"] not in after["volumes"]
    assert len(after["snapshots"] - before["snapshots"]) == 1


def test_homes_are_deleted_for_who_types_the_clusters_name(place: Place):
    made = place.cluster("class1", ["ada"])
    before = place.everything()
    for typed in ("", "\n", "class2\n", "yes\n"):
        done = place.run(SCRIPT, "class1", "--homes", "delete", typed=typed)
        assert done.returncode == 0
        assert "Nothing was changed" in done.stdout
        assert not gone(before, place.everything())
    done = place.run(SCRIPT, "class1", "--homes", "delete", typed="class1\n")
    assert done.returncode == 0, done.stdout + done.stderr
    left = place.everything()
    assert left["machines"] == {made.ids["manager"]}
    assert made.homes["ada"] not in left["volumes"]


def test_a_home_that_is_in_use_again_is_left_alone(place: Place):
    """Its owner logged in while the others' machines ended."""
    made = place.cluster("class1", ["ada", "bob"])
    place.api.terminate_instances(InstanceIds=[made.workers["ada"]])
    place.until(lambda: place.state(made.workers["ada"]) == "terminated", "ada's machine to end")
    elsewhere = place.stranger()["machine"]
    place.api.attach_volume(VolumeId=made.homes["ada"], InstanceId=elsewhere, Device="/dev/sdf")
    done = place.run(SCRIPT, "class1", "--yes", "--homes", "delete")
    assert done.returncode == 1
    assert f"home {made.homes['ada']} of ada" in done.stdout and elsewhere in done.stdout
    left = place.everything()
    assert made.homes["ada"] in left["volumes"]
    assert made.homes["bob"] not in left["volumes"]


@pytest.mark.parametrize("script", [SCRIPT, "teardown.py"])
def test_files_on_a_system_disk_are_lost_only_for_who_says_delete(place: Place, script: str):
    """USER_HOME_EBS_SIZE 0: the home goes with its machine."""
    made = place.cluster("class1", ["bob"])
    machine = place.machine("class1", "worker", group=made.ids["worker-group"])
    place.until_running(machine)
    place.api.create_tags(Resources=[machine], Tags=tag_list(owner_tags(Owner("ada"))))
    before = place.everything()
    for homes in ("keep", "snapshot"):
        done = place.run(script, "class1", "--yes", "--homes", homes)
        assert done.returncode == 1, done.stdout + done.stderr
        assert (
            f"On the system disk, lost with the machine: 1 home\nOWNER  MACHINE\nada    {machine}"
            in done.stdout
        )
        assert place.everything() == before
    done = place.run(script, "class1", "--yes", "--homes", "delete")
    assert done.returncode == 0, done.stdout + done.stderr
    assert machine not in place.everything()["machines"]


def test_a_volume_that_became_somebodys_home_meanwhile_is_left_alone(place: Place):
    """The hub runs on, and gives a blank volume to whoever logs in."""
    made = place.cluster("class1", [])
    tags = tag_list(role_tags("class1", "disk"))
    volumes = [
        place.api.create_volume(
            Size=4,
            AvailabilityZone="us-east-1a",
            TagSpecifications=[{"ResourceType": "volume", "Tags": tags}],
        )["VolumeId"]
        for _ in range(2)
    ]
    account = Account(
        CLUSTER_NAME="class1",
        EC2_ENDPOINT_URL=place.ec2.endpoint_url,
        AWS_ACCESS_KEY_ID="local",
        AWS_SECRET_KEY="local",
    )
    at = desk(account, None)
    blanks = at.listing.everything().blanks
    assert {disk.id for disk in blanks} == {*volumes}
    place.api.create_tags(Resources=volumes[:1], Tags=tag_list(owner_tags(Owner("ada"))))
    removing = Removing(at, wait_seconds=5)
    removing.blanks(blanks)
    left = place.everything()["volumes"]
    assert volumes[0] in left and volumes[1] not in left
    assert not removing.remains and made


def test_what_sleeps_with_its_memory_is_named_before_it_is_lost():
    """The kernels of a hibernated machine are on its disk."""
    rest = dict.fromkeys(MachineFound.__dataclass_fields__, "")
    asleep = MachineFound(**{**rest, "tags": {}, "state": "stopped", "hibernated": True})
    assert "hibernated (its running work would be lost)" in machines_text([asleep])


def test_an_unknown_cluster(place: Place):
    place.cluster("class1", [])
    done = place.run(SCRIPT, "klass1", "--yes")
    assert done.returncode == 1
    assert "there are: class1" in done.stderr
