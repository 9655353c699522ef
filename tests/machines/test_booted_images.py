"""CreateImage: what is on a machine is on those launched from its image."""

from pathlib import Path

import pytest
from local.clouds import code_of
from machines.clouds import BootedCloud

pytestmark = pytest.mark.slow

TAGS = [
    {"ResourceType": kind, "Tags": [{"Key": "made-by", "Value": "a test"}]}
    for kind in ("image", "snapshot")
]


def test_an_image_of_a_machine_and_an_image_of_that(cloud: BootedCloud):
    builder = cloud.booted()
    cloud.ssh(builder, "cloud-init status --wait >/dev/null; sudo touch /srv/first", 120)
    machine_id, before = cloud.inside(builder, "cat /etc/machine-id"), cloud.boot_id(builder)
    cloud.inside(builder, "rm /usr/bin/nano")
    first = cloud.made_image(builder, "first", TagSpecifications=TAGS)
    # It is booted again, as nobody said NoReboot.
    cloud.wait_ssh(builder)
    assert cloud.boot_id(builder) != before
    image = cloud.image(first)
    snapshot = image["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    assert (image["RootDeviceName"], image["Tags"]) == ("/dev/xvda", TAGS[0]["Tags"])
    found = cloud.api.describe_snapshots(SnapshotIds=[snapshot])["Snapshots"][0]
    assert (found["State"], found["Tags"]) == ("completed", TAGS[1]["Tags"])
    duplicate = code_of(lambda: cloud.api.create_image(InstanceId=builder, Name="first"))
    assert duplicate == ("InvalidAMIName.Duplicate", 400)
    cloud.stop(builder)
    cloud.terminate(builder)

    child = cloud.booted(ImageId=first)
    assert cloud.inside(child, "ls /srv/first; test ! -e /usr/bin/nano") == "/srv/first\n"
    assert cloud.inside(child, "cat /etc/machine-id") not in ("", machine_id)
    cloud.ssh(child, "cloud-init status --wait >/dev/null; sudo touch /srv/second", 120)
    before = cloud.boot_id(child)
    second = cloud.made_image(child, "second", NoReboot=True)
    assert cloud.boot_id(child) == before
    cloud.terminate(child)

    grandchild = cloud.booted(ImageId=second)
    assert cloud.inside(grandchild, "ls /srv").split() == ["first", "second"]
    # The first image is gone, and what it holds is still below the second.
    cloud.api.deregister_image(ImageId=first)
    cloud.api.delete_snapshot(SnapshotId=snapshot)
    assert code_of(lambda: cloud.launch(ImageId=first))[0] == "InvalidAMIID.Unavailable"
    cloud.stop(grandchild)
    cloud.start(grandchild)
    assert cloud.inside(grandchild, "ls /srv/first") == "/srv/first\n"
    cloud.terminate(grandchild)
    last = cloud.image(second)["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    cloud.api.deregister_image(ImageId=second)
    cloud.api.delete_snapshot(SnapshotId=last)
    stored = Path(cloud.ec2.state_dir, "snapshots")
    cloud.wait("nothing stored", lambda: not any(stored.iterdir()))


def test_an_image_that_is_used_keeps_its_snapshot(cloud: BootedCloud, machine: str):
    image = cloud.made_image(machine, "used", NoReboot=True)
    snapshot = cloud.image(image)["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    refused = code_of(lambda: cloud.api.delete_snapshot(SnapshotId=snapshot))
    assert refused == ("InvalidSnapshot.InUse", 400)
    cloud.api.deregister_image(ImageId=image)
    cloud.api.delete_snapshot(SnapshotId=snapshot)
