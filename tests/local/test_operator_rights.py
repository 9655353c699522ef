"""Every call of the operator's commands, with the operator's policy: on one cluster, no further."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from local.clouds import Cloud, wait_for
from local.identities import client, make_role, place, user_with

from cloudjhub.account import (
    access,
    addresses,
    groups,
    images,
    keys,
    machines,
    network,
    quotas,
    types,
)
from cloudjhub.account.clients import Clients
from cloudjhub.account.listing import Listing
from cloudjhub.account.removal import Removal
from cloudjhub.aws import Access
from cloudjhub.ec2_values import tag_list
from cloudjhub.errors import NotPermitted
from cloudjhub.naming import (
    BUILDER_DISK_ROLE,
    BUILDER_ROLE,
    CLUSTER_TAG,
    MANAGER_DISK_ROLE,
    MANAGER_ROLE,
    WORKER_IMAGE_ROLE,
    WORKER_KEY_ROLE,
    WORKER_ROLE,
    key_pair_name,
    resource_name,
    role_tags,
)
from cloudjhub.policy import documents

CLUSTER = "class"
HUB = resource_name(CLUSTER, MANAGER_ROLE)


@dataclass
class Account:
    """What an operator of one cluster has, beside root's view of it."""

    cloud: Cloud
    clients: Clients
    principal: str
    vpc: str

    def actions(self) -> set[str]:
        """All that the operator asked; none of it was refused."""
        calls = [c for c in self.cloud.ec2.authorized_calls() if c.principal == self.principal]
        refused = [(c.action, c.resources) for c in calls if not c.allowed]
        assert not refused
        return {call.action for call in calls}

    def request(self, *, role: str = BUILDER_ROLE, disk: str = BUILDER_DISK_ROLE, **more: Any):
        values = {
            "image_id": self.cloud.config["WORKER_AMI"],
            "instance_type": "t3.small",
            "subnet_id": self.cloud.config["SUBNET_ID"],
            "group_ids": (),
            "key_name": self.cloud.config["KEY_NAME"],
            "root_device": "/dev/sda1",
            "root_gib": 8,
            "tags": role_tags(CLUSTER, role),
            "disk_tags": role_tags(CLUSTER, disk),
        }
        return machines.Request(**values | more)

    def group(self, name: str, cluster: str = CLUSTER) -> str:
        """A group that root made."""
        kind = {"ResourceType": "security-group", "Tags": tag_list(role_tags(cluster, name))}
        return self.cloud.api.create_security_group(
            GroupName=name, Description="d", VpcId=self.vpc, TagSpecifications=[kind]
        )["GroupId"]


@pytest.fixture
def account(api_cloud: Cloud) -> Account:
    key = user_with(api_cloud, documents.operator(place(CLUSTER)))
    clients = Clients(Access("us-east-1", api_cloud.ec2.endpoint_url, key, "not-checked"))
    arn = client(api_cloud, "sts", key).get_caller_identity()["Arn"]
    vpc = api_cloud.api.describe_vpcs()["Vpcs"][0]["VpcId"]
    return Account(api_cloud, clients, arn, vpc)


def test_looking_around_is_allowed(account: Account):
    clients, cloud = account.clients, account.cloud
    access.identity(clients.sts)
    (subnet,) = network.subnets(clients.ec2, [cloud.config["SUBNET_ID"]]).values()
    network.default_route(clients.ec2, subnet)
    network.nat_state(clients.ec2, "nat-0123456789abcdef0")
    assert images.image(clients.ec2, cloud.config["WORKER_AMI"])
    types.instance_types(clients.ec2, ["t3.small"])
    types.zones_offering(clients.ec2, ["t3.small"])
    assert quotas.quota(clients.quotas, quotas.STANDARD)
    clients.quotas.ask("get_aws_default_service_quota", ServiceCode="ec2", QuotaCode="L-1216C47A")
    assert keys.named(clients.ec2, cloud.config["KEY_NAME"])
    assert machines.running_types(clients.ec2) == []
    listing = Listing(CLUSTER, clients.ec2, clients.iam)
    listing.everything()
    assert account.actions() == {
        *("GetCallerIdentity", "GetServiceQuota", "GetAWSDefaultServiceQuota"),
        *("GetInstanceProfile", "GetRole", "DescribeSubnets", "DescribeRouteTables"),
        *("DescribeNatGateways", "DescribeImages", "DescribeInstanceTypes", "DescribeVolumes"),
        *("DescribeInstanceTypeOfferings", "DescribeInstances", "DescribeSnapshots"),
        *("DescribeKeyPairs", "DescribeAddresses", "DescribeSecurityGroups"),
    }


@pytest.mark.slow
def test_a_cluster_is_made_and_removed(account: Account):
    make_cluster(account)
    remove_cluster(account)
    assert account.actions() >= {
        *("CreateSecurityGroup", "AuthorizeSecurityGroupIngress", "RevokeSecurityGroupIngress"),
        *("RunInstances", "StartInstances", "StopInstances", "TerminateInstances", "CreateTags"),
        *("GetConsoleOutput", "CreateImage", "DeregisterImage", "AllocateAddress"),
        *("AssociateAddress", "DisassociateAddress", "ReleaseAddress", "ImportKeyPair"),
        *("DeleteKeyPair", "DeleteSecurityGroup", "DeleteSnapshot", "DeleteVolume"),
        *("CreateSnapshot", "CreateRole", "PutRolePolicy", "CreateInstanceProfile"),
        *("AddRoleToInstanceProfile", "RemoveRoleFromInstanceProfile", "DeleteInstanceProfile"),
        *("DeleteRolePolicy", "DeleteRole", "DescribeNetworkInterfaces"),
    }
    left = Listing(CLUSTER, account.clients.ec2, account.clients.iam).everything()
    assert left.machines == left.groups == left.roles == left.images == left.snapshots == ()


def make_cluster(account: Account) -> None:
    """As a launch does it, step by step."""
    clients, cloud, ec2 = account.clients, account.cloud, account.clients.ec2
    access.ensure_role(
        clients.iam, HUB, documents.trust(place(CLUSTER)), role_tags(CLUSTER, MANAGER_ROLE)
    )
    access.put_policy(clients.iam, HUB, HUB, documents.manager(place(CLUSTER)))
    access.ensure_profile(clients.iam, HUB, HUB, role_tags(CLUSTER, MANAGER_ROLE))
    manager_group = groups.create(
        ec2, HUB, "d", vpc_id=account.vpc, tags=role_tags(CLUSTER, MANAGER_ROLE)
    )
    worker_group = groups.create(
        ec2, "workers", "d", vpc_id=account.vpc, tags=role_tags(CLUSTER, WORKER_ROLE)
    )
    rules = [groups.Rule(443, "0.0.0.0/0"), groups.Rule(8081, worker_group)]
    groups.admit(ec2, manager_group, rules)
    groups.refuse(ec2, manager_group, rules[:1])
    builder = account.request(group_ids=(manager_group,), public_address=True)
    assert machines.dry_run(ec2, builder) is None
    made = machines.run(ec2, builder, "builder")
    cloud.wait_state(made.id, "running")
    machines.tag(ec2, made.id, {"cloudjhub:host-key": "SHA256:x"})
    machines.console(ec2, made.id)
    machines.stop(ec2, made.id)
    cloud.wait_state(made.id, "stopped")
    image = images.create(ec2, made.id, "workers", role_tags(CLUSTER, WORKER_IMAGE_ROLE))
    wait_for("the image", lambda: images.image(ec2, image).state == "available")
    machines.start(ec2, made.id)
    machines.terminate(ec2, [made.id])
    manager = account.request(
        role=MANAGER_ROLE, disk=MANAGER_DISK_ROLE, group_ids=(manager_group,), profile=HUB
    )
    hub = machines.run(ec2, manager, "manager")
    address = addresses.allocate(ec2, role_tags(CLUSTER, MANAGER_ROLE))
    cloud.wait_state(hub.id, "running")
    addresses.associate(ec2, address, hub.id)
    (held,) = Listing(CLUSTER, ec2).everything().addresses
    ec2.ask("disassociate_address", AssociationId=held.association_id)
    addresses.associate(ec2, address, hub.id)
    public = cloud.api.describe_key_pairs(IncludePublicKey=True)["KeyPairs"][0]["PublicKey"]
    name = key_pair_name(CLUSTER)
    keys.import_public(ec2, name, public, role_tags(CLUSTER, WORKER_KEY_ROLE))
    keys.delete(ec2, name)
    keys.import_public(ec2, name, public, role_tags(CLUSTER, WORKER_KEY_ROLE))


def remove_cluster(account: Account) -> None:
    """As teardown does it."""
    clients, cloud = account.clients, account.cloud
    kind = {"ResourceType": "volume", "Tags": tag_list(role_tags(CLUSTER, "disk"))}
    home = cloud.api.create_volume(AvailabilityZone="us-east-1a", Size=1, TagSpecifications=[kind])[
        "VolumeId"
    ]
    cloud.wait_volume(home, "available")
    listing = Listing(CLUSTER, clients.ec2, clients.iam)
    removal, found = Removal(CLUSTER, clients.ec2, clients.iam), listing.everything()
    assert removal.terminate(found.machines) == {}
    for machine in found.machines:
        cloud.wait_state(machine.id, "terminated")
    for disk in listing.disks():
        removal.snapshot(disk)
        removal.delete_disk(disk)
    found = listing.everything()
    for image in found.images:
        removal.deregister(image)
    for snapshot in listing.snapshots():
        removal.delete_snapshot(snapshot)
    for address in found.addresses:
        removal.release(address)
    for pair in found.key_pairs:
        removal.delete_key_pair(pair)
    for group in found.groups:
        removal.revoke_references(group)
        listing.users_of(group)
    for group in found.groups:
        removal.delete_group(group)
    for profile in found.profiles:
        removal.delete_profile(profile)
    for role in found.roles:
        removal.delete_role(role)


@pytest.mark.parametrize("cluster", ["", "other"])
def test_nothing_of_others_is_changed(account: Account, cluster: str):
    ec2, api = account.clients.ec2, account.cloud.api
    tags = tag_list({CLUSTER_TAG: cluster}) if cluster else []

    def born(kind: str) -> list[dict[str, Any]]:
        return [{"ResourceType": kind, "Tags": tags}] if tags else []

    (machine,) = account.cloud.launch(TagSpecifications=born("instance"))
    account.cloud.wait_state(machine, "running")
    volume = account.cloud.instance(machine)["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
    address = api.allocate_address(Domain="vpc", TagSpecifications=born("elastic-ip"))
    api.create_key_pair(KeyName="theirs", TagSpecifications=born("key-pair"))
    group = account.group("theirs", cluster or "nobody")
    image = account.cloud.config["WORKER_AMI"]
    rules = [groups.Rule(22, "0.0.0.0/0")]
    refused: list[Callable[[], object]] = [
        lambda: machines.terminate(ec2, [machine]),
        lambda: machines.stop(ec2, machine),
        lambda: machines.tag(ec2, machine, {CLUSTER_TAG: CLUSTER}),
        lambda: machines.console(ec2, machine),
        lambda: images.create(ec2, machine, "theirs", role_tags(CLUSTER, WORKER_IMAGE_ROLE)),
        lambda: images.deregister(ec2, image),
        lambda: ec2.ask("delete_volume", VolumeId=volume),
        lambda: ec2.ask("create_snapshot", VolumeId=volume),
        lambda: ec2.ask("release_address", AllocationId=address["AllocationId"]),
        lambda: addresses.associate(
            ec2, addresses.Address(address["AllocationId"], address["PublicIp"]), machine
        ),
        lambda: keys.delete(ec2, "theirs"),
        lambda: groups.admit(ec2, group, rules),
        lambda: groups.refuse(ec2, group, rules),
        lambda: ec2.ask("delete_security_group", GroupId=group),
        lambda: machines.run(ec2, account.request(group_ids=(group,)), "t"),
    ]
    for call in refused:
        with pytest.raises(NotPermitted):
            call()
    assert account.cloud.state(machine) == "running"


def test_nothing_is_made_for_others(account: Account):
    ec2, own = account.clients.ec2, account.group("ours")
    other = role_tags("other", MANAGER_ROLE)
    for call in (
        lambda: groups.create(ec2, "x", "d", vpc_id=account.vpc, tags=other),
        lambda: addresses.allocate(ec2, other),
        lambda: ec2.ask("allocate_address", Domain="vpc"),
        lambda: keys.import_public(ec2, "x", "ssh-ed25519 AAAA", other),
        lambda: machines.run(ec2, account.request(group_ids=(own,), tags=other), "t"),
        lambda: machines.run(ec2, account.request(group_ids=(own,), disk_tags=other), "t"),
    ):
        with pytest.raises(NotPermitted):
            call()
    plain = machines.run_arguments(account.request(group_ids=(own,)), "")
    for changes in ({"MetadataOptions": {"HttpTokens": "optional"}}, {"MetadataOptions": {}}):
        with pytest.raises(NotPermitted):
            ec2.ask("run_instances", **plain | changes)


def test_no_other_role_is_written_or_passed(account: Account):
    iam, trust = account.clients.iam, documents.trust(place(CLUSTER))
    everything = documents.manager(place(CLUSTER))
    make_role(account.cloud, "admin", trust, everything)
    own = account.group("ours")
    for call in (
        lambda: access.ensure_role(iam, "mine", trust, {}),
        lambda: access.put_policy(iam, "admin", "p", everything),
        lambda: access.ensure_profile(iam, "mine", "admin", {}),
        lambda: iam.ask("add_role_to_instance_profile", InstanceProfileName=HUB, RoleName="admin"),
        lambda: iam.ask("delete_role", RoleName="admin"),
        lambda: machines.run(
            account.clients.ec2, account.request(group_ids=(own,), profile="admin"), "t"
        ),
    ):
        with pytest.raises(NotPermitted):
            call()
