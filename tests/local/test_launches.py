"""RunInstances: once per token, as many as there is room for, and nothing wrong let through."""

from collections.abc import Callable
from typing import Any

import pytest
from local.clouds import INSTANT, Cloud, code_of

from cloudjhub.local import LocalSettings

ZONE = "us-east-1a"
HOME = {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 3, "DeleteOnTermination": False}}


def test_the_same_token_is_the_same_launch(api_cloud: Cloud) -> None:
    first = api_cloud.launch(2, ClientToken="morning")
    assert api_cloud.launch(2, ClientToken="morning") == first
    assert len(api_cloud.api.describe_instances()["Reservations"]) == 1
    assert code_of(lambda: api_cloud.launch(3, ClientToken="morning")) == (
        "IdempotentParameterMismatch",
        400,
    )
    api_cloud.api.terminate_instances(InstanceIds=first)
    for instance_id in first:
        api_cloud.wait_state(instance_id, "terminated")
    assert code_of(lambda: api_cloud.launch(2, ClientToken="morning"))[0] == (
        "IdempotentInstanceTerminated"
    )


def test_a_token_belongs_to_its_zone(api_cloud: Cloud) -> None:
    api = api_cloud.api
    subnets = api.describe_subnets()["Subnets"]
    launched = {
        api_cloud.launch(SubnetId=subnet["SubnetId"], ClientToken="morning")[0]
        for subnet in subnets
    }
    assert len(launched) == len(subnets) == 2


def test_as_many_as_there_are_machines(api_cloud: Cloud) -> None:
    api_cloud.ec2.faults.capacity("t3.small", ZONE, 3)
    refused = code_of(lambda: api_cloud.run(MinCount=4, MaxCount=4))
    assert refused == ("InsufficientInstanceCapacity", 500)
    assert api_cloud.api.describe_instances()["Reservations"] == []
    assert len(api_cloud.launch(MinCount=2, MaxCount=10)) == 3
    assert code_of(api_cloud.launch)[0] == "InsufficientInstanceCapacity"
    assert len(api_cloud.launch(InstanceType="t3.large")) == 1


def test_no_machine_left_for_a_stopped_instance(api_cloud: Cloud) -> None:
    first, second = api_cloud.launch(2)
    for instance_id in (first, second):
        api_cloud.wait_state(instance_id, "running")
    api_cloud.api.stop_instances(InstanceIds=[first, second])
    for instance_id in (first, second):
        api_cloud.wait_state(instance_id, "stopped")
    api_cloud.ec2.faults.capacity("t3.small", ZONE, 1)
    start = api_cloud.api.start_instances
    assert code_of(lambda: start(InstanceIds=[first, second])) == (
        "InsufficientInstanceCapacity",
        500,
    )
    assert api_cloud.state(first) == "stopped"
    start(InstanceIds=[first])
    api_cloud.ec2.faults.capacity("t3.small", ZONE, None)
    start(InstanceIds=[second])


def test_the_account_s_quota(make_cloud: Callable[..., Cloud]) -> None:
    settings = LocalSettings(**vars(INSTANT) | {"variant": "standin", "vcpu_quota": 5})
    cloud = make_cloud(settings)
    assert code_of(lambda: cloud.launch(3)) == ("VcpuLimitExceeded", 400)
    launched = cloud.launch(MinCount=1, MaxCount=3)
    assert len(launched) == 2
    assert code_of(cloud.launch)[0] == "VcpuLimitExceeded"
    cloud.ec2.faults.vcpu_quota(None)
    cloud.launch()


def test_a_full_subnet(api_cloud: Cloud) -> None:
    api = api_cloud.api
    vpc = api.create_vpc(CidrBlock="127.80.0.0/16")["Vpc"]["VpcId"]
    subnet = api.create_subnet(VpcId=vpc, CidrBlock="127.80.0.0/28", AvailabilityZone=ZONE)
    small = {"SubnetId": subnet["Subnet"]["SubnetId"], "SecurityGroupIds": None}
    assert code_of(lambda: api_cloud.launch(12, **small)) == (
        "InsufficientFreeAddressesInSubnet",
        400,
    )
    launched = api_cloud.launch(MinCount=1, MaxCount=20, **small)
    assert len(launched) == 11
    assert code_of(lambda: api_cloud.launch(**small))[0] == "InsufficientFreeAddressesInSubnet"
    api.terminate_instances(InstanceIds=launched[:1])
    api_cloud.wait_state(launched[0], "terminated")
    api_cloud.launch(**small)


def asleep(instance_type: str, root_gib: int) -> dict[str, Any]:
    """What a launch says for machines that can hibernate."""
    root = {"VolumeSize": root_gib, "Encrypted": True}
    return {
        "InstanceType": instance_type,
        "HibernationOptions": {"Configured": True},
        "BlockDeviceMappings": [{"DeviceName": "/dev/sda1", "Ebs": root}],
    }


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"ImageId": "ami-0123456789abcdef0"}, "InvalidAMIID.NotFound"),
        ({"ImageId": "worker"}, "InvalidAMIID.Malformed"),
        ({"InstanceType": "t3.enormous"}, "InvalidParameterValue"),
        ({"KeyName": "nobody's"}, "InvalidKeyPair.NotFound"),
        ({"SubnetId": None}, "VPCIdNotSpecified"),
        ({"MinCount": 3, "MaxCount": 2}, "InvalidParameterCombination"),
        ({"SecurityGroupIds": ["sg-0123456789abcdef0"]}, "InvalidGroup.NotFound"),
        (
            {"BlockDeviceMappings": [{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 5}}]},
            "InvalidBlockDeviceMapping",
        ),
        (
            {
                "TagSpecifications": [
                    {"ResourceType": "instance", "Tags": [{"Key": "aws:mine", "Value": ""}]}
                ]
            },
            "InvalidParameterValue",
        ),
        ({"HibernationOptions": {"Configured": True}}, "UnsupportedHibernationConfiguration"),
        (asleep("g4dn.xlarge", 100), "UnsupportedHibernationConfiguration"),  # cannot
        (asleep("r5.8xlarge", 400), "UnsupportedHibernationConfiguration"),  # 256 GiB of memory
        (asleep("t3.xlarge", 15), "UnsupportedHibernationConfiguration"),  # 16 GiB of memory
    ],
)
def test_wrong_launches(idle_cloud: Cloud, change: dict[str, Any], code: str) -> None:
    assert code_of(lambda: idle_cloud.run(**change)) == (code, 400)
    assert idle_cloud.api.describe_instances()["Reservations"] == []
    assert idle_cloud.api.describe_volumes()["Volumes"] == []


def test_a_subnet_this_computer_has_no_addresses_of(cloud: Cloud) -> None:
    vpc = cloud.api.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = cloud.api.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    assert code_of(lambda: cloud.run(SubnetId=subnet, SecurityGroupIds=None))[0] == "Unsupported"


def test_disks_of_a_launch(api_cloud: Cloud) -> None:
    tags = [{"Key": "cloudjhub:role", "Value": "home"}]
    instance_id = api_cloud.launch(
        BlockDeviceMappings=[HOME],
        TagSpecifications=[{"ResourceType": "volume", "Tags": tags}],
    )[0]
    api_cloud.wait_state(instance_id, "running")
    mappings = api_cloud.instance(instance_id)["BlockDeviceMappings"]
    assert {m["DeviceName"]: m["Ebs"]["DeleteOnTermination"] for m in mappings} == {
        "/dev/sda1": True,
        "/dev/sdf": False,
    }
    root = api_cloud.volume(api_cloud.volume_at(instance_id, "/dev/sda1"))
    home = api_cloud.volume(api_cloud.volume_at(instance_id, "/dev/sdf"))
    assert (root["Size"], home["Size"], home["Tags"]) == (8, 3, tags)
    assert home["Attachments"][0] | {"AttachTime": None} == {
        "AttachTime": None,
        "DeleteOnTermination": False,
        "Device": "/dev/sdf",
        "InstanceId": instance_id,
        "State": "attached",
        "VolumeId": home["VolumeId"],
    }
    api_cloud.api.terminate_instances(InstanceIds=[instance_id])
    api_cloud.wait_state(instance_id, "terminated")
    left = api_cloud.api.describe_volumes()["Volumes"]
    assert [(v["VolumeId"], v["State"]) for v in left] == [(home["VolumeId"], "available")]


def test_an_address_is_given_again_and_not_twice(api_cloud: Cloud) -> None:
    first = api_cloud.launch()[0]
    address = api_cloud.instance(first)["PrivateIpAddress"]
    api_cloud.api.terminate_instances(InstanceIds=[first])
    api_cloud.wait_state(first, "terminated")
    launched = api_cloud.run(5)["Instances"]
    addresses = [i["PrivateIpAddress"] for i in launched]
    assert address in addresses
    assert len(set(addresses)) == 5


def test_the_image_has_a_root_device(api_cloud: Cloud) -> None:
    image = api_cloud.api.describe_images(ImageIds=[api_cloud.config["WORKER_AMI"]])["Images"][0]
    assert (image["Name"], image["RootDeviceName"], image["State"]) == (
        "cloudjhub-local-worker",
        "/dev/sda1",
        "available",
    )
    assert image["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"] == 8
