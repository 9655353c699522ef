"""What the checks and the plan say of several types and subnets, the pool, limits and quotas."""

import json
from collections.abc import Iterator

import pytest
from deploy.looking import READS, error, findings
from deploy.networks import REGION, Account

from cloudjhub.account.quotas import STANDARD
from cloudjhub.deploy import launch
from cloudjhub.deploy.findings import Finding, errors_among


@pytest.fixture(scope="module")
def second(account: Account) -> Iterator[str]:
    """Another private subnet, in another zone."""
    yield subnet_in(account, f"{REGION}b", 241)


def subnet_in(account: Account, zone: str, number: int, prefix: int = 24) -> str:
    (vpc,) = account.api.describe_vpcs(VpcIds=[account.vpc])["Vpcs"]
    first, second = vpc["CidrBlock"].split(".")[:2]
    made = account.api.create_subnet(
        VpcId=account.vpc, CidrBlock=f"{first}.{second}.{number}.0/{prefix}", AvailabilityZone=zone
    )["Subnet"]["SubnetId"]
    account.route(made, NatGatewayId=account.nat)
    return made


def both(account: Account, second: str) -> str:
    return f"{account.private},{second}"


def notes(account: Account, key: str, **changes: str) -> list[Finding]:
    """Notes about one setting; no error beside them."""
    found = findings(account, **changes)
    assert not errors_among(found)
    return [each for each in found if each.where.startswith(key)]


def test_several_subnets_and_types_are_fine(account: Account, second: str):
    several = {
        "PRIVATE_SUBNET_ID": both(account, second),
        "WORKER_INSTANCE_TYPE": "t3.medium,t3a.medium",
    }
    for key in several:
        assert notes(account, key, **several) == []


# -- subnets


def test_every_private_subnet_must_exist_and_lead_out(account: Account, second: str):
    unknown = "subnet-0123456789abcdef0"
    found = error(account, PRIVATE_SUBNET_ID=both(account, unknown))
    assert found.where == f"PRIVATE_SUBNET_ID {unknown}"
    lost = account.another_subnet()
    found = error(account, PRIVATE_SUBNET_ID=both(account, lost))
    assert found.where == f"PRIVATE_SUBNET_ID {lost}" and "no route to 0.0.0.0/0" in found.what
    public = errors_among(findings(account, PRIVATE_SUBNET_ID=both(account, account.public)))
    assert "is the private subnet too." in {each.what for each in public}


def test_subnets_of_one_zone_add_no_capacity(account: Account):
    beside = subnet_in(account, f"{REGION}a", 242)
    (found,) = notes(account, "PRIVATE_SUBNET_ID", PRIVATE_SUBNET_ID=both(account, beside))
    assert found.where.endswith(f"in {REGION}a") and "no capacity" in found.what


def test_addresses_are_counted_over_all_subnets(account: Account):
    small = [subnet_in(account, f"{REGION}{zone}", 243 + at, 28) for at, zone in enumerate("ab")]
    subnets = ",".join(small)
    assert notes(account, "PRIVATE_SUBNET_ID", PRIVATE_SUBNET_ID=subnets, CLASS_SIZE="22") == []
    found = error(account, PRIVATE_SUBNET_ID=subnets, CLASS_SIZE="23")
    assert "22 free addresses; the class needs 23" in found.what and "or one more" in found.remedy
    (found,) = notes(account, "PRIVATE_SUBNET_ID", PRIVATE_SUBNET_ID=subnets, MAX_MACHINES="23")
    assert "MAX_MACHINES is 23" in found.what


# -- types


def test_another_type_must_exist_and_fit_the_ami(account: Account):
    found = error(account, WORKER_INSTANCE_TYPE="t3.medium,t3.mediumm")
    assert found.where == "WORKER_INSTANCE_TYPE t3.mediumm"
    found = error(account, WORKER_INSTANCE_TYPE="t3.medium,t4g.medium")
    assert "arm64" in found.what and "t4g.medium" in found.where


def test_a_type_that_only_some_zones_offer_is_a_note(account: Account):
    elsewhere = subnet_in(account, f"{REGION}e", 246)
    (found,) = notes(account, "WORKER_INSTANCE_TYPE", PRIVATE_SUBNET_ID=both(account, elsewhere))
    assert f"not on offer in {REGION}e" in found.what and elsewhere in found.what
    # The first type in the first subnet is what users get: that one is an error.
    turned = f"{elsewhere},{account.private}"
    assert f"{REGION}e" in error(account, PRIVATE_SUBNET_ID=turned).what


# -- class, pool and limits

CLASS = json.dumps({"always": 2, "mon,wed 08:50-10:00 Europe/Berlin": 25})


@pytest.mark.parametrize(
    ("changes", "where", "what"),
    [
        ({"POOL": CLASS, "POOL_MAX": "20"}, "POOL_MAX 20", "POOL asks for 25 machines"),
        ({"POOL": CLASS, "MAX_MACHINES": "24"}, "MAX_MACHINES 24", "up to 25 machines running"),
    ],
)
def test_what_contradicts_each_other(
    account: Account, changes: dict[str, str], where: str, what: str
):
    found = error(account, **changes)
    assert found.where == where and what in found.what


def test_spares_that_are_stopped_do_not_count_as_running(account: Account):
    stopped = {"POOL": CLASS, "MAX_MACHINES": "24", "POOL_STATE": "stopped"}
    assert notes(account, "MAX_MACHINES", **stopped) == []


@pytest.mark.parametrize(("when_full", "happens"), [("queue", "wait"), ("refuse", "are refused")])
def test_a_class_beyond_the_limit_is_told_what_happens(
    account: Account, when_full: str, happens: str
):
    changes = {"CLASS_SIZE": "40", "MAX_MACHINES": "30", "WHEN_FULL": when_full}
    (found,) = notes(account, "MAX_MACHINES", **changes)
    assert "class of 40, the last 10" in found.what and happens in found.what


def test_homes_need_a_second_zone_to_move_to(account: Account, second: str):
    (found,) = notes(account, "MOVE_HOMES", MOVE_HOMES="always")
    assert "no second zone" in found.what
    several = {"MOVE_HOMES": "always", "PRIVATE_SUBNET_ID": both(account, second)}
    assert notes(account, "MOVE_HOMES", **several) == []


# -- quotas


@pytest.fixture
def quota(account: Account) -> Iterator[None]:
    """64 vCPUs: the manager and 31 machines of two."""
    account.ec2.engine.capacity.vcpu_quota = 64
    yield
    account.ec2.engine.capacity.vcpu_quota = None


@pytest.mark.parametrize(
    ("changes", "level", "what", "missing"),
    [
        ({"CLASS_SIZE": "32"}, "error", "the class has 32", 2),
        ({"CLASS_SIZE": "20", "POOL": "15"}, "note", "class and pool together take 35", 8),
        ({"MAX_MACHINES": "40"}, "note", "MAX_MACHINES allows 40", 18),
        # The limit keeps the class from growing beyond the quota.
        ({"CLASS_SIZE": "50", "MAX_MACHINES": "32"}, "error", "the class has 50", 2),
    ],
)
@pytest.mark.usefixtures("quota")
def test_the_quota_is_compared_with_class_pool_and_limit(
    account: Account, changes: dict[str, str], level: str, what: str, missing: int
):
    (found,) = [each for each in findings(account, **changes) if "quota" in each.where]
    assert found.level == level and STANDARD in found.where
    assert "room for 31 users' machines" in found.what and what in found.what
    assert f"{missing} vCPUs are missing." in found.remedy
    assert f"Service Quotas console of {REGION}" in found.remedy and STANDARD in found.remedy


@pytest.mark.parametrize(
    "changes",
    [
        {"CLASS_SIZE": "31"},
        {"CLASS_SIZE": "16", "POOL": "15"},
        {"CLASS_SIZE": "20", "POOL": "15", "POOL_STATE": "stopped"},
        {"MAX_MACHINES": "31"},
    ],
)
@pytest.mark.usefixtures("quota")
def test_what_fits_the_quota_is_not_mentioned(account: Account, changes: dict[str, str]):
    assert notes(account, "quota", **changes) == []


@pytest.mark.usefixtures("quota")
def test_other_types_count_against_their_own_quota(account: Account):
    (found,) = notes(
        account, "quota", WORKER_INSTANCE_TYPE="t3.medium,g4dn.xlarge", CLASS_SIZE="31"
    )
    assert found.where == "quota L-DB2E81BA for g4dn.xlarge"
    assert "0 vCPUs leave room for 0" in found.what


# -- the key of disks


def test_a_default_key_of_ones_own_is_named(account: Account):
    assert notes(account, "default key of EBS") == []
    key = f"arn:aws:kms:{REGION}:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    account.api.modify_ebs_default_kms_key_id(KmsKeyId=key)
    try:
        (found,) = notes(account, "default key of EBS")
    finally:
        account.api.modify_ebs_default_kms_key_id(KmsKeyId="alias/aws/ebs")
    assert key in found.what and "cloudjhub-class1-manager" in found.remedy


# -- the plan


def planned(account: Account, capsys: pytest.CaptureFixture[str], **changes: str) -> str:
    account.ec2.reset_calls()
    assert launch.main([*account.arguments(**changes), "--dry-run"]) == 0
    calls = account.ec2.calls().items()
    assert not any(count["ok"] for action, count in calls if not action.startswith(READS))
    return capsys.readouterr().out


def test_a_plan_names_types_zones_and_the_most_it_costs(
    account: Account, second: str, capsys: pytest.CaptureFixture[str]
):
    several = {
        "PRIVATE_SUBNET_ID": both(account, second),
        "WORKER_INSTANCE_TYPE": "t3.medium,m5.large",
        "MAX_MACHINES": "100",
    }
    said = planned(account, capsys, **several)
    assert "Users' machines: t3.medium, else m5.large; " in said
    assert f"{account.private} in {REGION}a, else {second} in {REGION}b." in said
    # 100 of the dearer type, and the manager's t3.medium.
    assert "for machines that run: $9.64, with 100 of these types" in said


def test_a_plan_says_what_a_pool_costs(account: Account, capsys: pytest.CaptureFixture[str]):
    plain = planned(account, capsys)
    assert "The pool" not in plain and "MAX_MACHINES is 0" in plain
    said = planned(account, capsys, POOL="10")
    # 730 hours of ten t3.medium, and 12 GiB of disk for each.
    assert "10.0 machines on average, 10 at most, running): $313.28 a month." in said
    said = planned(account, capsys, POOL="10", POOL_STATE="stopped")
    assert "stopped): $9.60 a month for their disks." in said
    half = json.dumps({"* 00:00-12:00 UTC": 10})
    assert "5.0 machines on average, 10 at most" in planned(account, capsys, POOL=half)
