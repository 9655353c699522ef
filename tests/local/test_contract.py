"""Where plain moto is right, the local EC2 says the same: one body, two servers."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from local.clouds import client_of, code_of, wait_for
from moto.server import ThreadedMotoServer

MAPPING = [{"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 3, "DeleteOnTermination": False}}]


@dataclass
class Account:
    """An account with a subnet, a group, a key pair and an image."""

    api: Any
    subnet: str
    group: str
    image: str

    def run(self, **changes: Any) -> list[dict[str, Any]]:
        request = {
            "ImageId": self.image,
            "InstanceType": "t3.small",
            "MinCount": 1,
            "MaxCount": 1,
            "SubnetId": self.subnet,
            "SecurityGroupIds": [self.group],
            "BlockDeviceMappings": MAPPING,
        } | changes
        return self.api.run_instances(**request)["Instances"]

    def state(self, instance_id: str) -> str:
        found = self.api.describe_instances(InstanceIds=[instance_id])["Reservations"]
        return found[0]["Instances"][0]["State"]["Name"]

    def wait_state(self, instance_id: str, state: str) -> None:
        wait_for(f"{instance_id} {state}", lambda: self.state(instance_id) == state)


@pytest.fixture(scope="module")
def moto() -> Iterator[tuple[str, str]]:
    """Address of a plain moto, and an image it has."""
    with pytest.MonkeyPatch.context() as patch:
        # What moto knows is the process's: other tests may have made it without these already.
        patch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
        server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        server.start()
        url = "http://{}:{}".format(*server.get_host_and_port())
        image = client_of(url).register_image(Name="plain", RootDeviceName="/dev/sda1")
        yield url, image["ImageId"]
        server.stop()


@pytest.fixture(params=["moto", "local"])
def account(request: pytest.FixtureRequest) -> Account:
    if request.param == "moto":
        url, image = request.getfixturevalue("moto")
        api = client_of(url)
        vpc = api.create_vpc(CidrBlock="127.64.0.0/16")["Vpc"]["VpcId"]
    else:
        cloud = request.getfixturevalue("api_cloud")
        api, image = cloud.api, cloud.config["WORKER_AMI"]
        vpc = api.create_vpc(CidrBlock="127.70.0.0/16")["Vpc"]["VpcId"]
    network = "127.64.0.0/24" if request.param == "moto" else "127.70.0.0/24"
    subnet = api.create_subnet(VpcId=vpc, CidrBlock=network, AvailabilityZone="us-east-1a")
    group = api.create_security_group(GroupName="workers", Description="workers", VpcId=vpc)
    return Account(api, subnet["Subnet"]["SubnetId"], group["GroupId"], image)


def test_a_launch_answers_pending_and_has_an_address_at_once(account: Account) -> None:
    instance = account.run()[0]
    assert instance["State"] == {"Code": 0, "Name": "pending"}
    assert instance["PrivateIpAddress"].startswith("127.")
    account.wait_state(instance["InstanceId"], "running")


def test_stop_and_start_keep_the_address(account: Account) -> None:
    instance = account.run()[0]
    instance_id = instance["InstanceId"]
    account.wait_state(instance_id, "running")
    stopping = account.api.stop_instances(InstanceIds=[instance_id])["StoppingInstances"][0]
    assert stopping["PreviousState"]["Name"] == "running"
    assert stopping["CurrentState"] == {"Code": 64, "Name": "stopping"}
    account.wait_state(instance_id, "stopped")
    starting = account.api.start_instances(InstanceIds=[instance_id])["StartingInstances"][0]
    assert starting["CurrentState"] == {"Code": 0, "Name": "pending"}
    account.wait_state(instance_id, "running")
    again = account.api.describe_instances(InstanceIds=[instance_id])["Reservations"][0]
    assert again["Instances"][0]["PrivateIpAddress"] == instance["PrivateIpAddress"]


def test_tags_of_a_launch_reach_instance_and_volumes(account: Account) -> None:
    tags = [{"Key": "cloudjhub:cluster", "Value": "physics"}]
    specifications = [{"ResourceType": kind, "Tags": tags} for kind in ("instance", "volume")]
    instance = account.run(TagSpecifications=specifications)[0]
    by_tag = [{"Name": "tag:cloudjhub:cluster", "Values": ["physics"]}]
    found = account.api.describe_instances(Filters=by_tag)["Reservations"][0]["Instances"]
    assert [i["InstanceId"] for i in found] == [instance["InstanceId"]]
    volumes = account.api.describe_volumes(Filters=by_tag)["Volumes"]
    assert all(
        v["Attachments"][0]["InstanceId"] == instance["InstanceId"] and v["Tags"] == tags
        for v in volumes
    )
    assert 3 in [v["Size"] for v in volumes]


def test_states_can_be_filtered(account: Account) -> None:
    first, second = (account.run()[0]["InstanceId"] for _ in range(2))
    for instance_id in (first, second):
        account.wait_state(instance_id, "running")
    account.api.stop_instances(InstanceIds=[first])
    account.wait_state(first, "stopped")
    stopped = account.api.describe_instances(
        Filters=[
            {"Name": "instance-state-name", "Values": ["stopped"]},
            {"Name": "instance-id", "Values": [first, second]},
        ]
    )["Reservations"]
    assert [i["InstanceId"] for r in stopped for i in r["Instances"]] == [first]


def test_unknown_things_are_refused_by_their_names(account: Account) -> None:
    api = account.api
    unknown = "i-0123456789abcdef0"
    assert code_of(lambda: api.describe_instances(InstanceIds=[unknown])) == (
        "InvalidInstanceID.NotFound",
        400,
    )
    assert code_of(lambda: account.run(SubnetId="subnet-0123456789abcdef0"))[0] == (
        "InvalidSubnetID.NotFound"
    )
    assert code_of(lambda: account.run(SecurityGroupIds=["sg-0123456789abcdef0"]))[0] == (
        "InvalidGroup.NotFound"
    )
    assert code_of(lambda: api.delete_volume(VolumeId="vol-0123456789abcdef0"))[0] == (
        "InvalidVolume.NotFound"
    )


def test_dry_run_changes_nothing(account: Account) -> None:
    assert code_of(lambda: account.run(DryRun=True)) == ("DryRunOperation", 412)
    instance_id = account.run()[0]["InstanceId"]
    account.wait_state(instance_id, "running")
    for call in (account.api.stop_instances, account.api.terminate_instances):
        assert code_of(lambda call=call: call(InstanceIds=[instance_id], DryRun=True))[0] == (
            "DryRunOperation"
        )
    assert account.state(instance_id) == "running"


def test_a_bad_id_among_good_ones_stops_none(account: Account) -> None:
    instance_id = account.run()[0]["InstanceId"]
    account.wait_state(instance_id, "running")
    ids = [instance_id, "i-0123456789abcdef0"]
    assert code_of(lambda: account.api.stop_instances(InstanceIds=ids))[0] == (
        "InvalidInstanceID.NotFound"
    )
    assert account.state(instance_id) == "running"


def test_a_home_volume_outlives_its_machine(account: Account) -> None:
    instance_id = account.run()[0]["InstanceId"]
    account.wait_state(instance_id, "running")
    of_instance = [{"Name": "attachment.instance-id", "Values": [instance_id]}]
    volumes = account.api.describe_volumes(Filters=of_instance)["Volumes"]
    home = next(v["VolumeId"] for v in volumes if v["Size"] == 3)
    account.api.terminate_instances(InstanceIds=[instance_id])
    account.wait_state(instance_id, "terminated")
    left = account.api.describe_volumes(VolumeIds=[home])["Volumes"][0]
    assert (left["State"], left["Attachments"]) == ("available", [])


def test_a_cluster_can_be_inspected(account: Account) -> None:
    subnet = account.api.describe_subnets(SubnetIds=[account.subnet])["Subnets"][0]
    assert subnet["AvailableIpAddressCount"] == 251
    account.run(MinCount=2, MaxCount=2)
    subnet = account.api.describe_subnets(SubnetIds=[account.subnet])["Subnets"][0]
    assert subnet["AvailableIpAddressCount"] == 249
    image = account.api.describe_images(ImageIds=[account.image])["Images"][0]
    assert image["RootDeviceName"] in [m["DeviceName"] for m in image["BlockDeviceMappings"]]
