"""Every call of the hub, with the credentials of its role: on what is the cluster's, and not."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
from local.clouds import Cloud, wait_for
from local.identities import make_role, place, role_key

from cloudjhub.ec2 import EC2
from cloudjhub.ec2_values import HOME_DEVICE, tag_list
from cloudjhub.errors import CloudJHubError, NotPermitted
from cloudjhub.launch_spec import LaunchSpec, run_arguments
from cloudjhub.naming import (
    CLUSTER_TAG,
    DISK_ROLE,
    ROLE_TAG,
    USER_TAG,
    WORKER_ROLE,
    key_pair_name,
    role_tags,
)
from cloudjhub.policy import documents

CLUSTER = "class"
ROLE = "cloudjhub-class-manager"


@dataclass
class Account:
    """A cluster's image, group and key pair, beside those of nobody; and its hub's EC2."""

    cloud: Cloud
    hub: EC2
    spec: LaunchSpec

    def machine(self, tags: dict[str, str]) -> str:
        """A running instance with exactly these tags, launched by root."""
        (made,) = self.cloud.launch(TagSpecifications=_tagged("instance", tags))
        self.cloud.wait_state(made, "running")
        return made

    def volume(self, tags: dict[str, str]) -> str:
        made = self.cloud.api.create_volume(
            AvailabilityZone="us-east-1a", Size=1, TagSpecifications=_tagged("volume", tags)
        )["VolumeId"]
        self.cloud.wait_volume(made, "available")
        return made


def _tagged(kind: str, tags: dict[str, str]) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": tag_list(tags)}] if tags else []


@pytest.fixture
def account(api_cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Account:
    where, api = place(CLUSTER), api_cloud.api
    make_role(
        api_cloud,
        ROLE,
        documents.trust(where),
        documents.manager(where, subnets=[api_cloud.config["SUBNET_ID"]]),
    )
    image, group = api_cloud.config["WORKER_AMI"], api_cloud.config["WORKER_SECURITY_GROUPS"][0]
    ours = tag_list(role_tags(CLUSTER, WORKER_ROLE))
    api.create_tags(Resources=[image, group], Tags=ours)
    api.create_key_pair(KeyName=key_pair_name(CLUSTER), KeyType="ed25519")
    key = role_key(api_cloud, "i-0123456789abcdef0", ROLE)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-checked")
    hub = EC2(cluster=CLUSTER, region="us-east-1", endpoint_url=api_cloud.ec2.endpoint_url)
    spec = LaunchSpec(
        cluster=CLUSTER,
        image_id=image,
        instance_type="t3.small",
        subnet_id=api_cloud.config["SUBNET_ID"],
        security_groups=(group,),
        key_name=key_pair_name(CLUSTER),
        root_device="/dev/sda1",
        root_gib=8,
        home_gib=1,
        server_owner="department",
    )
    return Account(api_cloud, hub, spec)


def tags_of(cluster: str, role: str) -> dict[str, str]:
    return {CLUSTER_TAG: cluster, ROLE_TAG: role}


#: the cluster's own; then what must stay out of the hub's reach
FOREIGN: list[dict[str, str]] = [
    {},
    tags_of("other", WORKER_ROLE),
    {ROLE_TAG: WORKER_ROLE},
    tags_of(CLUSTER, "manager"),
]


def test_all_that_the_hub_does_is_allowed_on_its_own(account: Account):
    hub, cloud = account.hub, account.cloud
    assert hub.image(account.spec.image_id).id == account.spec.image_id
    spec = replace(account.spec, hibernates=True)
    first, second = hub.run(run_arguments(spec, count=2, client_token="t1"))
    for machine in (first.id, second.id):
        cloud.wait_state(machine, "running")
    assert {machine.id for machine in hub.instances()} == {first.id, second.id}
    home = cloud.volume_at(first.id, HOME_DEVICE)
    cloud.wait_attached(home)
    assert home in {volume.id for volume in hub.volumes()}
    hub.tag([first.id, home], {USER_TAG: "ann", "Name": "class-ann"})
    hub.untag([first.id], [USER_TAG])
    assert hub.console_output(first.id) is not None
    hub.stop([first.id])
    hub.hibernate([second.id])
    cloud.wait_state(first.id, "stopped")
    cloud.wait_state(second.id, "stopped")
    asleep = {machine.id: machine.hibernated for machine in hub.instances()}
    assert asleep == {first.id: False, second.id: True}
    hub.detach(home, first.id, HOME_DEVICE)
    cloud.wait_volume(home, "available")
    hub.attach(home, first.id, HOME_DEVICE)
    cloud.wait_attached(home)
    hub.start([first.id])
    hub.terminate([first.id, second.id])
    cloud.wait_volume(home, "available")
    hub.delete_volume(home)
    calls = [c for c in cloud.ec2.authorized_calls() if ROLE in c.principal]
    assert all(call.allowed for call in calls)
    # Every call that cloudjhub.ec2 has; a new one belongs into this test.
    assert {call.action for call in calls} == {
        *("DescribeImages", "DescribeInstances", "DescribeVolumes", "GetConsoleOutput"),
        *("RunInstances", "StartInstances", "StopInstances", "TerminateInstances"),
        *("CreateTags", "DeleteTags", "AttachVolume", "DetachVolume", "DeleteVolume"),
    }


@pytest.mark.parametrize("tags", FOREIGN)
def test_nothing_is_allowed_on_what_is_not_its_own(account: Account, tags: dict[str, str]):
    hub, own = account.hub, account.machine(tags_of(CLUSTER, WORKER_ROLE))
    machine, volume = account.machine(tags), account.volume(tags)
    own_volume = account.volume(tags_of(CLUSTER, DISK_ROLE))
    for call in (
        lambda: hub.stop([machine]),
        lambda: hub.hibernate([machine]),
        lambda: hub.stop([own, machine]),
        lambda: hub.start([machine]),
        lambda: hub.terminate([machine]),
        lambda: hub.console_output(machine),
        lambda: hub.tag([machine], {USER_TAG: "ann"}),
        lambda: hub.tag([own, volume], {USER_TAG: "ann"}),
        lambda: hub.untag([machine], [USER_TAG]),
        lambda: hub.attach(volume, own, HOME_DEVICE),
        lambda: hub.attach(own_volume, machine, HOME_DEVICE),
        lambda: hub.detach(volume, own, HOME_DEVICE),
        lambda: hub.delete_volume(volume),
    ):
        with pytest.raises(NotPermitted):
            call()
    assert account.cloud.state(machine) == account.cloud.state(own) == "running"
    assert account.cloud.volume(volume)["State"] == "available"


def test_nothing_is_planted(account: Account):
    """A stranger's machine cannot be made the cluster's, nor the cluster's somebody else's."""
    stranger, own = account.machine({}), account.machine(tags_of(CLUSTER, WORKER_ROLE))
    for machine, tags in (
        (stranger, tags_of(CLUSTER, WORKER_ROLE)),
        (own, {CLUSTER_TAG: "other"}),
        (own, {ROLE_TAG: "manager"}),
        (own, {USER_TAG: "ann", ROLE_TAG: WORKER_ROLE}),
    ):
        with pytest.raises(NotPermitted):
            account.hub.tag([machine], tags)
    for keys in ([CLUSTER_TAG], [USER_TAG, ROLE_TAG], []):
        with pytest.raises(NotPermitted):
            account.hub.untag([own], keys)
    described = account.cloud.instance(own)["Tags"]
    assert {tag["Key"]: tag["Value"] for tag in described} == tags_of(CLUSTER, WORKER_ROLE)


def test_only_users_machines_are_launched(account: Account):
    cloud, plain = account.cloud, run_arguments(account.spec, count=1, client_token="")
    del plain["ClientToken"]
    other = run_arguments(replace(account.spec, cluster="other"), count=1, client_token="x")
    group = cloud.api.create_security_group(
        GroupName="open", Description="d", VpcId=cloud.api.describe_vpcs()["Vpcs"][0]["VpcId"]
    )["GroupId"]
    elsewhere = next(
        subnet["SubnetId"]
        for subnet in cloud.api.describe_subnets()["Subnets"]
        if subnet["SubnetId"] != account.spec.subnet_id
    )
    for changes in (
        {"TagSpecifications": other["TagSpecifications"]},
        {"TagSpecifications": []},
        {"TagSpecifications": plain["TagSpecifications"][:1]},
        {"MetadataOptions": {"HttpTokens": "optional"}},
        {"MetadataOptions": {}},
        {"SecurityGroupIds": [group]},
        {"SecurityGroupIds": []},
        {"KeyName": cloud.config["KEY_NAME"]},
        {"SubnetId": elsewhere},
        {"IamInstanceProfile": {"Name": ROLE}},
    ):
        with pytest.raises(NotPermitted):
            account.hub.run(plain | changes)
    cloud.api.delete_tags(Resources=[account.spec.image_id], Tags=[{"Key": CLUSTER_TAG}])
    with pytest.raises(NotPermitted):
        account.hub.run(plain)
    assert cloud.api.describe_instances()["Reservations"] == []


def test_a_machine_that_is_gone_is_out_of_reach_as_well(account: Account):
    """Its tags are gone with it, so that AWS does not say "not found" to the hub."""
    machine = account.machine(tags_of(CLUSTER, WORKER_ROLE))
    account.hub.terminate([machine])
    wait_for("the end", lambda: account.cloud.state(machine) == "terminated")
    account.hub.terminate([machine])
    with pytest.raises(CloudJHubError):
        account.hub.terminate(["i-00000000000000000"])
