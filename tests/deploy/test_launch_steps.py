"""What a launch makes, and how it goes over what is there. The EC2 is local.

Its machines are none, so what is done on them over SSH is left out here; tests/machines has it.
"""

import re
from pathlib import Path

import pytest
from deploy.launches import ONE_CLUSTER, Killed, Machines, run, what_exists
from deploy.networks import Account
from local import identities

from cloudjhub.account import groups
from cloudjhub.account.clients import Clients
from cloudjhub.account.machines import Request, run_arguments
from cloudjhub.deploy import launch
from cloudjhub.deploy.provision.shell import ProvisionError
from cloudjhub.deploy.steps import (
    role,
    runs,
    security_groups,
    worker_image,
)
from cloudjhub.errors import EC2Error
from cloudjhub.policy import documents

pytestmark = pytest.mark.slow

MADE = (
    "AllocateAddress",
    "CreateImage",
    "CreateInstanceProfile",
    "CreateRole",
    "CreateSecurityGroup",
    "ImportKeyPair",
    "RunInstances",
)


def test_a_launch_makes_one_cluster(
    account: Account, machines: Machines, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    packages = tmp_path / "class.txt"
    packages.write_text("numpy\n")
    account.ec2.reset_calls()
    said_too = {"SIGNUP_WORD": "heron", "WORKER_REQUIREMENTS": str(packages)}
    assert run(account, "plain", SERVER_OWNER="Physics", **said_too) == 0
    assert machines.noted == "numpy\n"  # on the manager, for the next AMI
    assert what_exists(account, "plain") == ONE_CLUSTER
    said = capsys.readouterr().out
    address = account.api.describe_addresses(
        Filters=[{"Name": "tag:cloudjhub:cluster", "Values": ["plain"]}]
    )["Addresses"][0]
    assert f"https://{address['PublicIp']}/" in said and "once" in said
    assert "sign up with the word of the class: heron\n" in said
    assert "scripts/teardown.py plain" in said and "$0.0416" in said
    done = re.findall("^done: (.*) \\(", said, re.MULTILINE)
    assert done == [step.name for step in launch.STEPS]


def test_the_operators_policy_is_enough(
    account: Account, machines: Machines, monkeypatch: pytest.MonkeyPatch
):
    policy = documents.operator(identities.place("least"))
    key = identities.user_with(account, policy)  # type: ignore[arg-type]
    monkeypatch.setattr(launch, "Clients", Clients)
    machines.failure = ProvisionError("No package server answers.")
    assert run(account, "least", AWS_ACCESS_KEY_ID=key) == 1
    machines.failure = None
    assert run(account, "least", AWS_ACCESS_KEY_ID=key) == 0
    assert what_exists(account, "least") == ONE_CLUSTER


def test_a_role_that_may_not_be_passed_is_found_before_an_ami_is_made(
    account: Account,
    machines: Machines,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    # The operator's policy allows to pass the role that the launch makes, and no other.
    policy = documents.operator(identities.place("pass"))
    own = account.role_with({"Effect": "Allow", "Action": "ec2:*", "Resource": "*"})
    key = identities.user_with(account, policy)  # type: ignore[arg-type]
    monkeypatch.setattr(launch, "Clients", Clients)
    monkeypatch.setattr(role, "_MAY_SECONDS", 1)
    assert run(account, "pass", AWS_ACCESS_KEY_ID=key, MANAGER_IAM_ROLE=own) == 1
    assert "iam:PassRole on the profile's role" in capsys.readouterr().err
    assert not machines.set_up and "builder" not in what_exists(account, "pass")


def test_no_secret_is_printed_or_logged(
    account: Account, machines: Machines, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    secrets = {
        "AWS_SECRET_KEY": "s3cret-key",
        "DB_URL": "postgresql://hub:s3cret-word@db.example.edu/hub",
        "GITHUB_CLIENT_SECRET": "s3cret-app",
    }
    machines.failure = ProvisionError("No package server answers.")
    assert run(account, "secrets", **secrets) == 1
    machines.failure = None
    assert run(account, "secrets", **secrets) == 0
    seen = capsys.readouterr()
    log = (tmp_path / "launch-secrets.log").read_text()
    assert "s3cret" not in seen.out + seen.err + log
    assert "done: worker AMI" in log and "once" not in log


def test_groups_are_described_in_signs_that_ec2_takes():
    # https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateSecurityGroup.html
    taken = re.compile(r"[a-zA-Z0-9 ._\-:/()#,@\[\]+=&;{}!$*]{1,255}")
    assert all(taken.fullmatch(text) for text in security_groups._DESCRIPTIONS.values())


def test_the_manager_is_closed_encrypted_and_asks_for_tokens(account: Account, machines: Machines):
    assert run(account, "closed") == 0
    filters = [
        {"Name": "tag:cloudjhub:cluster", "Values": ["closed"]},
        {"Name": "tag:cloudjhub:role", "Values": ["manager"]},
    ]
    found = account.api.describe_instances(Filters=filters)["Reservations"][0]["Instances"][0]
    assert found["MetadataOptions"]["HttpTokens"] == "required"
    assert found["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
    assert found["IamInstanceProfile"]["Arn"].endswith("/cloudjhub-closed-manager")
    assert {each["GroupName"] for each in found["SecurityGroups"]} == {
        "cloudjhub-closed-manager",
        "cloudjhub-closed-manager2",
    }
    (disk,) = account.api.describe_volumes(
        Filters=[{"Name": "attachment.instance-id", "Values": [found["InstanceId"]]}]
    )["Volumes"]
    assert disk["Encrypted"] and disk["VolumeType"] == "gp3" and disk["Size"] == 16
    assert {"Key": "cloudjhub:role", "Value": "manager-disk"} in disk["Tags"]


def test_the_rules_let_in_nobody_else(account: Account, machines: Machines):
    assert run(account, "rules", SSH_FROM="198.51.100.0/24") == 0
    found = groups.of(account.clients.ec2, "rules")
    ids = {role: group.id for role, group in found.items()}
    assert found["manager2"].rules == frozenset()
    assert found["worker"].rules == {
        groups.Rule(22, ids["manager2"]),
        groups.Rule(8888, ids["manager2"]),
    }
    assert found["manager"].rules == {
        groups.Rule(80, "0.0.0.0/0"),
        groups.Rule(443, "0.0.0.0/0"),
        groups.Rule(22, "198.51.100.0/24"),
        groups.Rule(8081, ids["worker"]),
    }


def test_server_config_is_one_that_a_hub_takes(account: Account, machines: Machines):
    from cloudjhub.config import ClusterConfig

    assert run(account, "config") == 0
    key_file = account.config["WORKER_KEY_FILE"]
    config = ClusterConfig.model_validate({**machines.config, "WORKER_KEY_FILE": key_file})
    assert (config.cluster_name, config.key_name) == ("config", "cloudjhub-config-worker")
    assert config.subnet_id == account.private


def test_a_second_launch_is_refused_and_changes_nothing(account: Account, machines: Machines):
    assert run(account, "again") == 0
    account.ec2.reset_calls()
    assert run(account, "again") == 2
    assert not {action for action, count in account.ec2.calls().items() if count["ok"]} & {*MADE}


def test_rules_that_were_changed_by_hand_are_mended(
    account: Account, machines: Machines, capsys: pytest.CaptureFixture[str]
):
    machines.failure = ProvisionError("No package server answers.")
    assert run(account, "mend") == 1
    found = groups.of(account.clients.ec2, "mend")["manager"]
    groups.refuse(account.clients.ec2, found.id, [groups.Rule(443, "0.0.0.0/0")])
    groups.admit(account.clients.ec2, found.id, [groups.Rule(22, "0.0.0.0/0")])
    everything = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "203.0.113.0/24"}]}
    account.api.authorize_security_group_ingress(GroupId=found.id, IpPermissions=[everything])
    machines.failure = None
    assert run(account, "mend") == 0
    mended = groups.of(account.clients.ec2, "mend")["manager"]
    assert mended.rules == found.rules
    assert mended.others == ("all traffic from 203.0.113.0/24",)
    said = capsys.readouterr().out
    assert "takes from manager: 22/tcp from 0.0.0.0/0" in said
    assert "manager also admits all traffic from 203.0.113.0/24" in said


@pytest.mark.parametrize(
    ("cluster", "failure", "said"),
    [
        ("failed", ProvisionError("No package server answers."), "No package server answers."),
        ("stopped", KeyboardInterrupt(), "interrupted."),
    ],
)
def test_after_a_failure_no_builder_runs_and_it_says_how_to_go_on(
    account: Account,
    machines: Machines,
    capsys: pytest.CaptureFixture[str],
    cluster: str,
    failure: BaseException,
    said: str,
):
    machines.failure = failure
    assert run(account, cluster) == (130 if isinstance(failure, KeyboardInterrupt) else 1)
    error = capsys.readouterr().err
    assert said in error and f"Undo: scripts/teardown.py {cluster}" in error
    assert f"security group cloudjhub-{cluster}-manager" in error and "Elastic IP" in error
    assert "builder" not in what_exists(account, cluster)
    machines.failure = None
    assert run(account, cluster) == 0
    assert what_exists(account, cluster) == ONE_CLUSTER


def test_a_worker_ami_of_ones_own_is_looked_at_and_used_as_it_is(
    account: Account, machines: Machines
):
    assert run(account, "custom", CUSTOM_WORKER_AMI=account.config["WORKER_AMI"]) == 0
    assert what_exists(account, "custom") == ONE_CLUSTER | {"images": 0}
    assert machines.config["WORKER_AMI"] == account.config["WORKER_AMI"]
    assert not machines.set_up["worker"]


def test_a_profile_of_ones_own_is_used(account: Account, machines: Machines):
    name = account.role_with({"Effect": "Allow", "Action": "ec2:*", "Resource": "*"})
    assert run(account, "profile", MANAGER_IAM_ROLE=name) == 0
    assert what_exists(account, "profile")["IAM roles"] == 0


def test_a_builder_that_was_left_half_cleaned_is_replaced(
    account: Account, machines: Machines, monkeypatch: pytest.MonkeyPatch
):
    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(worker_image.provision, "clean_for_imaging", killed)
        run(account, "cleaning")
    assert what_exists(account, "cleaning")["builder"] == 1
    assert run(account, "cleaning") == 0
    assert machines.set_up["worker"] == 2
    assert what_exists(account, "cleaning") == ONE_CLUSTER


# -- details


def test_a_machine_is_told_from_the_one_before_it(account: Account, machines: Machines):
    """A token whose machine is gone is not used again."""
    machines.failure = ProvisionError("No package server answers.")
    for _ in range(3):
        assert run(account, "thrice") == 1
    machines.failure = None
    assert run(account, "thrice") == 0
    assert what_exists(account, "thrice") == ONE_CLUSTER


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        (
            "InvalidParameterValue",
            "Value (x) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance "
            "Profile name",
            True,
        ),
        ("NoSuchEntity", "Instance profile x not found", True),
        ("InvalidParameterValue", "Value (x) for parameter groupId is invalid", False),
        ("InsufficientInstanceCapacity", "no instanceprofile", False),
    ],
)
def test_a_profile_that_ec2_does_not_know_yet(code: str, message: str, expected: bool):
    assert runs._is_unknown_profile(EC2Error(message, action="", code=code)) is expected


def test_a_request_says_all_that_makes_a_machine_safe():
    request = Request(
        image_id="ami-1",
        instance_type="t3.medium",
        subnet_id="subnet-1",
        group_ids=("sg-1",),
        key_name="mine",
        root_device="/dev/xvda",
        root_gib=9,
        tags={"a": "b"},
        disk_tags={"c": "d"},
    )
    asked = run_arguments(request, "token")
    assert asked["MetadataOptions"] == {"HttpTokens": "required", "HttpPutResponseHopLimit": 1}
    (disk,) = asked["BlockDeviceMappings"]
    assert disk["DeviceName"] == "/dev/xvda" and disk["Ebs"]["Encrypted"]
    assert "IamInstanceProfile" not in asked
    kinds = [each["ResourceType"] for each in asked["TagSpecifications"]]
    assert {"instance", "volume"} <= {*kinds}
