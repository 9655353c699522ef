"""A machine boots, is logged in to, stopped, started, and does things by itself."""

import os
import signal
from pathlib import Path

import pytest
from local.clouds import code_of
from machines.clouds import BootedCloud

from cloudjhub.deploy.requests import BUILDER_ENDS

pytestmark = pytest.mark.slow


def test_the_login_is_the_key_pairs_and_commands_are_roots_by_sudo(
    cloud: BootedCloud, machine: str
):
    assert cloud.config["WORKER_USERNAME"] == "admin"
    assert cloud.ssh(machine, "id -un; sudo -n id -un").split() == ["admin", "root"]


def test_user_data_ran_once_and_cloud_init_knows_ec2(cloud: BootedCloud, machine: str):
    words = cloud.ssh(machine, "cloud-init status --wait >/dev/null; cat /var/lib/told", 120)
    assert words.split() == ["told"]
    asked = "cloud-init query platform; cloud-init query instance_id"
    assert cloud.ssh(machine, asked).split() == ["ec2", machine]


def test_the_machine_has_its_own_name_address_and_systemd(cloud: BootedCloud, machine: str):
    address = cloud.instance(machine)["PrivateIpAddress"]
    name = f"ip-{address.replace('.', '-')}"
    assert cloud.ssh(machine, "hostname; hostname -I").split() == [name, address]
    assert cloud.ssh(machine, "ps -p 1 -o comm=").strip() == "systemd"
    # A transient unit, as notebooks are started.
    unit = "sudo systemd-run --quiet --wait --pipe --uid=admin id -un"
    assert cloud.ssh(machine, unit) == "admin\n"


def test_the_root_disk_is_as_large_as_was_asked_for(cloud: BootedCloud, machine: str):
    kib = int(cloud.inside(machine, "df --output=size / | tail -1"))
    assert 7.5 < kib / 2**20 < 8.0
    root = cloud.volume_at(machine, "/dev/xvda").replace("-", "")
    device = cloud.inside(
        machine, f"readlink -f /dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_{root}"
    )
    assert device.strip() == "/dev/nvme0n1"


def test_memory_is_limited_to_what_the_type_has(cloud: BootedCloud, machine: str):
    group = Path("/proc", str(cloud.ec2.machines.get(machine).pids()[-1]), "cgroup").read_text()
    assert machine in group


def test_the_console_is_what_the_machine_printed(cloud: BootedCloud, machine: str):
    cloud.ssh(machine, "cloud-init status --wait >/dev/null", 120)
    output = cloud.api.get_console_output(InstanceId=machine)["Output"]
    assert "Welcome to" in output and "BEGIN SSH HOST KEY FINGERPRINTS" in output


def test_its_life(cloud: BootedCloud):
    """Stopped and started, rebooted from inside and outside, powered off by itself."""
    instance = cloud.booted()
    marks = cloud.ssh(instance, "cloud-init status --wait >/dev/null; echo mine > file; pwd", 120)
    assert marks.strip() == "/home/admin"
    key = cloud.inside(instance, "cat /etc/ssh/ssh_host_ed25519_key.pub")

    cloud.stop(instance)
    assert cloud.reason(instance) == "Client.UserInitiatedShutdown"
    cloud.api.modify_volume(VolumeId=cloud.volume_at(instance, "/dev/xvda"), Size=12)
    cloud.start(instance)
    assert int(cloud.inside(instance, "df --output=size / | tail -1")) > 11 * 2**20
    assert cloud.ssh(instance, "cat file").strip() == "mine"
    assert cloud.inside(instance, "cat /etc/ssh/ssh_host_ed25519_key.pub") == key

    before = cloud.boot_id(instance)
    cloud.power(instance, "reboot")
    cloud.wait("another boot", lambda: booted_anew(cloud, instance, before))
    assert cloud.state(instance) == "running"
    before = cloud.boot_id(instance)
    cloud.api.reboot_instances(InstanceIds=[instance])
    cloud.wait("another boot", lambda: booted_anew(cloud, instance, before))
    cloud.wait_ssh(instance)

    cloud.power(instance, "poweroff")
    cloud.wait_state(instance, "stopped")
    assert cloud.reason(instance) == "Client.InstanceInitiatedShutdown"
    cloud.terminate(instance)
    assert not Path(cloud.ec2.state_dir, "machines", instance).exists()


def booted_anew(cloud: BootedCloud, instance: str, before: str) -> bool:
    machine = cloud.ec2.machines.get(instance)
    try:
        return machine.is_alive() and cloud.boot_id(instance) not in ("", before)
    except Exception:  # between two boots there is nobody to ask
        return False


def test_a_machine_that_dies_or_hangs_and_one_that_ends_itself(cloud: BootedCloud):
    first, second = cloud.launch(2, InstanceInitiatedShutdownBehavior="terminate")
    for instance in (first, second):
        cloud.wait_ssh(instance)
    cloud.ec2.faults.hang(first)
    assert not is_heard(cloud, first)
    cloud.ec2.faults.release(first)
    cloud.wait_ssh(first)

    cloud.api.modify_instance_attribute(
        InstanceId=first, InstanceInitiatedShutdownBehavior={"Value": "stop"}
    )
    cloud.inside(first, "echo kept > /var/lib/kept; sync")
    os.kill(cloud.ec2.machines.get(first).pids()[1], signal.SIGKILL)
    cloud.wait_state(first, "stopped")
    cloud.start(first)
    assert cloud.inside(first, "cat /var/lib/kept") == "kept\n"

    cloud.power(second, "poweroff")
    cloud.wait_state(second, "terminated")
    assert code_of(lambda: cloud.api.start_instances(InstanceIds=[second]))[0] == (
        "IncorrectInstanceState"
    )
    cloud.terminate(first)


def test_a_builder_that_nobody_comes_back_to_ends(cloud: BootedCloud):
    (builder,) = cloud.launch(
        1, UserData=BUILDER_ENDS, InstanceInitiatedShutdownBehavior="terminate"
    )
    cloud.wait_ssh(builder)
    planned = "cloud-init status --wait >/dev/null; cat /run/systemd/shutdown/scheduled"
    assert "MODE=poweroff" in cloud.ssh(builder, planned, 120)
    # For its image EC2 stops it, which is no shutdown of its own.
    cloud.api.stop_instances(InstanceIds=[builder])
    cloud.wait_state(builder, "stopped")
    cloud.start(builder)
    cloud.power(builder, "poweroff")
    cloud.wait_state(builder, "terminated")


def is_heard(cloud: BootedCloud, instance: str) -> bool:
    try:
        return cloud.ssh(instance, "echo yes", 5) == "yes\n"
    except Exception:  # refused, silent or cut off: it is not heard
        return False
