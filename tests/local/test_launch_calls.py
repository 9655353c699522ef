"""What a launch and its removal ask of AWS beside machines: groups, key pairs, IAM, quotas."""

import json
from typing import Any

import pytest
from local.clouds import Cloud, code_of
from local.identities import client, make_role, place

from cloudjhub.ec2_values import tag_list
from cloudjhub.naming import role_tags
from cloudjhub.policy import documents

TAGS = role_tags("class", "manager")
OURS = [{"Name": "tag:cloudjhub:cluster", "Values": ["class"]}]


def tagged(*kinds: str) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": tag_list(TAGS)} for kind in kinds]


def group(cloud: Cloud, name: str) -> str:
    vpc = cloud.api.describe_vpcs()["Vpcs"][0]["VpcId"]
    made = cloud.api.create_security_group(
        GroupName=name, Description="d", VpcId=vpc, TagSpecifications=tagged("security-group")
    )
    return made["GroupId"]


def rule(source: str) -> list[dict[str, Any]]:
    ports = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22}
    return [{**ports, "UserIdGroupPairs": [{"GroupId": source}]}]


def test_a_group_is_deleted_when_no_machine_and_no_rule_needs_it(api_cloud: Cloud):
    api, one, other = api_cloud.api, group(api_cloud, "one"), group(api_cloud, "other")
    found = api.describe_security_groups(Filters=OURS)["SecurityGroups"]
    assert {each["GroupId"] for each in found} == {one, other}
    api.authorize_security_group_ingress(GroupId=one, IpPermissions=rule(other))
    api.authorize_security_group_ingress(GroupId=one, IpPermissions=rule(one))
    (machine,) = api_cloud.launch(SecurityGroupIds=[one])
    for each in (one, other):
        code = code_of(lambda each=each: api.delete_security_group(GroupId=each))
        assert code == ("DependencyViolation", 400)
    api.revoke_security_group_ingress(GroupId=one, IpPermissions=rule(other))
    api.delete_security_group(GroupId=other)
    api_cloud.wait_state(machine, "running")
    api.stop_instances(InstanceIds=[machine])
    api_cloud.wait_state(machine, "stopped")
    assert code_of(lambda: api.delete_security_group(GroupId=one))[0] == "DependencyViolation"
    api.terminate_instances(InstanceIds=[machine])
    api_cloud.wait_state(machine, "terminated")
    # A rule of its own keeps no group alive.
    api.delete_security_group(GroupId=one)
    for call in (
        lambda: api.delete_security_group(GroupId=one),
        lambda: api.describe_security_groups(GroupIds=[one]),
    ):
        assert code_of(call) == ("InvalidGroup.NotFound", 400)


@pytest.mark.parametrize(
    ("name", "description"), [("hub", "the hub's"), ("hüb", "d"), ("sg-1", "d"), ("x" * 256, "d")]
)
def test_groups_are_named_in_signs_that_ec2_takes(idle_cloud: Cloud, name: str, description: str):
    vpc = idle_cloud.api.describe_vpcs()["Vpcs"][0]["VpcId"]
    names = {"GroupName": name, "Description": description, "VpcId": vpc}
    refused = code_of(lambda: idle_cloud.api.create_security_group(**names))
    assert refused == ("InvalidParameterValue", 400)


def test_the_default_group_stays(idle_cloud: Cloud):
    groups = idle_cloud.api.describe_security_groups()["SecurityGroups"]
    default = next(each["GroupId"] for each in groups if each["GroupName"] == "default")
    code = code_of(lambda: idle_cloud.api.delete_security_group(GroupId=default))
    assert code == ("CannotDelete", 400)


def test_key_pairs_have_tags_names_and_ids(api_cloud: Cloud):
    api = api_cloud.api
    made = api.create_key_pair(KeyName="a", KeyType="ed25519")
    public = api.describe_key_pairs(KeyPairIds=[made["KeyPairId"]], IncludePublicKey=True)
    (shown,) = public["KeyPairs"]
    assert shown["KeyName"] == "a"
    api.import_key_pair(
        KeyName="b",
        PublicKeyMaterial=shown["PublicKey"].encode(),
        TagSpecifications=tagged("key-pair"),
    )
    assert [p["KeyName"] for p in api.describe_key_pairs(Filters=OURS)["KeyPairs"]] == ["b"]
    api.delete_key_pair(KeyPairId=made["KeyPairId"])
    api.delete_key_pair(KeyName="b")
    api.delete_key_pair(KeyName="b")
    left = [p["KeyName"] for p in api.describe_key_pairs()["KeyPairs"]]
    assert left == [api_cloud.config["KEY_NAME"]]
    for call in (
        lambda: api.describe_key_pairs(KeyNames=["b"]),
        lambda: api.describe_key_pairs(KeyPairIds=[made["KeyPairId"]]),
        lambda: api.delete_key_pair(KeyPairId=made["KeyPairId"]),
    ):
        assert code_of(call) == ("InvalidKeyPair.NotFound", 400)


def test_network_interfaces_are_tagged_at_birth(api_cloud: Cloud):
    for named in ({}, {"SubnetId": None, "SecurityGroupIds": None}):
        nic = {"DeviceIndex": 0, "SubnetId": api_cloud.config["SUBNET_ID"]}
        more = {"NetworkInterfaces": [nic]} if named else {}
        (machine,) = api_cloud.launch(
            TagSpecifications=tagged("instance", "network-interface"), **named, **more
        )
        found = api_cloud.api.describe_network_interfaces(Filters=OURS)["NetworkInterfaces"]
        owners = {each["Attachment"]["InstanceId"] for each in found}
        assert machine in owners


def make_hub_role(cloud: Cloud) -> None:
    where = place("class")
    make_role(cloud, "hub", documents.trust(where), documents.manager(where))


def test_a_profile_goes_with_every_machine_of_a_launch(api_cloud: Cloud):
    make_hub_role(api_cloud)
    machines = api_cloud.launch(2, IamInstanceProfile={"Name": "hub"})
    profile = client(api_cloud, "iam").get_instance_profile(InstanceProfileName="hub")
    expected = {
        "Arn": profile["InstanceProfile"]["Arn"],
        "Id": profile["InstanceProfile"]["InstanceProfileId"],
    }
    assert [api_cloud.instance(m)["IamInstanceProfile"] for m in machines] == [expected] * 2
    (plain,) = api_cloud.launch()
    assert "IamInstanceProfile" not in api_cloud.instance(plain)


def test_a_profile_can_come_later_and_go(api_cloud: Cloud):
    make_hub_role(api_cloud)
    api, (machine,) = api_cloud.api, api_cloud.launch()
    give = {"InstanceId": machine, "IamInstanceProfile": {"Name": "hub"}}
    made = api.associate_iam_instance_profile(**give)["IamInstanceProfileAssociation"]
    assert code_of(lambda: api.associate_iam_instance_profile(**give))[0] == "IncorrectState"
    assert api_cloud.instance(machine)["IamInstanceProfile"]["Arn"].endswith("/hub")
    api.disassociate_iam_instance_profile(AssociationId=made["AssociationId"])
    assert "IamInstanceProfile" not in api_cloud.instance(machine)


def test_a_profile_that_ec2_does_not_know_yet(api_cloud: Cloud):
    nowhere = code_of(lambda: api_cloud.launch(IamInstanceProfile={"Name": "nowhere"}))
    assert nowhere == ("InvalidParameterValue", 400)
    api_cloud.ec2.faults.profile_lag(3600)
    make_hub_role(api_cloud)
    early = code_of(lambda: api_cloud.launch(IamInstanceProfile={"Name": "hub"}))
    assert early == ("InvalidParameterValue", 400)
    api_cloud.ec2.faults.clear()
    assert api_cloud.launch(IamInstanceProfile={"Name": "hub"})


def test_a_role_is_removed_from_the_outside_in(idle_cloud: Cloud):
    make_hub_role(idle_cloud)
    iam, role, profile = (
        client(idle_cloud, "iam"),
        {"RoleName": "hub"},
        {"InstanceProfileName": "hub"},
    )
    for call in (
        lambda: iam.delete_role(**role),
        lambda: iam.delete_instance_profile(**profile),
    ):
        assert code_of(call) == ("DeleteConflict", 409)
    iam.remove_role_from_instance_profile(**profile, **role)
    iam.delete_instance_profile(**profile)
    assert code_of(lambda: iam.delete_role(**role)) == ("DeleteConflict", 409)
    iam.delete_role_policy(**role, PolicyName="hub")
    iam.delete_role(**role)
    assert code_of(lambda: iam.get_role(**role)) == ("NoSuchEntity", 404)


@pytest.mark.parametrize(("limit", "what"), [(10_240, "role"), (6_144, "policy"), (2_048, "user")])
def test_policies_have_a_size(idle_cloud: Cloud, limit: int, what: str):
    iam, name = client(idle_cloud, "iam"), f"sized-{what}"
    arns = [f"arn:aws:s3:::bucket-{number:05}" for number in range(limit // 20)]
    statement = {"Effect": "Allow", "Action": "s3:*", "Resource": arns}
    text = json.dumps({"Version": "2012-10-17", "Statement": [statement]}, indent=4)
    assert len("".join(text.split())) > limit
    if what == "role":
        trust = json.dumps(documents.trust(place("class")))
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)
    if what == "user":
        iam.create_user(UserName=name)
    calls = {
        "role": lambda t: iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=t),
        "user": lambda t: iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=t),
        "policy": lambda t: iam.create_policy(PolicyName=name, PolicyDocument=t),
    }
    assert code_of(lambda: calls[what](text)) == ("LimitExceeded", 409)
    # White space does not count.
    statement["Resource"] = arns[: limit // 40]
    small = json.dumps({"Version": "2012-10-17", "Statement": [statement]}, indent=40)
    assert len(small) > limit
    calls[what](small)


def test_the_quota_of_vcpus(api_cloud: Cloud):
    quotas = client(api_cloud, "service-quotas")
    standard = {"ServiceCode": "ec2", "QuotaCode": "L-1216C47A"}
    assert quotas.get_service_quota(**standard)["Quota"]["Value"] > 1000
    api_cloud.ec2.faults.vcpu_quota(6)
    assert quotas.get_service_quota(**standard)["Quota"]["Value"] == 6
    assert quotas.get_aws_default_service_quota(**standard)["Quota"]["Value"] == 5
    other = code_of(lambda: quotas.get_service_quota(ServiceCode="ec2", QuotaCode="L-NONE"))
    assert other[0] == "NoSuchResourceException"


def test_types_say_what_a_check_needs(idle_cloud: Cloud):
    named = [{"Name": "instance-type", "Values": ["t3.small", "t4g.small"]}]
    types = idle_cloud.api.describe_instance_types(Filters=named)["InstanceTypes"]
    facts = {
        each["InstanceType"]: (
            each["VCpuInfo"]["DefaultVCpus"],
            each["MemoryInfo"]["SizeInMiB"],
            each["ProcessorInfo"]["SupportedArchitectures"],
        )
        for each in types
    }
    assert facts == {"t3.small": (2, 2048, ["x86_64"]), "t4g.small": (2, 2048, ["arm64"])}
    zone = [{"Name": "location", "Values": ["us-east-1a"]}, *named]
    offered = idle_cloud.api.describe_instance_type_offerings(
        LocationType="availability-zone", Filters=zone
    )["InstanceTypeOfferings"]
    assert {each["InstanceType"] for each in offered} == {"t3.small", "t4g.small"}
