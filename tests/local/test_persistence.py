"""What outlives the process, however it ends."""

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import boto3
import pytest
from local.clouds import INSTANT, Cloud, wait_for

from cloudjhub.local import LocalEC2, LocalEC2Error, LocalSettings, processes

HOME = {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 3, "DeleteOnTermination": False}}
TAGS = [{"Key": "cloudjhub:user", "Value": "ann"}]


def serve(state: Path, *options: str) -> tuple[subprocess.Popen[str], dict[str, str], str]:
    """``python -m cloudjhub.local`` as a user starts it: process, exported variables, output."""
    quick = ["--pending-seconds", "0", "--boot-seconds", "0", "--stopping-seconds", "0"]
    server = subprocess.Popen(
        [sys.executable, "-m", "cloudjhub.local", "--state", str(state), *quick, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        return server, *said_by(server)
    except BaseException:
        server.terminate()
        raise


def said_by(server: subprocess.Popen[str]) -> tuple[dict[str, str], str]:
    """What it tells to export, and everything that it printed until then."""
    assert server.stdout is not None
    exported, printed = {}, ""
    while len(exported) < 4:
        line = server.stdout.readline()
        assert line, f"the server ended: {printed}"
        printed += line
        if line.startswith("export "):
            exported |= dict(part.split("=", 1) for part in line.split()[1:])
    return exported, printed


def test_everything_is_there_again(make_cloud: Callable[..., Cloud]) -> None:
    cloud = make_cloud()
    instance_id = cloud.launch(
        BlockDeviceMappings=[HOME],
        TagSpecifications=[{"ResourceType": "instance", "Tags": TAGS}],
        ClientToken="morning",
    )[0]
    cloud.wait_ssh(instance_id)
    cloud.ssh(instance_id, "echo mine >kept")
    before = cloud.instance(instance_id)
    cloud.ec2.stop()
    cloud.ec2.start()
    again = Cloud(cloud.ec2)
    assert again.config | {"EC2_ENDPOINT_URL": ""} == cloud.config | {"EC2_ENDPOINT_URL": ""}
    after = again.instance(instance_id)
    assert after["State"]["Name"] == "stopped"
    for key in ("PrivateIpAddress", "Tags", "BlockDeviceMappings", "SubnetId", "KeyName"):
        assert after[key] == before[key]
    assert again.launch(BlockDeviceMappings=[HOME], ClientToken="other") != [instance_id]
    again.api.start_instances(InstanceIds=[instance_id])
    again.wait_ssh(instance_id)
    assert again.ssh(instance_id, "cat kept") == "mine\n"


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["auto", "plain"])
def test_a_killed_server(tmp_path: Path, variant: str) -> None:
    state = tmp_path / "state"
    server, exported, _ = serve(state, "--variant", variant)
    api = boto3.client(
        "ec2",
        endpoint_url=exported["AWS_ENDPOINT_URL"],
        region_name=exported["AWS_DEFAULT_REGION"],
        aws_access_key_id=exported["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=exported["AWS_SECRET_ACCESS_KEY"],
    )
    subnet = min(api.describe_subnets()["Subnets"], key=lambda s: s["CidrBlock"])["SubnetId"]
    image = api.describe_images(Owners=["self"])["Images"][0]["ImageId"]
    launched = api.run_instances(
        ImageId=image, SubnetId=subnet, InstanceType="t3.small", MinCount=2, MaxCount=2,
        KeyName="cloudjhub-local",
    )  # fmt: skip
    ids = [i["InstanceId"] for i in launched["Instances"]]
    wait_for("machines", lambda: len(list((state / "machines").glob("*/sshd.pid"))) == 2)
    saved = state / "state.pickle"
    wait_for("the state to be saved", lambda: ids[1].encode() in saved.read_bytes())
    server.send_signal(signal.SIGKILL)
    server.wait()
    assert server.stdout is not None
    server.stdout.close()
    wait_for("the machines to follow their server", lambda: not processes.Finder(state)())
    with LocalEC2(state, LocalSettings(**vars(INSTANT) | {"variant": variant})) as ec2:
        cloud = Cloud(ec2)
        assert [cloud.state(instance_id) for instance_id in ids] == ["stopped", "stopped"]
        cloud.api.start_instances(InstanceIds=ids)
        for instance_id in ids:
            cloud.wait_ssh(instance_id)


def test_leftovers_are_ended_even_without_their_reaper(make_cloud: Callable[..., Cloud]) -> None:
    cloud = make_cloud()
    instance_id = cloud.launch()[0]
    cloud.wait_ssh(instance_id)
    state = cloud.ec2.state_dir
    stray = subprocess.Popen(
        ["sleep", "1000"],
        env={processes.STATE_VARIABLE: str(state), processes.ID_VARIABLE: instance_id},
    )
    other = subprocess.Popen(["sleep", "1000"], env={processes.STATE_VARIABLE: f"{state}-2"})
    try:
        processes.kill_all(processes.Finder(state))
        assert stray.wait(timeout=60) == -signal.SIGKILL
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_one_folder_has_one_server(make_cloud: Callable[..., Cloud]) -> None:
    cloud = make_cloud()
    with pytest.raises(LocalEC2Error, match=f"process {os.getpid()}\\) is using"):
        LocalEC2(cloud.ec2.state_dir, INSTANT).start()
    assert cloud.api.describe_instances()["Reservations"] == []


@pytest.mark.slow
def test_two_servers_do_not_share_addresses(make_cloud: Callable[..., Cloud]) -> None:
    first, second = make_cloud(state="first"), make_cloud(state="second")
    here, there = first.launch()[0], second.launch()[0]
    first.wait_ssh(here)
    second.wait_ssh(there)
    addresses = {
        cloud.instance(i)["PrivateIpAddress"].split(".")[1]
        for cloud, i in ((first, here), (second, there))
    }
    assert len(addresses) == 2


@pytest.mark.slow
def test_unreadable_state_is_put_aside(
    make_cloud: Callable[..., Cloud], caplog: pytest.LogCaptureFixture
) -> None:
    cloud = make_cloud()
    instance_id = cloud.launch()[0]
    cloud.wait_ssh(instance_id)
    cloud.ec2.stop()
    state = cloud.ec2.state_dir
    (state / "state.pickle").write_bytes(b"no pickle")
    with caplog.at_level(logging.ERROR):
        cloud.ec2.start()
    assert "cannot read" in caplog.text and "untouched" in caplog.text
    assert [p.read_bytes() for p in state.glob("state.pickle.unreadable-*")] == [b"no pickle"]
    assert (state / "machines" / instance_id / "host_key").exists()
    assert Cloud(cloud.ec2).api.describe_instances()["Reservations"] == []


def test_what_was_ending_has_ended(make_cloud: Callable[..., Cloud]) -> None:
    cloud = make_cloud(LocalSettings(**vars(INSTANT) | {"variant": "standin"}))
    stopping, ending, starting = cloud.launch(3)
    for instance_id in (stopping, ending):
        cloud.wait_state(instance_id, "running")
    for stage in ("stopping", "shutting_down"):
        cloud.ec2.faults.hold(stage)
    cloud.api.stop_instances(InstanceIds=[stopping])
    cloud.api.terminate_instances(InstanceIds=[ending])
    cloud.ec2.stop()
    cloud.ec2.start()
    again = Cloud(cloud.ec2)
    assert again.state(stopping) == again.state(starting) == "stopped"
    again.wait_state(ending, "terminated")


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis").write_text("precious")
    tmp_path.chmod(0o755)
    with pytest.raises(LocalEC2Error, match="other things"):
        LocalEC2(tmp_path, INSTANT).start()
    assert os.listdir(tmp_path) == ["thesis"]
    assert tmp_path.stat().st_mode & 0o777 == 0o755
