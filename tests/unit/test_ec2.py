"""The EC2 calls over HTTP, answered by moto."""

import copy
import uuid
from dataclasses import replace

import boto3
import pytest
from moto.server import ThreadedMotoServer

from cloudjhub import ec2 as ec2_module
from cloudjhub.ec2 import EC2
from cloudjhub.errors import (
    BadLaunch,
    NotFound,
)
from cloudjhub.launch_spec import run_arguments

REGION = "us-east-1"


@pytest.fixture(scope="module")
def endpoint():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
        server = ThreadedMotoServer("127.0.0.1", port=0)
        server.start()
        yield "http://{}:{}".format(*server.get_host_and_port())
        server.stop()


@pytest.fixture(scope="module")
def admin(endpoint, credentials):
    """boto3 beside ours, for what the hub never does."""
    return boto3.session.Session(region_name=REGION).client("ec2", endpoint_url=endpoint)


@pytest.fixture(scope="module")
def subnet(admin):
    vpc = admin.create_vpc(CidrBlock="127.64.0.0/16")["Vpc"]["VpcId"]
    return admin.create_subnet(VpcId=vpc, CidrBlock="127.64.0.0/20", AvailabilityZone=f"{REGION}a")[
        "Subnet"
    ]["SubnetId"]


@pytest.fixture(scope="module")
def group(admin, subnet):
    vpc = admin.describe_subnets(SubnetIds=[subnet])["Subnets"][0]["VpcId"]
    return admin.create_security_group(GroupName="workers", Description="w", VpcId=vpc)["GroupId"]


@pytest.fixture
def moto_spec(spec, subnet, group):
    return replace(spec, subnet_id=subnet, security_groups=(group,))


@pytest.fixture(scope="module")
def clients(endpoint, credentials):
    """Making boto3's clients takes a third of a second, so the tests of this file share them."""
    return EC2(cluster="", region=REGION, endpoint_url=endpoint)


@pytest.fixture
def cluster(clients):
    """Makes further clusters in the shared moto."""

    def another():
        cloud = copy.copy(clients)
        cloud.cluster = f"cluster-{uuid.uuid4().hex}"
        return cloud

    return another


@pytest.fixture
def cloud(cluster):
    """A cluster of this test's own in the shared moto."""
    return cluster()


def launch(cloud, spec, token="t"):
    (machine,) = cloud.run(
        run_arguments(replace(spec, cluster=cloud.cluster), count=1, client_token=token)
    )
    return machine


def listed(cloud, instance_id):
    (machine,) = (each for each in cloud.instances() if each.id == instance_id)
    return machine


def test_a_launched_machine_is_listed_with_its_values(cloud, moto_spec):
    machine = listed(cloud, launch(cloud, moto_spec).id)
    assert machine.state == "running"
    assert machine.private_ip.startswith("127.64.")
    assert machine.instance_type == "t3.medium"
    assert machine.launched_at.tzinfo is not None
    assert machine.tags["cloudjhub:cluster"] == cloud.cluster
    assert machine.tags["cloudjhub:role"] == "worker"
    assert machine.home_volume_id.startswith("vol-")


def test_what_belongs_to_others_is_not_listed(cloud, cluster, moto_spec, admin):
    ours = launch(cloud, moto_spec)
    launch(cluster(), moto_spec)
    admin.run_instances(ImageId="ami-1", MinCount=1, MaxCount=1)
    admin.run_instances(
        ImageId="ami-1",
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[
            {
                "ResourceType": "instance",
                "Tags": [
                    {"Key": "cloudjhub:cluster", "Value": cloud.cluster},
                    {"Key": "cloudjhub:role", "Value": "manager"},
                ],
            }
        ],
    )
    assert [machine.id for machine in cloud.instances()] == [ours.id]
    assert {volume.attached_to for volume in cloud.volumes()} == {ours.id}


def test_every_page_of_a_long_listing_is_read(cloud, moto_spec, monkeypatch):
    monkeypatch.setattr(ec2_module, "_PAGE_SIZE", 5)  # the least that EC2 takes
    ids = {launch(cloud, moto_spec).id for _ in range(12)}
    asked = []

    def note(params, **_):
        asked.append(params["body"])

    cloud._read._client.meta.events.register("before-call.ec2.DescribeInstances", note)
    assert {machine.id for machine in cloud.instances()} == ids
    cloud._read._client.meta.events.unregister("before-call.ec2.DescribeInstances", note)
    assert len(asked) == 3
    assert all(body["MaxResults"] == 5 and "Filter.1.Name" in body for body in asked)


def test_disks_are_listed_with_who_holds_them(cloud, moto_spec):
    machine = listed(cloud, launch(cloud, moto_spec).id)
    disks = {volume.id: volume for volume in cloud.volumes()}
    home = disks[machine.home_volume_id]
    assert len(disks) == 2
    assert (home.state, home.attached_to, home.size_gib) == ("in-use", machine.id, 1)
    assert home.tags["cloudjhub:role"] == "disk"
    assert home.created_at.tzinfo is not None


def test_the_home_outlives_its_machine_and_can_be_deleted(cloud, moto_spec):
    machine = listed(cloud, launch(cloud, moto_spec).id)
    assert cloud.terminate([machine.id]) == {machine.id: "shutting-down"}
    (home,) = cloud.volumes()
    assert (home.id, home.state, home.attached_to) == (machine.home_volume_id, "available", None)
    cloud.delete_volume(home.id)
    assert cloud.volumes() == []


def test_a_home_moves_from_machine_to_machine(cloud, moto_spec):
    old = listed(cloud, launch(cloud, moto_spec).id)
    new = launch(cloud, replace(moto_spec, home_gib=0))
    cloud.detach(old.home_volume_id, old.id, "/dev/sdf")
    cloud.attach(old.home_volume_id, new.id, "/dev/sdf")
    assert listed(cloud, new.id).home_volume_id == old.home_volume_id
    assert listed(cloud, old.id).home_volume_id is None


def test_a_machine_is_stopped_and_started(cloud, moto_spec):
    machine = launch(cloud, moto_spec)
    assert cloud.stop([machine.id]) == {machine.id: "stopping"}
    assert listed(cloud, machine.id).state == "stopped"
    assert cloud.start([machine.id]) == {machine.id: "pending"}
    assert cloud.stop([machine.id], force=True) == {machine.id: "stopping"}


def test_a_machine_is_hibernated(cloud, moto_spec, monkeypatch):
    machine = launch(cloud, moto_spec)
    sent = []
    cloud._write._client.meta.events.register(
        "before-parameter-build.ec2.StopInstances", lambda params, **_: sent.append(params)
    )
    assert cloud.hibernate([machine.id]) == {machine.id: "stopping"}
    assert [(each["InstanceIds"], each["Hibernate"]) for each in sent] == [([machine.id], True)]


def test_tags_are_written_on_machine_and_disk_in_one_call_and_removed(cloud, moto_spec):
    machine = listed(cloud, launch(cloud, moto_spec).id)
    cloud.tag([machine.id, machine.home_volume_id], {"a": "1", "b": ""})
    homes = [volume for volume in cloud.volumes() if volume.id == machine.home_volume_id]
    for tags in (listed(cloud, machine.id).tags, homes[0].tags):
        assert (tags["a"], tags["b"]) == ("1", "")
    cloud.untag([machine.id], ["a"])
    assert "a" not in listed(cloud, machine.id).tags


def test_an_image_is_found_with_its_root_disk(cloud, admin, moto_spec):
    machine = launch(cloud, moto_spec)
    image_id = admin.create_image(InstanceId=machine.id, Name="worker")["ImageId"]
    assert cloud.image(image_id).id == image_id


def test_an_image_that_does_not_exist_is_a_wrong_launch(cloud):
    with pytest.raises(BadLaunch, match="WORKER_AMI"):
        cloud.image("ami-0123456789abcdef0")


def test_a_console_log_is_text(cloud, moto_spec):
    assert isinstance(cloud.console_output(launch(cloud, moto_spec).id), str)


@pytest.mark.parametrize("verb", ["start", "stop", "terminate"])
def test_an_unknown_machine_is_not_found(cloud, verb):
    with pytest.raises(NotFound) as raised:
        getattr(cloud, verb)(["i-0123456789abcdef0"])
    assert raised.value.action == f"{verb.capitalize()}Instances"
    assert raised.value.code == "InvalidInstanceID.NotFound"
    assert raised.value.request_id


def test_a_subnet_that_does_not_exist_is_named(cloud, moto_spec):
    with pytest.raises(BadLaunch, match="SUBNET_ID"):
        launch(cloud, replace(moto_spec, subnet_id="subnet-00000000"))
