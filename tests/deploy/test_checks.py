"""Each wrong input gives its sentence, and nothing is made. The EC2 is local, its machines none."""

import dataclasses

import pytest
from deploy.looking import READS, error, findings
from deploy.networks import Account

from cloudjhub.account.images import MachineImage
from cloudjhub.account.quotas import STANDARD, quota_code
from cloudjhub.deploy import launch
from cloudjhub.deploy.checks import everything, image
from cloudjhub.deploy.checks.world import World
from cloudjhub.deploy.findings import errors_among
from cloudjhub.naming import role_tags
from cloudjhub.policy.statements import Place


def test_a_good_account_has_only_notes(account: Account):
    found = findings(account)
    assert not errors_among(found)
    assert {finding.where.split()[0] for finding in found} >= {"HTTPS", "USERLIST"}


# -- AMIs, types, disks


def test_an_ami_that_is_not_there(account: Account):
    found = error(account, BASE_AMI="ami-0123456789abcdef0")
    assert found.where == "BASE_AMI ami-0123456789abcdef0"
    assert "does not exist in us-east-1" in found.what


def test_a_worker_ami_of_ones_own_that_is_not_there(account: Account):
    found = error(account, CUSTOM_WORKER_AMI="ami-0123456789abcdef0")
    assert found.where == "CUSTOM_WORKER_AMI ami-0123456789abcdef0"


def test_an_ami_of_another_architecture(account: Account):
    found = error(account, WORKER_INSTANCE_TYPE="t4g.medium")
    assert "x86_64" in found.what and "arm64" in found.what
    assert "WORKER_INSTANCE_TYPE t4g.medium" in found.where


def test_an_ami_that_is_not_ready(account: Account):
    known = account.ec2.engine.backend.amis[account.config["WORKER_AMI"]]
    known.state = "pending"
    try:
        assert error(account).what == "is pending."
    finally:
        known.state = "available"


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"ena": False}, "ENA"),
        ({"virtualization": "paravirtual"}, "paravirtual"),
    ],
)
def test_an_ami_that_the_type_cannot_boot(account: Account, change: dict[str, object], what: str):
    settings = account.settings()
    world = World(settings, account.clients)
    assert world.base_image
    world.base_image = dataclasses.replace(world.base_image, **change)
    world.types = {
        name: dataclasses.replace(kind, needs_ena=True) for name, kind in world.types.items()
    }
    assert what in errors_among(image.check(world))[0].what


def test_a_type_that_does_not_exist(account: Account):
    found = error(account, MANAGER_INSTANCE_TYPE="t3.mediumm")
    assert found.where == "MANAGER_INSTANCE_TYPE t3.mediumm"


def test_a_type_that_the_zone_does_not_offer(account: Account):
    offers = World(account.settings(), account.clients).offers
    assert "us-east-1e" not in offers["t3.medium"]
    subnet = account.api.create_subnet(
        VpcId=account.vpc, CidrBlock=_free_block(account), AvailabilityZone="us-east-1e"
    )["Subnet"]["SubnetId"]
    account.route(subnet, NatGatewayId=account.nat)
    try:
        found = error(account, PRIVATE_SUBNET_ID=subnet)
    finally:
        account.forget_subnet(subnet)
    assert found.where == "WORKER_INSTANCE_TYPE t3.medium"
    assert "us-east-1e" in found.what and "us-east-1a" in found.remedy


@pytest.mark.parametrize("key", ["WORKER_EBS_SIZE", "MANAGER_EBS_SIZE"])
def test_a_disk_smaller_than_the_ami(account: Account, key: str):
    found = error(account, **{key: "7"})
    assert found.where == f"{key} 7"
    assert "8 GiB" in found.what and found.remedy == f"Say --{key.lower()} 8, or more."


# -- network


def test_subnets_that_do_not_exist(account: Account):
    unknown = "subnet-0123456789abcdef0"
    assert error(account, PRIVATE_SUBNET_ID=unknown).where == f"PRIVATE_SUBNET_ID {unknown}"
    assert error(account, PUBLIC_SUBNET_ID=unknown).where == f"PUBLIC_SUBNET_ID {unknown}"


def test_another_vpc_than_the_subnets(account: Account):
    found = error(account, VPC_ID="vpc-0123456789abcdef0")
    assert found.where == "VPC_ID vpc-0123456789abcdef0" and account.vpc in found.what


def test_the_right_vpc_is_fine(account: Account):
    assert not errors_among(findings(account, VPC_ID=account.vpc))


def test_subnets_in_two_vpcs(account: Account):
    other = account.api.create_vpc(CidrBlock="10.200.0.0/16")["Vpc"]["VpcId"]
    place = {"CidrBlock": "10.200.0.0/24", "AvailabilityZone": "us-east-1a"}
    made = account.api.create_subnet(VpcId=other, **place)["Subnet"]
    subnet = made["SubnetId"]
    found = errors_among(findings(account, PRIVATE_SUBNET_ID=subnet))
    assert "different VPCs" in found[0].what


def test_swapped_subnets(account: Account):
    found = errors_among(
        findings(account, PRIVATE_SUBNET_ID=account.public, PUBLIC_SUBNET_ID=account.private)
    )
    assert [each.where.split()[0] for each in found] == ["PUBLIC_SUBNET_ID", "PRIVATE_SUBNET_ID"]
    assert "not to an internet gateway" in found[0].what
    assert "it is a public subnet" in found[1].what


def test_one_subnet_for_both(account: Account):
    found = errors_among(findings(account, PUBLIC_SUBNET_ID=account.private))
    assert found[0].what == "is the private subnet too."


def test_a_private_subnet_without_a_way_out(account: Account):
    subnet = account.another_subnet()
    assert "no route to 0.0.0.0/0" in error(account, PRIVATE_SUBNET_ID=subnet).what


def test_a_nat_gateway_that_is_gone(account: Account):
    subnet = account.another_subnet()
    address = account.api.allocate_address(Domain="vpc")["AllocationId"]
    made = account.api.create_nat_gateway(SubnetId=account.public, AllocationId=address)
    gateway = made["NatGateway"]["NatGatewayId"]
    account.route(subnet, NatGatewayId=gateway)
    account.api.delete_nat_gateway(NatGatewayId=gateway)
    found = error(account, PRIVATE_SUBNET_ID=subnet)
    assert gateway in found.what and "deleted" in found.what


def test_a_subnet_too_small_for_the_class(account: Account):
    subnet = account.another_subnet(prefix=28)
    account.route(subnet, NatGatewayId=account.nat)
    found = error(account, PRIVATE_SUBNET_ID=subnet, CLASS_SIZE="12")
    assert "11 free addresses; the class needs 12" in found.what
    assert not errors_among(findings(account, PRIVATE_SUBNET_ID=subnet, CLASS_SIZE="11"))


@pytest.mark.parametrize(
    ("owner", "partition", "notes"),
    [
        ("136693071363", "aws", 0),
        ("123456789012", "aws", 0),
        ("210987654321", "aws", 1),
        ("210987654321", "aws-cn", 0),
    ],
)
def test_an_ami_that_only_has_a_distributions_name(owner: str, partition: str, notes: int):
    named = MachineImage(
        "ami-1",
        "debian-12-amd64-1",
        "available",
        "x86_64",
        "hvm",
        True,
        "/dev/xvda",
        8,
        owner_id=owner,
    )
    place = Place("class1", "123456789012", "eu-west-1", partition)
    found = image._check_owner(named, place)
    assert [each.level for each in found] == ["note"] * notes
    assert all("136693071363" in each.remedy for each in found)


# -- quotas, names, permissions


def test_a_class_beyond_the_quota(account: Account):
    found = error(account, CLASS_SIZE="3000")
    assert STANDARD in found.where and "the class has 3000" in found.what


def test_a_quota_that_nobody_can_read_is_a_note(account: Account):
    (found,) = [
        each
        for each in findings(account, WORKER_INSTANCE_TYPE="mac1.metal")
        if each.where.startswith("quota")
    ]
    assert found.level == "note" and "cannot be read" in found.what


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("t3.medium", STANDARD),
        ("m7i.large", STANDARD),
        ("c6gn.large", STANDARD),
        ("im4gn.large", STANDARD),
        ("g5.xlarge", "L-DB2E81BA"),
        ("p4d.24xlarge", "L-417A185B"),
        ("inf2.xlarge", "L-1945791B"),
        ("u-6tb1.56xlarge", "L-43DA4232"),
        ("mac2.metal", ""),
    ],
)
def test_types_count_against_their_own_quota(name: str, code: str):
    assert quota_code(name) == code


def test_a_group_of_somebody_else_with_our_name(account: Account):
    made = account.api.create_security_group(
        GroupName="cloudjhub-class1-manager", Description="theirs", VpcId=account.vpc
    )["GroupId"]
    try:
        found = error(account)
    finally:
        account.api.delete_security_group(GroupId=made)
    assert found.where == "CLUSTER_NAME"
    assert found.what == "cloudjhub-class1-manager exists and is not of this cluster."


def test_a_launch_that_was_broken_off_elsewhere(account: Account):
    other = account.api.create_vpc(CidrBlock="10.201.0.0/16")["Vpc"]["VpcId"]
    tags = [{"Key": key, "Value": value} for key, value in role_tags("class1", "worker").items()]
    made = account.api.create_security_group(
        GroupName="cloudjhub-class1-worker",
        Description="ours",
        VpcId=other,
        TagSpecifications=[{"ResourceType": "security-group", "Tags": tags}],
    )["GroupId"]
    try:
        found = error(account)
    finally:
        account.api.delete_security_group(GroupId=made)
    assert other in found.what and "teardown" in found.remedy


def test_a_cluster_that_is_complete_is_refused(account: Account):
    tags = role_tags("class1", "manager") | {"cloudjhub:launched": "2026-09-01T08:00:00+00:00"}
    made = account.api.run_instances(
        ImageId=account.config["WORKER_AMI"],
        InstanceType="t3.medium",
        MinCount=1,
        MaxCount=1,
        SubnetId=account.public,
        TagSpecifications=[
            {
                "ResourceType": "instance",
                "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
            }
        ],
    )["Instances"][0]["InstanceId"]
    try:
        found = error(account)
    finally:
        account.api.terminate_instances(InstanceIds=[made])
    assert made in found.what and "2026-09-01" in found.what
    assert "upgrade" in found.remedy and "teardown" in found.remedy
    assert "--domain D --email E" in found.remedy and "--ssh_from CIDR" in found.remedy


def test_an_instance_profile_that_does_not_exist(account: Account):
    found = error(account, MANAGER_IAM_ROLE="arn:aws:iam::123456789012:instance-profile/hubs")
    assert found.where == "MANAGER_IAM_ROLE hubs"


def test_a_profile_without_a_role(account: Account):
    account.client("iam").create_instance_profile(InstanceProfileName="empty")
    assert "no role" in error(account, MANAGER_IAM_ROLE="empty").what


def test_a_role_that_allows_too_little(account: Account):
    name = account.role_with({"Effect": "Allow", "Action": "ec2:Describe*", "Resource": "*"})
    found = error(account, MANAGER_IAM_ROLE=name)
    assert "RunInstances" in found.what and "CreateTags" in found.what
    assert "DescribeInstances" not in found.what


def test_a_role_that_allows_enough(account: Account):
    name = account.role_with({"Effect": "Allow", "Action": "ec2:*", "Resource": "*"})
    assert not errors_among(findings(account, MANAGER_IAM_ROLE=name))


# -- the command


def test_wrong_credentials_are_the_only_finding(account: Account):
    found = findings(account, EC2_ENDPOINT_URL="http://127.0.0.1:9")
    assert [each.level for each in found] == ["error"]
    assert "cannot be reached" in found[0].what


def test_the_command_prints_all_findings_and_ends_with_2(
    account: Account, capsys: pytest.CaptureFixture[str]
):
    changes = {"BASE_AMI": "ami-0123456789abcdef0", "KEY_NAME": "mine", "CLASS_SIZE": "5000"}
    assert launch.main(account.arguments(**changes)) == 2
    said = capsys.readouterr().err
    assert said.count("error: ") == 4
    assert said.endswith("Nothing was created or changed.\n")


def test_check_alone_says_what_was_checked(account: Account, capsys: pytest.CaptureFixture[str]):
    assert launch.main([*account.arguments(), "--check"]) == 0
    said = capsys.readouterr().out
    assert all(check.title in said for check in everything.CHECKS)


def test_a_dry_run_names_everything_and_its_price(
    account: Account, capsys: pytest.CaptureFixture[str]
):
    account.ec2.reset_calls()
    assert launch.main([*account.arguments(), "--dry-run"]) == 0
    said = capsys.readouterr().out
    for name in ("manager", "manager2", "worker", "builder", "worker-image"):
        assert f"cloudjhub-class1-{name} " in said
    assert "t3.medium" in said and "$0.0416" in said
    assert not any(
        count["ok"] for action, count in account.ec2.calls().items() if not action.startswith(READS)
    )


def _free_block(account: Account) -> str:
    (vpc,) = account.api.describe_vpcs(VpcIds=[account.vpc])["Vpcs"]
    first, second = vpc["CidrBlock"].split(".")[:2]
    return f"{first}.{second}.240.0/24"
