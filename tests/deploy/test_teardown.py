"""A cluster is removed, whole and in order, and nothing else is."""

import pytest
from deploy.made_clusters import Made, Place, tags_of

from cloudjhub.account.clients import Clients
from cloudjhub.account.inventory import GroupFound, MachineFound, Thing
from cloudjhub.account.listing import Listing, checked_name, clusters
from cloudjhub.account.removal import Removal
from cloudjhub.aws import Access
from cloudjhub.ec2_values import tag_list
from cloudjhub.naming import role_tags

SCRIPT = "teardown.py"


def crowded(place: Place) -> tuple[Made, set[str]]:
    """A cluster beside another one and a stranger's things; gives it and everybody's groups."""
    place.stranger()
    place.cluster("class1x", ["eve"])
    before = place.everything()
    made = place.cluster("class1")
    builder = place.machine("class1", "builder", group=made.ids["manager-group"])
    place.until_running(builder)
    return made, before


@pytest.mark.slow
def test_without_yes_it_only_says_what_would_happen(place: Place):
    made, _ = crowded(place)
    before = place.everything()
    done = place.run(SCRIPT, "class1")
    assert done.returncode == 0, done.stderr
    for thing in (*made.ids.values(), *made.workers.values()):
        assert thing in done.stdout, thing
    assert "cloudjhub-class1-manager" in done.stdout
    assert "Kept: 2 homes" in done.stdout and "a month" in done.stdout
    assert "class1x" not in done.stdout
    assert "Nothing was changed. Add --yes" in done.stdout
    assert place.everything() == before


@pytest.mark.slow
def test_everything_goes_but_homes_and_what_is_others(place: Place):
    made, before = crowded(place)
    done = place.run(SCRIPT, "class1", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    after = place.everything()
    after["volumes"] -= set(made.homes.values())
    assert after == before
    assert "Kept: 2 homes" in done.stdout
    assert "scripts/teardown.py class1 --homes delete" in done.stdout
    # What was kept can be removed later.
    rest = place.run(SCRIPT, "class1", "--homes", "delete", typed="class1\n")
    assert rest.returncode == 0, rest.stdout + rest.stderr
    assert place.everything() == before
    again = place.run(SCRIPT, "class1", "--yes")
    assert again.returncode == 0
    assert "Nothing is left of a cluster class1 in us-east-1; there are: class1x." in again.stdout


@pytest.mark.slow
def test_homes_can_be_kept_as_snapshots_and_deleted_in_the_end(place: Place):
    made, before = crowded(place)
    done = place.run(SCRIPT, "class1", "--yes", "--homes", "snapshot")
    assert done.returncode == 0, done.stdout + done.stderr
    after = place.everything()
    kept = after["snapshots"] - before["snapshots"]
    assert len(kept) == 2
    assert after["volumes"] == before["volumes"]
    assert "Kept: 2 snapshots of homes, at most $" in done.stdout
    done = place.run(SCRIPT, "class1", "--yes", "--homes", "delete")
    assert done.returncode == 0, done.stdout + done.stderr
    assert place.everything() == before
    assert made.homes


@pytest.mark.slow
@pytest.mark.parametrize("said", ["Terminating 3 machines", "owner's tags again", "Deleted AMI"])
def test_a_home_that_lost_its_tags_is_not_taken_for_a_blank_one(place: Place, said: str):
    made, _ = crowded(place)
    lost = [{"Key": f"cloudjhub:{key}"} for key in ("user", "server", "host-key")]
    place.api.delete_tags(Resources=[made.homes["ada"]], Tags=lost)
    assert place.killed_at(said, SCRIPT, "class1", "--yes")
    done = place.run(SCRIPT, "class1", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(made.homes.values()) <= place.everything()["volumes"]
    assert "Kept: 2 homes" in done.stdout


STEPS = (
    "To be removed",
    "Terminating 1 machine",
    "Terminating 3 machines",
    "3 machines terminated",
    "begun",
    "Deleted home",
    "Deleted AMI",
    "Deleted snapshot",
    "Deleted address",
    "Deleted key pair",
    "Deleted security group",
    "Deleted instance profile",
    "Deleted role",
)


@pytest.mark.slow
@pytest.mark.parametrize("said", STEPS)
def test_killed_at_any_point_and_run_again(place: Place, said: str):
    made, before = crowded(place)
    assert place.killed_at(said, SCRIPT, "class1", "--yes", "--homes", "snapshot")
    done = place.run(SCRIPT, "class1", "--yes", "--homes", "snapshot")
    assert done.returncode == 0, done.stdout + done.stderr
    after = place.everything()
    kept = after["snapshots"] - before["snapshots"]
    volumes = place.api.describe_snapshots(SnapshotIds=list(kept))["Snapshots"]
    assert sorted(raw["VolumeId"] for raw in volumes) == sorted(made.homes.values())
    after["snapshots"] -= kept
    assert after == before


@pytest.mark.slow
def test_what_a_protected_machine_uses_stays_and_is_named(place: Place):
    made, _ = crowded(place)
    machine = made.workers["ada"]
    place.api.modify_instance_attribute(InstanceId=machine, DisableApiTermination={"Value": True})
    done = place.run(SCRIPT, "class1", "--yes")
    assert done.returncode == 1
    assert f"machine {machine}: it is protected against termination" in done.stdout
    assert made.ids["worker-group"] in place.everything()["groups"]


@pytest.mark.slow
def test_a_group_that_a_stranger_uses_is_left_and_the_stranger_is_named(place: Place):
    made, _ = crowded(place)
    stranger = place.api.run_instances(
        ImageId=place.config["WORKER_AMI"],
        InstanceType="t3.small",
        MinCount=1,
        MaxCount=1,
        SubnetId=place.config["SUBNET_ID"],
        SecurityGroupIds=[made.ids["worker-group"]],
    )["Instances"][0]["InstanceId"]
    done = place.run(SCRIPT, "class1", "--yes", "--wait-seconds", "20")
    assert place.state(stranger) in ("pending", "running")
    assert done.returncode == 1, done.stdout
    assert stranger in done.stdout


@pytest.mark.slow
def test_a_role_of_that_name_without_our_tag_is_not_ours(place: Place):
    name = "cloudjhub-class1-manager"
    place.iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")
    place.iam.create_instance_profile(
        InstanceProfileName=name, Tags=tag_list(role_tags("class2", "manager"))
    )
    group = place.config["WORKER_SECURITY_GROUPS"][0]
    place.until_running(place.machine("class1", "worker", group=group))
    done = place.run(SCRIPT, "class1", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    left = place.everything()
    assert left["roles"] == left["profiles"] == {name}
    assert not left["machines"]


# -- the parts that must refuse


@pytest.mark.slow
def test_a_volume_restored_from_a_snapshot_is_a_home_whatever_its_tags(place: Place):
    """Who restores a home by hand may forget to say whose it is."""
    place.cluster("class1", ["ada"])
    assert place.run(SCRIPT, "class1", "--yes", "--homes", "snapshot").returncode == 0
    mine = [{"Name": "tag:cloudjhub:role", "Values": ["home-snapshot"]}]
    (snapshot,) = place.api.describe_snapshots(Filters=mine)["Snapshots"]
    restored = place.api.create_volume(
        SnapshotId=snapshot["SnapshotId"],
        AvailabilityZone="us-east-1a",
        TagSpecifications=tags_of("volume", role_tags("class1", "disk")),
    )["VolumeId"]
    kept = place.run(SCRIPT, "class1", "--yes")
    assert kept.returncode == 0, kept.stdout + kept.stderr
    assert "Kept: 1 home," in kept.stdout
    assert restored in place.everything()["volumes"]
    gone = place.run(SCRIPT, "class1", "--yes", "--homes", "delete")
    assert gone.returncode == 0, gone.stdout + gone.stderr
    assert restored not in place.everything()["volumes"]


def services(place: Place) -> Clients:
    return Clients(Access("us-east-1", place.ec2.endpoint_url, "local", "local"))


def test_a_removal_refuses_what_is_not_the_clusters(place: Place):
    clients = services(place)
    removal = Removal("class1", clients.ec2, clients.iam)
    other, stranger = Thing("x-1", role_tags("class2", "worker")), Thing("x-2", {})
    verbs = [
        removal.snapshot,
        removal.delete_disk,
        removal.delete_snapshot,
        removal.deregister,
        removal.release,
        removal.revoke_references,
        removal.delete_group,
        removal.delete_key_pair,
        removal.delete_profile,
        removal.delete_role,
        lambda thing: removal.terminate([thing]),
    ]
    for thing in (other, stranger):
        for verb in verbs:
            with pytest.raises(ValueError, match="not a resource of cluster class1"):
                verb(thing)
    assert not place.ec2.calls().keys() & {"TerminateInstances", "DeleteVolume"}


@pytest.mark.parametrize("name", ["", "*", "?", "a b", "class1*", "-x"])
def test_a_name_that_is_no_name_makes_no_removal(name: str):
    with pytest.raises(ValueError, match="not the name of a cluster"):
        checked_name(name)


@pytest.mark.slow
def test_names_that_differ_in_case_are_two_clusters(place: Place):
    group = place.config["WORKER_SECURITY_GROUPS"][0]
    for name in ("class1", "Class1"):
        place.machine(name, "worker", group=group)
    clients = services(place)
    (found,) = Listing("class1", clients.ec2).machines()
    assert found.tags["cloudjhub:cluster"] == "class1"
    assert clusters(clients.ec2) == ["Class1", "class1"]


def machines(count: int) -> list[MachineFound]:
    tags = role_tags("class1", "worker")
    rest = dict.fromkeys(MachineFound.__dataclass_fields__, "")
    return [MachineFound(**{**rest, "id": f"i-{n:08x}", "tags": tags}) for n in range(count)]


class Refusing:
    """An EC2 that takes at most 1000 ids and refuses some of them."""

    def __init__(self, refused):
        self.refused, self.calls, self.ended = refused, [], set()

    def ask(self, operation, *, InstanceIds):
        from cloudjhub.account.refusals import from_code

        assert operation == "terminate_instances" and 1 <= len(InstanceIds) <= 1000
        self.calls.append(len(InstanceIds))
        for instance_id in InstanceIds:
            if instance_id in self.refused:
                raise from_code("TerminateInstances", self.refused[instance_id], "No.", "")
        self.ended |= set(InstanceIds)


def test_a_batch_is_split_until_the_culprits_are_alone():
    refused = {"i-00000007": "OperationNotPermitted", "i-000005dc": "OperationNotPermitted"}
    refused["i-00000100"] = "InvalidInstanceID.NotFound"
    ec2 = Refusing(refused)
    said = Removal("class1", ec2, ec2).terminate(machines(2500))
    assert said.keys() == {"i-00000007", "i-000005dc"}
    assert len(ec2.ended) == 2497
    assert len(ec2.calls) < 80


def test_a_refusal_for_everybody_is_not_asked_a_thousand_times():
    everybody = machines(1000)
    ec2 = Refusing({machine.id: "UnauthorizedOperation" for machine in everybody})
    said = Removal("class1", ec2, ec2).terminate(everybody)
    assert len(said) == 1000
    assert len(ec2.calls) < 60


def test_a_group_of_the_cluster_is_described_with_the_rules_that_name_groups(place: Place):
    made = Made("class1")
    place._network(made)
    clients = services(place)
    groups = {g.role: g for g in Listing("class1", clients.ec2).everything().groups}
    assert isinstance(groups["worker"], GroupFound)
    sources = {
        pair["GroupId"] for rule in groups["worker"].references for pair in rule["UserIdGroupPairs"]
    }
    assert sources == {made.ids["manager2-group"]}
    assert groups["manager2"].references == ()
