"""Volumes as the API shows them."""

from local.clouds import Cloud, code_of, wait_for

ZONE = "us-east-1a"


def made(cloud: Cloud, zone: str = ZONE, **more: object) -> str:
    volume = cloud.api.create_volume(AvailabilityZone=zone, Size=3, VolumeType="gp3", **more)
    assert volume["State"] == "creating"
    cloud.wait_volume(volume["VolumeId"], "available")
    return volume["VolumeId"]


def test_attach_and_detach_have_stages(api_cloud: Cloud) -> None:
    api = api_cloud.api
    instance_id = api_cloud.launch()[0]
    api_cloud.wait_state(instance_id, "running")
    volume_id = made(api_cloud)
    faults = api_cloud.ec2.faults
    faults.hold("volume")
    attached = api.attach_volume(VolumeId=volume_id, InstanceId=instance_id, Device="/dev/sdf")
    assert attached["State"] == "attaching"
    volume = api_cloud.volume(volume_id)
    assert (volume["State"], volume["Attachments"][0]["State"]) == ("in-use", "attaching")
    faults.let_go("volume")
    api_cloud.wait_attached(volume_id)
    assert api_cloud.volume_at(instance_id, "/dev/sdf") == volume_id
    faults.hold("volume")
    assert api.detach_volume(VolumeId=volume_id)["State"] == "detaching"
    assert api_cloud.volume(volume_id)["Attachments"][0]["State"] == "detaching"
    faults.let_go("volume")
    api_cloud.wait_volume(volume_id, "available")
    assert len(api_cloud.instance(instance_id)["BlockDeviceMappings"]) == 1


def test_what_cannot_be_attached(api_cloud: Cloud) -> None:
    first, second = api_cloud.launch(2)
    for instance_id in (first, second):
        api_cloud.wait_state(instance_id, "running")
    here, there = made(api_cloud), made(api_cloud, "us-east-1b")

    def attach(volume_id: str, instance_id: str, device: str = "/dev/sdf") -> None:
        api_cloud.api.attach_volume(VolumeId=volume_id, InstanceId=instance_id, Device=device)

    assert code_of(lambda: attach(there, first)) == ("InvalidVolume.ZoneMismatch", 400)
    attach(here, first)
    assert code_of(lambda: attach(here, second)) == ("VolumeInUse", 400)
    assert code_of(lambda: api_cloud.api.delete_volume(VolumeId=here))[0] == "VolumeInUse"
    other = made(api_cloud)
    assert code_of(lambda: attach(other, first))[0] == "InvalidParameterValue"
    unknown = "i-0123456789abcdef0"
    assert code_of(lambda: attach(other, unknown))[0] == "InvalidInstanceID.NotFound"
    api_cloud.api.delete_volume(VolumeId=other)
    assert code_of(lambda: api_cloud.volume(other))[0] == "InvalidVolume.NotFound"


def test_what_cannot_be_detached(api_cloud: Cloud) -> None:
    instance_id = api_cloud.launch()[0]
    api_cloud.wait_state(instance_id, "running")
    root = api_cloud.volume_at(instance_id, "/dev/sda1")
    detach = api_cloud.api.detach_volume
    assert code_of(lambda: detach(VolumeId=root))[0] == "OperationNotPermitted"
    loose = made(api_cloud)
    assert code_of(lambda: detach(VolumeId=loose))[0] == "IncorrectState"


def test_creating_is_idempotent_by_token(api_cloud: Cloud) -> None:
    first = made(api_cloud, ClientToken="home of ann")
    again = api_cloud.api.create_volume(
        AvailabilityZone=ZONE, Size=3, VolumeType="gp3", ClientToken="home of ann"
    )
    assert again["VolumeId"] == first
    assert code_of(
        lambda: api_cloud.api.create_volume(
            AvailabilityZone=ZONE, Size=4, VolumeType="gp3", ClientToken="home of ann"
        )
    ) == ("IdempotentParameterMismatch", 400)
    assert len(api_cloud.api.describe_volumes()["Volumes"]) == 1


def test_volumes_do_not_shrink(api_cloud: Cloud) -> None:
    volume_id = made(api_cloud)
    modify = api_cloud.api.modify_volume
    assert code_of(lambda: modify(VolumeId=volume_id, Size=2))[0] == "InvalidParameterValue"
    modify(VolumeId=volume_id, Size=4)
    wait_for("size 4", lambda: api_cloud.volume(volume_id)["Size"] == 4)


def test_a_zone_that_does_not_exist(api_cloud: Cloud) -> None:
    create = api_cloud.api.create_volume
    assert code_of(lambda: create(AvailabilityZone="mars-1a", Size=1))[0] == "InvalidZone.NotFound"


def test_a_volume_from_a_snapshot_holds_what_the_first_one_held_then(api_cloud: Cloud) -> None:
    api, folder = api_cloud.api, api_cloud.ec2.state_dir / "volumes"
    first = made(api_cloud)
    (folder / first / "data").mkdir(parents=True)
    (folder / first / "data" / "thesis.txt").write_text("one")
    api_cloud.ec2.faults.hold("snapshot")
    snapshot = api.create_snapshot(VolumeId=first)
    assert snapshot["State"] == "pending"
    api_cloud.ec2.faults.let_go("snapshot")
    of_it = {"SnapshotIds": [snapshot["SnapshotId"]]}
    wait_for(
        "the snapshot to be complete",
        lambda: api.describe_snapshots(**of_it)["Snapshots"][0]["State"] == "completed",
    )
    (folder / first / "data" / "thesis.txt").write_text("two")
    second = made(api_cloud, "us-east-1b", SnapshotId=snapshot["SnapshotId"])
    assert (folder / second / "data" / "thesis.txt").read_text() == "one"
    api.delete_snapshot(SnapshotId=snapshot["SnapshotId"])
    kept = api_cloud.ec2.state_dir / "snapshots" / snapshot["SnapshotId"]
    wait_for("the snapshot's folder to go", lambda: not kept.exists())
    assert (folder / second / "data" / "thesis.txt").read_text() == "one"
