"""A check of a cluster that runs: its own machines are part of the class, not in its way."""

from collections.abc import Iterator

import pytest
from deploy.looking import error, findings
from deploy.made_clusters import tags_of
from deploy.networks import REGION, Account
from deploy.test_check_class import subnet_in

from cloudjhub.deploy.findings import errors_among
from cloudjhub.naming import role_tags


def machines(account: Account, subnet: str, cluster: str, count: int) -> list[str]:
    """Machines of two vCPUs, as a hub runs them."""
    made = account.api.run_instances(
        ImageId=account.config["WORKER_AMI"],
        InstanceType="t3.medium",
        MinCount=count,
        MaxCount=count,
        SubnetId=subnet,
        TagSpecifications=tags_of("instance", role_tags(cluster, "worker")),
    )
    return [each["InstanceId"] for each in made["Instances"]]


@pytest.fixture
def small(account: Account) -> Iterator[tuple[str, list[str]]]:
    """A subnet of 11 addresses and a quota of 64 vCPUs, with four machines in both."""
    subnet = subnet_in(account, f"{REGION}a", 230, 28)
    account.ec2.engine.capacity.vcpu_quota = 64
    made = machines(account, subnet, "class1", 3) + machines(account, subnet, "class2", 1)
    yield subnet, made
    account.ec2.engine.capacity.vcpu_quota = None
    account.api.terminate_instances(InstanceIds=made)


@pytest.mark.slow
def test_machines_of_the_cluster_take_no_room_from_its_class(
    account: Account, small: tuple[str, list[str]]
):
    subnet, _ = small
    # Of 11 addresses and 64 vCPUs the other cluster has one and two; the manager takes two.
    assert not errors_among(findings(account, PRIVATE_SUBNET_ID=subnet, CLASS_SIZE="10"))
    found = error(account, PRIVATE_SUBNET_ID=subnet, CLASS_SIZE="11")
    assert "7 free addresses beside 3 of this cluster's machines" in found.what
    assert not errors_among(findings(account, CLASS_SIZE="30"))
    found = error(account, CLASS_SIZE="31")
    assert "room for 30 users' machines" in found.what and "2 vCPUs are missing" in found.remedy
    other = error(account, CLUSTER_NAME="class3", CLASS_SIZE="30")
    assert "room for 27 users' machines" in other.what
