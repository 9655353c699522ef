"""Volumes are block devices: born with a machine, attached to it, grown, copied, taken away."""

from pathlib import Path

import pytest
from local.clouds import code_of
from machines.clouds import HOME_DEVICE, BootedCloud

pytestmark = pytest.mark.slow

BY_ID = "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_"
HOME = {"DeviceName": HOME_DEVICE, "Ebs": {"VolumeSize": 1, "DeleteOnTermination": False}}


def by_id(volume_id: str) -> str:
    return BY_ID + volume_id.replace("-", "")


def test_a_volume_born_with_its_machine_outlives_it(cloud: BootedCloud):
    first = cloud.booted(BlockDeviceMappings=[HOME])
    volume = cloud.volume_at(first, HOME_DEVICE)
    device = by_id(volume)
    assert int(cloud.inside(first, f"blockdev --getsize64 {device}")) == 1 << 30
    assert cloud.inside(first, f"readlink -f {device}; test -b /dev/sdf -a -b /dev/xvdf") == (
        "/dev/nvme1n1\n"
    )
    cloud.inside(first, f"mkfs.ext4 -q -L home {device}; mount {device} /mnt; echo 1 > /mnt/file")
    cloud.inside(first, "umount /mnt; echo 'LABEL=home /srv ext4 nofail 0 2' >> /etc/fstab")
    cloud.inside(first, "systemctl reboot || true")
    cloud.wait("mounted by label", lambda: reads(cloud, first, "/srv/file"))
    cloud.terminate(first)
    assert cloud.volume(volume)["State"] == "available"

    second = cloud.booted()
    cloud.attach(volume, second)
    assert cloud.inside(second, f"mount {device} /mnt; cat /mnt/file; umount /mnt") == "1\n"
    cloud.stop(second)
    cloud.start(second)
    assert cloud.inside(second, "mount LABEL=home /mnt; cat /mnt/file") == "1\n"
    cloud.terminate(second)
    cloud.api.delete_volume(VolumeId=volume)
    cloud.wait("its file removed", lambda: not folder(cloud, volume).exists())


def reads(cloud: BootedCloud, instance: str, path: str) -> bool:
    try:
        return cloud.inside(instance, f"cat {path}") == "1\n"
    except Exception:  # between two boots there is nobody to ask
        return False


def folder(cloud: BootedCloud, volume_id: str) -> Path:
    return cloud.ec2.state_dir / "volumes" / volume_id


def test_attached_detached_and_grown_while_the_machine_runs(cloud: BootedCloud, machine: str):
    one, two = cloud.new_volume(), cloud.new_volume()
    cloud.attach(one, machine, "/dev/sdf")
    cloud.attach(two, machine, "/dev/sdg")
    cloud.inside(machine, f"mkfs.xfs -q {by_id(one)}; mount {by_id(one)} /mnt; touch /mnt/file")

    cloud.api.modify_volume(VolumeId=one, Size=2)
    size = f"blockdev --getsize64 {by_id(one)}"
    cloud.wait("the larger device", lambda: int(cloud.inside(machine, size)) == 2 << 30)
    cloud.inside(machine, "xfs_growfs /mnt >/dev/null")
    assert int(cloud.inside(machine, "df -BM --output=size /mnt | tail -1").strip(" M\n")) > 1500

    cloud.api.detach_volume(VolumeId=one)
    cloud.wait("busy", lambda: cloud.volume(one)["Attachments"][0]["State"] == "busy")
    cloud.inside(machine, "umount /mnt")
    cloud.wait_volume(one, "available")
    cloud.detach(two)
    left = cloud.inside(
        machine, f"ls -d {BY_ID}* /dev/nvme* /dev/sd* /dev/xvd* 2>/dev/null || true"
    )
    root = cloud.volume_at(machine, "/dev/xvda")
    assert left.split() == [by_id(root), "/dev/nvme0n1"]
    for volume in (one, two):
        cloud.api.delete_volume(VolumeId=volume)


def test_a_forced_detach_takes_a_mounted_volume(cloud: BootedCloud, machine: str):
    volume = cloud.new_volume()
    cloud.attach(volume, machine)
    cloud.inside(machine, f"mkfs.ext4 -q {by_id(volume)}; mount {by_id(volume)} /mnt")
    cloud.detach(volume, Force=True)
    cloud.inside(machine, "! mountpoint -q /mnt")
    cloud.api.delete_volume(VolumeId=volume)


def test_a_snapshot_holds_what_was_there_and_makes_volumes(cloud: BootedCloud, machine: str):
    volume = cloud.new_volume()
    cloud.attach(volume, machine)
    cloud.inside(machine, f"mkfs.ext4 -q {by_id(volume)}; mount {by_id(volume)} /mnt")
    cloud.inside(machine, "echo before > /mnt/file")
    # The file system is held still for the copy: what is written is on it, synced or not.
    snapshot = cloud.api.create_snapshot(VolumeId=volume)["SnapshotId"]

    def snapshots() -> dict:
        return cloud.api.describe_snapshots(SnapshotIds=[snapshot])["Snapshots"][0]

    cloud.wait("the snapshot", lambda: snapshots()["State"] == "completed")
    assert (snapshots()["VolumeId"], snapshots()["VolumeSize"]) == (volume, 1)
    cloud.inside(machine, "echo after > /mnt/file; umount /mnt")
    cloud.detach(volume)

    copy = cloud.new_volume(SnapshotId=snapshot, Size=2)
    cloud.attach(copy, machine)
    assert cloud.inside(machine, f"mount {by_id(copy)} /mnt; cat /mnt/file; umount /mnt") == (
        "before\n"
    )
    assert int(cloud.inside(machine, f"blockdev --getsize64 {by_id(copy)}")) == 2 << 30
    cloud.detach(copy)
    cloud.api.delete_snapshot(SnapshotId=snapshot)
    stored = cloud.ec2.state_dir / "snapshots" / snapshot
    cloud.wait("its file removed", lambda: not stored.exists())
    assert code_of(lambda: cloud.new_volume(SnapshotId=snapshot))[0] == "InvalidSnapshot.NotFound"
    for each in (volume, copy):
        cloud.api.delete_volume(VolumeId=each)
