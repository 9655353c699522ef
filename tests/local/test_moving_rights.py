"""A home on its way into another zone, another type, the quota: with the manager's role."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError
from local.clouds import Cloud, wait_for
from local.identities import client, make_role, place, role_key

from cloudjhub import copy_spec
from cloudjhub.account.quotas import STANDARD
from cloudjhub.ec2 import EC2
from cloudjhub.ec2_values import tag_list
from cloudjhub.naming import (
    CLUSTER_TAG,
    DISK_ROLE,
    HOME_MOVE_ROLE,
    HOME_SNAPSHOT_ROLE,
    MANAGER_ROLE,
    MOVING_TAG,
    ROLE_TAG,
    SUPERSEDED_TAG,
    USER_TAG,
    WORKER_ROLE,
)
from cloudjhub.policy import documents

CLUSTER, ROLE = "class", "cloudjhub-class-manager"


def tags_of(cluster: str, role: str) -> dict[str, str]:
    return {CLUSTER_TAG: cluster, ROLE_TAG: role}


def born(kind: str, tags: dict[str, str]) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": tag_list(tags)}] if tags else []


@dataclass
class Account:
    """Root's view of an account, and the hub's clients."""

    cloud: Cloud
    hub: Any
    quotas: Any
    key: str

    def volume(self, tags: dict[str, str]) -> str:
        made = self.cloud.api.create_volume(
            AvailabilityZone="us-east-1a", Size=1, TagSpecifications=born("volume", tags)
        )["VolumeId"]
        self.cloud.wait_volume(made, "available")
        return made

    def snapshot(self, tags: dict[str, str]) -> str:
        volume = self.volume({})
        made = self.cloud.api.create_snapshot(
            VolumeId=volume, TagSpecifications=born("snapshot", tags)
        )["SnapshotId"]
        self.until_complete(made)
        return made

    def until_complete(self, snapshot: str) -> None:
        of_it = {"SnapshotIds": [snapshot]}
        wait_for(
            "the snapshot",
            lambda: (
                self.cloud.api.describe_snapshots(**of_it)["Snapshots"][0]["State"] == "completed"
            ),
        )

    def stopped(self, tags: dict[str, str]) -> str:
        (made,) = self.cloud.launch(TagSpecifications=born("instance", tags))
        self.cloud.wait_state(made, "running")
        self.cloud.api.stop_instances(InstanceIds=[made])
        self.cloud.wait_state(made, "stopped")
        return made

    def type_of(self, machine: str) -> str:
        return self.cloud.instance(machine)["InstanceType"]


@pytest.fixture
def account(api_cloud: Cloud) -> Account:
    where = place(CLUSTER)
    policy = documents.manager(where, subnets=[api_cloud.config["SUBNET_ID"]])
    make_role(api_cloud, ROLE, documents.trust(where), policy)
    key = role_key(api_cloud, "i-0123456789abcdef0", ROLE)
    hub, quotas = (client(api_cloud, name, key) for name in ("ec2", "service-quotas"))
    return Account(api_cloud, hub, quotas, key)


OURS = tags_of(CLUSTER, DISK_ROLE) | {USER_TAG: "ann"}
COPY = tags_of(CLUSTER, HOME_MOVE_ROLE) | {USER_TAG: "ann"}


def test_a_home_of_its_own_moves(account: Account):
    hub, home = account.hub, account.volume(OURS)
    copy = hub.create_snapshot(VolumeId=home, TagSpecifications=born("snapshot", COPY))
    copy = copy["SnapshotId"]
    account.until_complete(copy)
    seen = hub.describe_snapshots(OwnerIds=["self"])["Snapshots"]
    assert copy in {each["SnapshotId"] for each in seen}
    moved = hub.create_volume(
        SnapshotId=copy, AvailabilityZone="us-east-1b", TagSpecifications=born("volume", OURS)
    )["VolumeId"]
    account.cloud.wait_volume(moved, "available")
    hub.create_tags(Resources=[home], Tags=tag_list({SUPERSEDED_TAG: moved}))
    hub.delete_snapshot(SnapshotId=copy)
    hub.delete_volume(VolumeId=home)
    left = account.cloud.api.describe_volumes(VolumeIds=[moved])["Volumes"]
    assert [volume["AvailabilityZone"] for volume in left] == ["us-east-1b"]
    assert hub.describe_subnets()["Subnets"]


def test_the_hubs_own_calls_are_allowed(account: Account, monkeypatch: pytest.MonkeyPatch):
    """As cloudjhub.copy_spec builds them and cloudjhub.ec2 sends them."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", account.key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-checked")
    endpoint, subnet = account.cloud.ec2.endpoint_url, account.cloud.config["SUBNET_ID"]
    hub = EC2(cluster=CLUSTER, region="us-east-1", endpoint_url=endpoint)
    account.volume(OURS | {"cloudjhub:paid-by": "department"})
    (home,) = hub.volumes()
    hub.tag([home.id], {MOVING_TAG: "attempt"})
    made = hub.create_snapshot(copy_spec.snapshot_arguments(CLUSTER, home, "attempt"))
    account.until_complete(made.id)
    (snapshot,) = hub.snapshots()
    moved = hub.create_volume(copy_spec.volume_arguments(home, snapshot, "us-east-1b", "attempt"))
    account.cloud.wait_volume(moved.id, "available")
    hub.tag([home.id], {SUPERSEDED_TAG: f"2026-11-23 {moved.id}"})
    hub.untag([home.id, moved.id], [MOVING_TAG])
    hub.delete_snapshot(snapshot.id)
    assert subnet in hub.zones([subnet])
    hub.modify_type(account.stopped(tags_of(CLUSTER, WORKER_ROLE)), "t3.large")
    calls = [call for call in account.cloud.ec2.authorized_calls() if ROLE in call.principal]
    assert len(calls) >= 10 and all(call.allowed for call in calls)


def refused(call: Callable[[], Any]) -> None:
    with pytest.raises(ClientError) as caught:
        call()
    assert caught.value.response["Error"]["Code"] == "UnauthorizedOperation"


@pytest.mark.parametrize(
    "foreign",
    [
        {},
        tags_of("other", DISK_ROLE),
        tags_of("other", HOME_MOVE_ROLE),
        tags_of(CLUSTER, HOME_SNAPSHOT_ROLE) | {USER_TAG: "ann"},
    ],
)
def test_nothing_else_is_copied_made_or_deleted(account: Account, foreign: dict[str, str]):
    hub, home = account.hub, account.volume(OURS)
    volume, snapshot = account.volume(foreign), account.snapshot(foreign)
    copy = account.snapshot(COPY)
    zone = {"AvailabilityZone": "us-east-1b"}
    ours, copied = born("volume", OURS), born("snapshot", COPY)
    refused(lambda: hub.create_snapshot(VolumeId=volume, TagSpecifications=copied))
    refused(lambda: hub.create_snapshot(VolumeId=home, TagSpecifications=born("snapshot", foreign)))
    refused(lambda: hub.create_volume(SnapshotId=snapshot, TagSpecifications=ours, **zone))
    wrong = born("volume", foreign)
    refused(lambda: hub.create_volume(SnapshotId=copy, TagSpecifications=wrong, **zone))
    refused(lambda: hub.delete_snapshot(SnapshotId=snapshot))
    refused(lambda: hub.create_tags(Resources=[snapshot], Tags=tag_list({USER_TAG: "bob"})))
    refused(lambda: hub.create_tags(Resources=[volume], Tags=tag_list({SUPERSEDED_TAG: home})))
    kept = account.cloud.api.describe_snapshots(OwnerIds=["self"])["Snapshots"]
    assert {snapshot, copy} <= {each["SnapshotId"] for each in kept}
    # What was refused above is allowed on its own.
    hub.delete_snapshot(SnapshotId=copy)


def test_only_the_type_of_its_own_machines_changes(account: Account):
    hub, own = account.hub, account.stopped(tags_of(CLUSTER, WORKER_ROLE))
    strangers = [
        account.stopped(tags)
        for tags in ({}, tags_of("other", WORKER_ROLE), tags_of(CLUSTER, MANAGER_ROLE))
    ]
    hub.modify_instance_attribute(InstanceId=own, InstanceType={"Value": "t3.large"})
    assert account.type_of(own) == "t3.large"
    for machine in strangers:
        was = account.type_of(machine)
        change = {"InstanceId": machine, "InstanceType": {"Value": "t3.large"}}
        refused(lambda change=change: hub.modify_instance_attribute(**change))
        assert account.type_of(machine) == was != "t3.large"
    refused(lambda: hub.modify_instance_attribute(InstanceId=own, UserData={"Value": b"#!/bin/sh"}))
    group = account.cloud.config["WORKER_SECURITY_GROUPS"]
    refused(lambda: hub.modify_instance_attribute(InstanceId=own, Groups=group))
    off = {"Value": False}
    refused(lambda: hub.modify_instance_attribute(InstanceId=own, DisableApiTermination=off))


def test_the_quota_is_read_and_not_raised(account: Account):
    found = account.quotas.get_service_quota(ServiceCode="ec2", QuotaCode=STANDARD)["Quota"]
    assert found["QuotaCode"] == STANDARD
    assert account.hub.describe_instance_types(InstanceTypes=["t3.small"])["InstanceTypes"]
    with pytest.raises(ClientError):
        account.quotas.request_service_quota_increase(
            ServiceCode="ec2", QuotaCode=STANDARD, DesiredValue=1000
        )
