"""What a sweep reads and removes, with the manager's role."""

from types import SimpleNamespace
from typing import Any

import pytest
from local.clouds import Cloud, wait_for
from local.identities import make_role, place, role_key

from cloudjhub.culler.cloud import Cloud as SweptCloud
from cloudjhub.ec2_values import tag_list
from cloudjhub.errors import NotPermitted
from cloudjhub.naming import CLUSTER_TAG, ROLE_TAG
from cloudjhub.policy import documents

CLUSTER, ROLE = "class", "cloudjhub-class-manager"


@pytest.fixture
def swept(api_cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> SweptCloud:
    """A sweep's EC2, asked as a manager's hub asks."""
    where = place(CLUSTER)
    policy = documents.manager(where, subnets=[api_cloud.config["SUBNET_ID"]])
    make_role(api_cloud, ROLE, documents.trust(where), policy)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", role_key(api_cloud, "i-0123456789abcdef0", ROLE))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-checked")
    config: Any = SimpleNamespace(
        cluster_name=CLUSTER, region="us-east-1", ec2_endpoint_url=api_cloud.ec2.endpoint_url
    )
    return SweptCloud(config)


def born(kind: str, role: str) -> list[dict[str, Any]]:
    tags = {CLUSTER_TAG: CLUSTER, ROLE_TAG: role}
    return [{"ResourceType": kind, "Tags": tag_list(tags)}]


def volume(cloud: Cloud, role: str) -> str:
    made = cloud.api.create_volume(
        AvailabilityZone="us-east-1a", Size=1, TagSpecifications=born("volume", role)
    )["VolumeId"]
    cloud.wait_volume(made, "available")
    return made


def snapshot(cloud: Cloud, role: str) -> str:
    made = cloud.api.create_snapshot(
        VolumeId=volume(cloud, "disk"), TagSpecifications=born("snapshot", role)
    )["SnapshotId"]
    wait_for(
        "the snapshot",
        lambda: (
            cloud.api.describe_snapshots(SnapshotIds=[made])["Snapshots"][0]["State"] == "completed"
        ),
    )
    return made


def address(cloud: Cloud, role: str) -> str:
    return cloud.api.allocate_address(Domain="vpc", TagSpecifications=born("elastic-ip", role))[
        "AllocationId"
    ]


def found(swept: SweptCloud, thing_id: str) -> Any:
    """The thing as an hourly look finds it; None if it is gone."""
    look = swept.inventory()
    things = {each.id: each for each in (*look.disks, *look.snapshots, *look.addresses)}
    return things.get(thing_id)


def test_all_that_a_sweep_does_is_allowed(api_cloud: Cloud, swept: SweptCloud):
    (machine,) = api_cloud.launch(TagSpecifications=born("instance", "worker"))
    api_cloud.wait_state(machine, "running")
    api_cloud.api.stop_instances(InstanceIds=[machine])
    api_cloud.wait_state(machine, "stopped")
    assert [each.id for each in swept.machines()] == [machine]
    swept.wake(machine)
    api_cloud.wait_state(machine, "running")
    for made in (
        volume(api_cloud, "disk"),
        snapshot(api_cloud, "home-move"),
        snapshot(api_cloud, "worker-image"),
        address(api_cloud, "manager"),
    ):
        swept.remove(found(swept, made))
        assert found(swept, made) is None, made
    calls = [call for call in api_cloud.ec2.authorized_calls() if ROLE in call.principal]
    assert len(calls) > 40 and all(call.allowed for call in calls)


@pytest.mark.parametrize(
    ("make", "role"),
    [
        (volume, "manager-disk"),
        (volume, "builder-disk"),
        (snapshot, "home-snapshot"),
        (address, "worker"),
    ],
)
def test_the_role_keeps_what_a_sweep_only_lists(
    api_cloud: Cloud, swept: SweptCloud, make: Any, role: str
):
    made = make(api_cloud, role)
    thing = found(swept, made)
    with pytest.raises(NotPermitted):
        swept.remove(thing)
    assert found(swept, made) is not None


def test_nothing_but_leftovers_of_the_cluster_is_even_asked_for(
    api_cloud: Cloud, swept: SweptCloud
):
    (machine,) = api_cloud.launch(TagSpecifications=born("instance", "worker"))
    api_cloud.wait_state(machine, "running")
    (of_machine,) = swept.inventory().machines
    with pytest.raises(ValueError, match="nothing that a sweep removes"):
        swept.remove(of_machine)
    thing = found(swept, volume(api_cloud, "disk"))
    thing.tags[CLUSTER_TAG] = "other"
    with pytest.raises(ValueError, match="not a resource of cluster"):
        swept.remove(thing)
