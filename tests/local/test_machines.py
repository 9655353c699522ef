"""Machines one can log in to, of both kinds, over real SSH."""

import contextlib
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from local.clouds import INSTANT, Cloud, code_of, wait_for

from cloudjhub.local import LocalSettings, processes
from cloudjhub.local.machines import userns

HOME = {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 3, "DeleteOnTermination": False}}
ENCRYPTED_ROOT = {"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 8, "Encrypted": True}}
DEVICE = "$CLOUDJHUB_ROOT/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_{}"
VARIANTS = [
    pytest.param(
        "userns",
        marks=pytest.mark.skipif(
            not userns.allowed_here(), reason="this computer forbids user namespaces"
        ),
    ),
    "plain",
]


@pytest.fixture(params=VARIANTS)
def both(request: pytest.FixtureRequest, make_cloud: Callable[..., Cloud]) -> Cloud:
    return make_cloud(LocalSettings(**vars(INSTANT) | {"variant": request.param}))


def started(cloud: Cloud, **changes: object) -> str:
    instance_id = cloud.launch(**changes)[0]
    cloud.wait_ssh(instance_id)
    return instance_id


def left_behind(cloud: Cloud, instance_id: str) -> list[int]:
    finder = processes.Finder(cloud.ec2.state_dir, instance_id)
    return finder()


def device_of(volume_id: str) -> str:
    return DEVICE.format(volume_id.replace("-", ""))


def test_files_survive_and_processes_do_not(both: Cloud) -> None:
    instance_id = started(both)
    both.ssh(instance_id, "echo mine >kept; nohup sleep 1000 >/dev/null 2>&1 & echo started")
    host_key = (both.ec2.machines.get(instance_id).spec.folder / "host_key").read_bytes()
    assert left_behind(both, instance_id)
    both.api.stop_instances(InstanceIds=[instance_id])
    both.wait_state(instance_id, "stopped")
    assert left_behind(both, instance_id) == []
    both.api.start_instances(InstanceIds=[instance_id])
    both.wait_ssh(instance_id)
    assert both.ssh(instance_id, "cat kept") == "mine\n"
    assert (both.ec2.machines.get(instance_id).spec.folder / "host_key").read_bytes() == host_key
    both.api.terminate_instances(InstanceIds=[instance_id])
    both.wait_state(instance_id, "terminated")
    assert left_behind(both, instance_id) == []
    assert os.listdir(both.ec2.state_dir / "machines") == []


@pytest.mark.slow
def test_what_a_login_finds(both: Cloud) -> None:
    instance_id = started(both)
    tools = "command -v python3 && sudo -n true && runuser -u x -- echo as x && ! systemctl status"
    assert "as x" in both.ssh(instance_id, tools)
    environment = dict(
        line.split("=", 1) for line in both.ssh(instance_id, "env").splitlines() if "=" in line
    )
    assert environment["LOCALEC2_ID"] == instance_id
    root = environment.get("CLOUDJHUB_ROOT", "")
    assert (root == "") is (both.ec2.variant == "userns")
    assert not [name for name in environment if name.startswith("AWS")]
    account = both.config["NOTEBOOK_USERNAME"]
    assert both.ssh(instance_id, f"ls -d $CLOUDJHUB_ROOT/home/{account}").strip()
    assert both.ssh(instance_id, "mkdir -p $CLOUDJHUB_ROOT/run/cloudjhub && echo made") == "made\n"
    if both.ec2.variant == "userns":
        address = both.instance(instance_id)["PrivateIpAddress"]
        assert both.ssh(instance_id, "id -un; id -u").split() == ["ubuntu", "1000"]
        name = both.ec2.machines.get(instance_id).run(["hostname"]).strip()
        assert name == f"ip-{address.replace('.', '-')}"
        others = both.ec2.machines.get(instance_id).run(["sh", "-c", "ls -d /proc/[0-9]* | wc -l"])
        assert int(others) < 10


def test_the_server_s_secrets_stay_out(
    make_cloud: Callable[..., Cloud], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-for-machines")
    cloud = make_cloud()
    instance_id = started(cloud)
    for pid in cloud.ec2.machines.get(instance_id).pids():
        # sshd hides its environment from all but root; sessions end.
        with contextlib.suppress(PermissionError, ProcessLookupError, FileNotFoundError):
            assert b"not-for-machines" not in Path(f"/proc/{pid}/environ").read_bytes()
    assert cloud.ec2.state_dir.stat().st_mode & 0o077 == 0
    assert cloud.ec2.machines.get(instance_id).spec.folder.stat().st_mode & 0o077 == 0


def test_passwords_and_other_keys_do_not_open_it(cloud: Cloud) -> None:
    instance_id = started(cloud)
    cloud.config["WORKER_KEY_FILE"] = "/dev/null"
    with pytest.raises(subprocess.CalledProcessError):
        cloud.ssh(instance_id, "true")
    config = (cloud.ec2.machines.get(instance_id).spec.folder / "sshd_config").read_text()
    assert "PasswordAuthentication no" in config


@pytest.mark.slow
def test_a_volume_keeps_a_home(both: Cloud) -> None:
    instance_id = started(both, BlockDeviceMappings=[HOME])
    volume_id = both.volume_at(instance_id, "/dev/sdf")
    device, home = device_of(volume_id), f"$CLOUDJHUB_ROOT/home/{both.config['NOTEBOOK_USERNAME']}"
    mount = f"sudo -n mount {device} {home}"
    blank = f"blkid -o value -s TYPE {device}; echo $?"
    assert both.ssh(instance_id, blank) == "2\n"
    with pytest.raises(subprocess.CalledProcessError):
        both.ssh(instance_id, mount)
    both.ssh(instance_id, f"sudo -n mkfs.ext4 -q -L home {device} && {mount}")
    both.ssh(instance_id, f"mountpoint -q {home} && echo precious >{home}/thesis")
    with pytest.raises(subprocess.CalledProcessError):
        both.ssh(instance_id, f"mkfs.ext4 -q {device}")
    both.api.stop_instances(InstanceIds=[instance_id])
    both.wait_state(instance_id, "stopped")
    both.api.start_instances(InstanceIds=[instance_id])
    both.wait_ssh(instance_id)
    assert both.ssh(instance_id, f"ls {home}; ! mountpoint -q {home} && blkid {device}") == "ext4\n"
    assert both.ssh(instance_id, f"{mount} && cat {home}/thesis") == "precious\n"
    both.api.terminate_instances(InstanceIds=[instance_id])
    both.wait_state(instance_id, "terminated")
    other = started(both)
    both.api.attach_volume(VolumeId=volume_id, InstanceId=other, Device="/dev/sdf")
    both.wait_attached(volume_id)
    assert both.ssh(other, f"{mount} && cat {home}/thesis") == "precious\n"


@pytest.mark.slow
def test_a_mounted_volume_is_busy_until_it_is_not(both: Cloud) -> None:
    instance_id = started(both, BlockDeviceMappings=[HOME])
    volume_id = both.volume_at(instance_id, "/dev/sdf")
    device, home = device_of(volume_id), f"$CLOUDJHUB_ROOT/home/{both.config['NOTEBOOK_USERNAME']}"
    both.ssh(instance_id, f"mkfs.ext4 -q {device} && mount {device} {home}")
    both.api.detach_volume(VolumeId=volume_id)
    wait_for(
        "the volume to be busy",
        lambda: both.volume(volume_id)["Attachments"][0]["State"] == "busy",
    )
    assert both.ssh(instance_id, f"ls -d {device}").strip()
    both.ssh(instance_id, f"umount {home}")
    both.wait_volume(volume_id, "available")
    assert both.ssh(instance_id, f"ls -d {device} 2>/dev/null || echo gone") == "gone\n"
    folder = both.ec2.state_dir / "volumes" / volume_id
    assert folder.is_dir()
    both.api.delete_volume(VolumeId=volume_id)
    wait_for("the volume's folder to go", lambda: not folder.exists())


@pytest.mark.slow
def test_hibernation_keeps_what_runs(both: Cloud) -> None:
    instance_id = started(
        both, HibernationOptions={"Configured": True}, BlockDeviceMappings=[ENCRYPTED_ROOT]
    )
    both.ssh(
        instance_id,
        "nohup sh -c 'while :; do date +%s%N >beat; sleep 0.05; done' >/dev/null 2>&1 & "
        "echo $! >pid",
    )
    both.api.stop_instances(InstanceIds=[instance_id], Hibernate=True)
    both.wait_state(instance_id, "stopped")
    assert both.instance(instance_id)["StateReason"]["Code"] == "Client.UserInitiatedHibernate"
    machine = both.ec2.machines.get(instance_id)

    # Who is in a call of the kernel stops at its end.
    wait_for("every process to be frozen", lambda: all_frozen(machine.pids()))
    both.api.start_instances(InstanceIds=[instance_id])
    both.wait_ssh(instance_id)
    assert both.ssh(instance_id, "kill -0 $(cat pid) && echo alive") == "alive\n"
    before = both.ssh(instance_id, "cat beat")
    wait_for("the next heartbeat", lambda: both.ssh(instance_id, "cat beat") != before)


def all_frozen(pids: list[int]) -> bool:
    """Whether all are stopped, or wait in vfork(2) for a child that is: no signal ends that."""
    try:
        stats = {pid: Path(f"/proc/{pid}/stat").read_text() for pid in pids}
    except FileNotFoundError:  # it was about to end
        return False
    states = {pid: stat.rpartition(") ")[2][0] for pid, stat in stats.items()}
    stopped = [pid for pid in pids if states[pid] == "T"]
    with_stopped_child = {parent for parent in pids if set(processes.tree(parent)[1:]) & {*stopped}}
    return bool(stopped) and all(
        state == "T" or (state == "D" and pid in with_stopped_child)
        for pid, state in states.items()
    )


@pytest.mark.slow
def test_hibernation_must_be_configured(cloud: Cloud) -> None:
    instance_id = started(cloud)
    stop = cloud.api.stop_instances
    assert code_of(lambda: stop(InstanceIds=[instance_id], Hibernate=True)) == (
        "UnsupportedHibernationConfiguration",
        400,
    )
    assert cloud.state(instance_id) == "running"


@pytest.mark.slow
@pytest.mark.parametrize(("behavior", "end"), [("stop", "stopped"), ("terminate", "terminated")])
def test_a_machine_that_powers_itself_off(both: Cloud, behavior: str, end: str) -> None:
    instance_id = started(both, InstanceInitiatedShutdownBehavior=behavior)
    both.ssh(instance_id, "nohup sleep 1000 >/dev/null 2>&1 & echo mine >kept")
    with pytest.raises(subprocess.CalledProcessError):
        both.ssh(instance_id, "sudo -n poweroff; sleep 5; false")
    both.wait_state(instance_id, end)
    code = both.instance(instance_id)["StateReason"]["Code"]
    assert code == "Client.InstanceInitiatedShutdown"
    assert left_behind(both, instance_id) == []
    if end == "stopped":
        console = both.api.get_console_output(InstanceId=instance_id)["Output"]
        assert f"{instance_id} powers itself off" in console
        both.api.start_instances(InstanceIds=[instance_id])
        both.wait_ssh(instance_id)
        assert both.ssh(instance_id, "cat kept") == "mine\n"


@pytest.mark.slow
def test_reboot_and_console(both: Cloud) -> None:
    instance_id = started(both)
    both.ssh(instance_id, "echo before >kept")
    first = both.ec2.machines.get(instance_id).pids()[0]
    both.api.reboot_instances(InstanceIds=[instance_id])
    wait_for(
        "new processes",
        lambda: both.ec2.machines.get(instance_id).pids()[:1] not in ([], [first]),
    )
    both.wait_ssh(instance_id)
    assert both.ssh(instance_id, "cat kept") == "before\n"
    console = both.api.get_console_output(InstanceId=instance_id)["Output"]
    assert console.count("Server listening on") == 2
    assert f"{instance_id} boots" in console


@pytest.mark.slow
def test_many_machines_end_together(cloud: Cloud) -> None:
    launched = cloud.launch(8)
    for instance_id in launched:
        cloud.wait_ssh(instance_id)
    cloud.ec2.stop()
    assert processes.Finder(cloud.ec2.state_dir)() == []


@pytest.mark.slow
def test_an_interactive_login_has_a_terminal(both: Cloud) -> None:
    if both.ec2.variant == "plain" and os.getuid() != 0:
        pytest.skip("whether a plain sshd may give terminals depends on how /dev/pts is mounted")
    instance_id = started(both)
    address = both.instance(instance_id)["PrivateIpAddress"]
    options = ["-F", "none", "-tt", "-o", "StrictHostKeyChecking=no", "-o", "LogLevel=ERROR"]
    options += ["-o", "UserKnownHostsFile=/dev/null", "-i", both.config["WORKER_KEY_FILE"]]
    options += ["-p", str(both.config["WORKER_SSH_PORT"])]
    finished = subprocess.run(
        ["ssh", *options, f"{both.config['WORKER_USERNAME']}@{address}", "tty"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "/dev/pts/" in finished.stdout, finished.stdout + finished.stderr
