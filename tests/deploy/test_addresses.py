"""The manager has one Elastic IP, whatever answers get lost and however late EC2 lists it."""

from typing import Any

import pytest
from deploy.launches import ONE_CLUSTER, Killed, Machines, run, what_exists
from deploy.looking import error, findings
from deploy.networks import Account

from cloudjhub.account import addresses
from cloudjhub.account.filters import tag_specification
from cloudjhub.account.quotas import ELASTIC_IPS
from cloudjhub.deploy.findings import errors_among
from cloudjhub.errors import EC2Error
from cloudjhub.naming import MANAGER_ROLE, role_tags

REAL_ALLOCATE = addresses.allocate


def allocated_and_killed(*arguments: Any) -> None:
    REAL_ALLOCATE(*arguments)
    raise Killed


@pytest.mark.slow
def test_one_that_nobody_heard_of_is_given_back(
    account: Account, machines: Machines, monkeypatch: pytest.MonkeyPatch
):
    account.ec2.reset_calls()
    account.ec2.faults.lag(3600)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(addresses, "allocate", allocated_and_killed)
        run(account, "unheard")

    def shown_meanwhile(*arguments: Any) -> addresses.Address:
        """The second is made while the first is not listed; then both are."""
        assert arguments[0] is account.clients.ec2_once
        made = REAL_ALLOCATE(*arguments)
        account.ec2.faults.lag(0)
        return made

    monkeypatch.setattr(addresses, "allocate", shown_meanwhile)
    assert run(account, "unheard") == 0
    assert account.ec2.calls()["ReleaseAddress"]["ok"] == 1
    assert what_exists(account, "unheard") == ONE_CLUSTER


def test_a_lost_answer_is_not_asked_for_again(account: Account):
    account.ec2.reset_calls()
    account.ec2.faults.refuse("AllocateAddress", times=1)
    with pytest.raises(EC2Error):
        addresses.allocate(account.clients.ec2_once, role_tags("once", MANAGER_ROLE))
    assert account.ec2.calls()["AllocateAddress"]["error"] == 1


def test_the_managers_own_is_told_from_one_that_nobody_has(account: Account):
    tags = [tag_specification("elastic-ip", role_tags("class9", MANAGER_ROLE))]
    made = [
        account.api.allocate_address(Domain="vpc", TagSpecifications=tags)["AllocationId"]
        for _ in range(2)
    ]
    used = max(made)
    face = account.api.create_network_interface(SubnetId=account.public)["NetworkInterface"]
    account.api.associate_address(AllocationId=used, NetworkInterfaceId=face["NetworkInterfaceId"])
    found = addresses.of(account.clients.ec2, "class9", MANAGER_ROLE)
    assert [each.id for each in found] == [used, min(made)]


def test_an_account_whose_addresses_are_all_taken(account: Account):
    taken = len(account.api.describe_addresses()["Addresses"])
    try:
        account.ec2.faults.address_quota(taken)
        found = error(account, CLUSTER_NAME="another")
        assert ELASTIC_IPS in found.where and f"all {taken} Elastic IPs" in found.what
        account.ec2.faults.address_quota(taken + 1)
        assert not errors_among(findings(account, CLUSTER_NAME="another"))
    finally:
        account.ec2.faults.address_quota()
