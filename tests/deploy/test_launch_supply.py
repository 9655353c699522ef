"""What a launch with several types and subnets, a pool and a limit writes for its hub."""

import json

import pytest
from deploy.launches import ONE_CLUSTER, Machines, run, what_exists
from deploy.networks import REGION, Account
from deploy.test_check_class import subnet_in

pytestmark = pytest.mark.slow

POOL = {"always": 1, "mon,wed 08:50-10:00 Europe/Berlin": 25}


def test_the_hub_gets_them_and_its_role_every_subnet(
    account: Account, machines: Machines, capsys: pytest.CaptureFixture[str]
):
    subnets = [account.private, subnet_in(account, f"{REGION}b", 247)]
    said = {
        "PRIVATE_SUBNET_ID": ",".join(subnets),
        "WORKER_INSTANCE_TYPE": "t3.medium,t3a.medium",
        "POOL": json.dumps(POOL),
        "MAX_MACHINES": "40",
        "WHEN_FULL": "refuse",
        "MOVE_HOMES": "always",
        "KEEP_HOURS": "3",
        "MAX_AGE_HOURS": "48",
        "SWEEP": "remove",
    }
    assert run(account, "large", **said) == 0
    assert what_exists(account, "large") == ONE_CLUSTER
    assert machines.config["SUBNET_ID"] == subnets
    assert machines.config["WORKER_INSTANCE_TYPE"] == ["t3.medium", "t3a.medium"]
    assert machines.config["POOL"] == POOL
    keys = ("MAX_MACHINES", "WHEN_FULL", "MOVE_HOMES", "POOL_STATE")
    assert [machines.config[key] for key in keys] == [40, "refuse", "always", "running"]
    idle = ("IDLE_ACTION", "KEEP_HOURS", "MAX_AGE_HOURS", "SWEEP")
    assert [machines.config[key] for key in idle] == ["stop", 3, 48, "remove"]
    name = "cloudjhub-large-manager"
    iam = account.client("iam")
    policy = iam.get_role_policy(RoleName=name, PolicyName=name)["PolicyDocument"]
    (sources,) = [each for each in policy["Statement"] if each["Sid"] == "LaunchFrom"]
    launched_in = {arn.rpartition("/")[2] for arn in sources["Resource"] if ":subnet/" in arn}
    assert launched_in == set(subnets)
    words = capsys.readouterr().out
    assert "The pool (" in words and "with 40 of these types (MAX_MACHINES)" in words
