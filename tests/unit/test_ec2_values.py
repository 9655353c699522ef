"""AWS's answers as values, and its error codes as ours."""

from datetime import datetime, timezone

import pytest

from cloudjhub import ec2_errors, errors
from cloudjhub.ec2_values import (
    Instance,
    image_from,
    instance_from,
    tag_list,
    tags_from,
    volume_from,
)

BORN = datetime(2026, 1, 1, tzinfo=timezone.utc)

RAW = {
    "InstanceId": "i-1",
    "State": {"Code": 16, "Name": "running"},
    "InstanceType": "t3.medium",
    "Placement": {"AvailabilityZone": "us-east-1a"},
    "ImageId": "ami-1",
    "PrivateIpAddress": "10.0.0.5",
    "LaunchTime": BORN,
    "Tags": [{"Key": "a", "Value": "1"}],
    "BlockDeviceMappings": [
        {"DeviceName": "/dev/sda1", "Ebs": {"VolumeId": "vol-1"}},
        {"DeviceName": "/dev/sdf", "Ebs": {"VolumeId": "vol-2"}},
        {"DeviceName": "/dev/sdb"},
        {"DeviceName": "/dev/sdc", "Ebs": {}},
    ],
}


def test_an_instance_is_read_whole():
    assert instance_from(RAW) == Instance(
        id="i-1",
        state="running",
        instance_type="t3.medium",
        zone="us-east-1a",
        image_id="ami-1",
        private_ip="10.0.0.5",
        launched_at=BORN,
        tags={"a": "1"},
        volumes={"/dev/sda1": "vol-1", "/dev/sdf": "vol-2"},
    )
    assert instance_from(RAW).home_volume_id == "vol-2"


def test_a_terminated_instance_has_no_address_and_no_disks():
    machine = instance_from({"InstanceId": "i-1", "State": {"Name": "terminated"}})
    assert (machine.private_ip, machine.home_volume_id, machine.tags) == (None, None, {})


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (None, ""),
        ({}, ""),
        ({"Code": "Server.InternalError", "Message": "Oops"}, "Server.InternalError: Oops"),
        (
            {"Code": "Client.UserShutdown", "Message": "Client.UserShutdown: by user"},
            "Client.UserShutdown: by user",
        ),
    ],
)
def test_the_state_reason_is_one_sentence(reason, text):
    assert instance_from({**RAW, "StateReason": reason}).state_reason == text


def test_a_machine_that_can_hibernate_and_does_so_is_told_from_others():
    asleep = {
        **RAW,
        "State": {"Name": "stopped"},
        "StateReason": {
            "Code": "Client.UserInitiatedHibernate",
            "Message": "Client.UserInitiatedHibernate: User initiated hibernate",
        },
        "StateTransitionReason": "User initiated (2026-11-23 18:40:00 GMT)",
        "HibernationOptions": {"Configured": True},
    }
    machine = instance_from(asleep)
    assert (machine.hibernation_configured, machine.hibernated) == (True, True)
    assert machine.stopped_at == datetime(2026, 11, 23, 18, 40, tzinfo=timezone.utc)
    off = {**asleep, "StateReason": {"Code": "Client.UserInitiatedShutdown", "Message": ""}}
    assert not instance_from(off).hibernated
    running = instance_from({**RAW, "StateTransitionReason": ""})
    assert (running.hibernation_configured, running.hibernated) == (False, False)
    assert running.stopped_at is None


def test_tags_are_set_replaced_and_removed_on_a_copy():
    before = Instance("i-1", "running", tags={"a": "1", "b": "2"})
    after = before.with_tags({"a": "9", "b": None, "c": "3", "never": None})
    assert after.tags == {"a": "9", "c": "3"}
    assert before.tags == {"a": "1", "b": "2"}


@pytest.mark.parametrize(
    ("attachments", "holder"),
    [
        ([], None),
        ([{"State": "attached", "InstanceId": "i-1"}], "i-1"),
        ([{"State": "detaching", "InstanceId": "i-1"}], "i-1"),
        ([{"State": "detached", "InstanceId": "i-1"}], None),
        (
            [{"State": "detached", "InstanceId": "i-1"}, {"State": "busy", "InstanceId": "i-2"}],
            "i-2",
        ),
    ],
)
def test_a_volume_names_who_holds_it(attachments, holder):
    raw = {"VolumeId": "vol-1", "State": "in-use", "AvailabilityZone": "z", "Size": 3}
    volume = volume_from({**raw, "Attachments": attachments})
    assert (volume.attached_to, volume.size_gib, volume.created_at) == (holder, 3, None)


def test_an_image_gives_the_size_of_its_root_disk_and_of_no_other():
    raw = {
        "ImageId": "ami-1",
        "State": "available",
        "RootDeviceName": "/dev/xvda",
        "BlockDeviceMappings": [
            {"DeviceName": "/dev/sdb", "VirtualName": "ephemeral0"},
            {"DeviceName": "/dev/sdc", "Ebs": {"VolumeSize": 100}},
            {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 12}},
        ],
    }
    image = image_from(raw)
    assert (image.root_device, image.root_gib) == ("/dev/xvda", 12)


def test_an_image_that_says_nothing_of_its_root_disk_demands_nothing():
    assert image_from({"ImageId": "ami-1"}).root_gib == 0


def test_tags_survive_the_way_there_and_back():
    tags = {"a": "", "b": "x y"}
    assert tags_from({"Tags": tag_list(tags)}) == tags


CODES = [
    ("RequestLimitExceeded", errors.EC2Throttled),
    ("Throttling", errors.EC2Throttled),
    ("InsufficientInstanceCapacity", errors.NoCapacity),
    ("Unsupported", errors.BadLaunch),
    ("InstanceLimitExceeded", errors.QuotaReached),
    ("VcpuLimitExceeded", errors.QuotaReached),
    ("VolumeLimitExceeded", errors.QuotaReached),
    ("InsufficientFreeAddressesInSubnet", errors.NoFreeAddress),
    ("UnauthorizedOperation", errors.PolicyRefuses),
    ("AuthFailure", errors.NotPermitted),
    ("RequestExpired", errors.NotPermitted),
    ("ExpiredToken", errors.NotPermitted),
    ("InvalidInstanceID.NotFound", errors.NotFound),
    ("InvalidInstanceID.Malformed", errors.NotFound),
    ("InvalidVolume.NotFound", errors.NotFound),
    ("IncorrectInstanceState", errors.WrongState),
    ("IncorrectState", errors.WrongState),
    ("VolumeInUse", errors.WrongState),
    ("InvalidVolume.ZoneMismatch", errors.BadLaunch),
    ("InvalidAMIID.NotFound", errors.BadLaunch),
    ("InvalidSubnetID.NotFound", errors.BadLaunch),
    ("InvalidGroup.NotFound", errors.BadLaunch),
    ("InvalidKeyPair.NotFound", errors.BadLaunch),
    ("InvalidParameterValue", errors.BadLaunch),
    ("SomethingNew", errors.EC2Error),
    ("", errors.EC2Error),
]


@pytest.mark.parametrize(("code", "kind"), CODES)
def test_each_code_has_its_error_with_what_the_log_needs(code, kind):
    error = ec2_errors.from_code("RunInstances", code, "EC2's own words", "req-1")
    assert type(error) is kind
    assert (error.action, error.code, error.request_id) == ("RunInstances", code, "req-1")
    assert "RunInstances" in str(error) and "req-1" in str(error)
    assert error.message.endswith((".", "words"))
    assert error.advice.startswith(error.message) and len(error.advice) > len(error.message)


def test_a_wrong_launch_says_which_key_and_what_ec2_said():
    error = ec2_errors.from_code("RunInstances", "InvalidSubnetID.NotFound", "No subnet-9", "r")
    assert "SUBNET_ID" in error.message and "No subnet-9" in error.message


def test_no_answer_is_its_own_error():
    error = ec2_errors.unreachable("DescribeInstances")
    assert type(error) is errors.EC2Unreachable
    assert (error.code, error.request_id) == ("", "")
    assert "no answer" in str(error)


@pytest.mark.parametrize(
    "code", ["UnsupportedHibernationConfiguration", "UnsupportedOperation", "InvalidParameterValue"]
)
def test_what_ec2_says_of_hibernation_is_told_from_other_refusals_whatever_its_code(code):
    said = "The instance can't be hibernated because it was not configured for it: i-1"
    error = ec2_errors.from_code("StopInstances", code, said, "r-1")
    assert isinstance(error, errors.CannotHibernate)
    assert (error.code, said in error.message) == (code, True)
    other = ec2_errors.from_code("StopInstances", "UnsupportedOperation", "Not so.", "r-1")
    assert not isinstance(other, errors.CannotHibernate)
