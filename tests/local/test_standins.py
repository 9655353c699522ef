"""Stand-ins: one process that behaves, at every address, as a machine of its own would."""

import json
import os
import signal
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from local.clouds import INSTANT, Cloud

from cloudjhub import notebook, remote
from cloudjhub.demo.processes import Process
from cloudjhub.errors import LoginRefused, MachineNotAnswering, NotebookError
from cloudjhub.local import LocalEC2, LocalSettings
from cloudjhub.local.machines.standins import control
from cloudjhub.local.settings import LocalEC2Error
from cloudjhub.remote_values import Target

pytestmark = pytest.mark.slow

PORT = 8888
HOME = [{"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1}}]


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """Shared: each test has machines of its own."""
    folder = tmp_path_factory.mktemp("standins") / "state"
    with LocalEC2(folder, LocalSettings(**vars(INSTANT) | {"variant": "standin"})) as ec2:
        yield Cloud(ec2)


def up(cloud: Cloud, count: int = 1, **changes: Any) -> list[str]:
    ids = cloud.launch(count, BlockDeviceMappings=HOME, **changes)
    for instance_id in ids:
        cloud.wait(f"{instance_id} on", lambda i=instance_id: record(cloud, i).get("is_on"))
    return ids


def record(cloud: Cloud, instance_id: str) -> dict[str, Any]:
    found = [r for r in cloud.ec2.servers() if r["instance_id"] == instance_id]
    return found[0] if found else {}


def connect(cloud: Cloud, instance_id: str, pinned: str | None = None, **changes: Any):
    target = {
        "host": record(cloud, instance_id).get("address"),
        "port": cloud.config["WORKER_SSH_PORT"],
        "username": cloud.config["WORKER_USERNAME"],
        "key_file": cloud.config["WORKER_KEY_FILE"],
    }
    return remote.connect(Target(**target | changes), pinned, 30.0)


def start(cloud: Cloud, instance_id: str, user: str, volume: str | None = None):
    environment = {"JUPYTERHUB_USER": user, "JUPYTERHUB_API_TOKEN": f"secret-of-{user}"}
    plan = notebook.NotebookPlan(
        command=("jupyterhub-singleuser",),
        environment=environment,
        account=cloud.config["NOTEBOOK_USERNAME"],
        port=PORT,
        home_volume_id=volume,
    )
    with connect(cloud, instance_id) as session:
        return notebook.start(session, plan)


def asked(cloud: Cloud, instance_id: str) -> tuple[dict[str, Any], str]:
    """What its notebook server says, and of which JupyterHub it is."""
    address = cloud.instance(instance_id)["PrivateIpAddress"]
    with urllib.request.urlopen(f"http://{address}:{PORT}/user/x/api", timeout=30) as answer:
        return json.load(answer), answer.headers["X-JupyterHub-Version"]


def test_each_runs_its_own_server_and_says_whose(cloud: Cloud) -> None:
    first, second = up(cloud, 2)
    volume = cloud.volume_at(first, "/dev/sdf")
    with pytest.raises(urllib.error.URLError, match="refused"):
        asked(cloud, first)
    state = start(cloud, first, "ada", volume)
    assert (state.running, state.home) == (True, "formatted")
    start(cloud, second, "bob")

    said, version = asked(cloud, first)
    assert (said["user"], said["machine"]) == ("ada", first)
    assert version.startswith("6.")
    assert asked(cloud, second)[0]["user"] == "bob"
    running = record(cloud, first)["running"]
    assert (running["user"], running["home_volume_id"]) == ("ada", volume)
    assert "secret" not in json.dumps(cloud.ec2.servers())
    with urllib.request.urlopen(f"{cloud.ec2.endpoint_url}/_local/servers") as answer:
        assert json.load(answer) == cloud.ec2.servers()

    with connect(cloud, first) as session:
        assert notebook.status(session).running
        notebook.stop(session)
        assert not notebook.status(session).running
    with pytest.raises(urllib.error.URLError, match="refused"):
        asked(cloud, first)
    assert asked(cloud, second)[0]["user"] == "bob"


def test_only_the_key_pair_opens_only_the_control_account(cloud: Cloud, tmp_path: Path) -> None:
    (machine,) = up(cloud)
    for changes in ({"username": "root"}, {"key_file": str(other_key(tmp_path))}):
        with pytest.raises(LoginRefused):
            connect(cloud, machine, **changes)
    with connect(cloud, machine) as session:
        output = session.run("rm -rf /", timeout_seconds=30)
    assert output.exit_code == 127 and "stand-in" in output.text


def other_key(folder: Path) -> Path:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = folder / "key"
    key.write_bytes(
        Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        )
    )
    return key


def test_a_machine_keeps_its_host_key_and_its_volume_but_no_server(cloud: Cloud) -> None:
    (machine,) = up(cloud)
    volume = cloud.volume_at(machine, "/dev/sdf")
    start(cloud, machine, "cyd", volume)
    with connect(cloud, machine) as session:
        pinned = session.fingerprint
    assert cloud.ec2.engine.machines.kind.standins.fingerprint(machine) == pinned
    counted = record(cloud, machine)
    assert (counted["contacts"], counted["logins"], counted["commands"]) == (2, 2, 1)
    address = cloud.instance(machine)["PrivateIpAddress"]
    cloud.api.stop_instances(InstanceIds=[machine])
    cloud.wait_state(machine, "stopped")
    with pytest.raises(MachineNotAnswering, match="refused"):
        connect(cloud, machine, host=address)
    assert record(cloud, machine)["running"] is None

    cloud.api.start_instances(InstanceIds=[machine])
    cloud.wait(f"{machine} on", lambda: record(cloud, machine)["is_on"])
    with connect(cloud, machine, pinned) as session:
        assert not notebook.status(session).running
    assert start(cloud, machine, "cyd", volume).home == "mounted"
    assert [server["user"] for server in record(cloud, machine)["started"]] == ["cyd", "cyd"]


def test_a_machine_that_hangs_accepts_and_says_nothing(cloud: Cloud) -> None:
    hangs, well = up(cloud, 2)
    start(cloud, hangs, "dan")
    address = cloud.instance(hangs)["PrivateIpAddress"]
    cloud.ec2.faults.hang(hangs)
    target = Target(address, cloud.config["WORKER_SSH_PORT"], "ubuntu", "no-such-file")
    with pytest.raises(MachineNotAnswering, match="no SSH server spoke"):
        remote.connect(
            Target(target.host, target.port, "ubuntu", cloud.config["WORKER_KEY_FILE"]), None, 0.5
        )
    with pytest.raises(TimeoutError):
        urllib.request.urlopen(f"http://{address}:{PORT}/", timeout=0.5)
    start(cloud, well, "eve")
    cloud.ec2.faults.release(hangs)
    assert asked(cloud, hangs)[0]["user"] == "dan"


def test_a_machine_that_dies_is_noticed_and_one_that_is_terminated_is_forgotten(
    cloud: Cloud,
) -> None:
    dies, goes = up(cloud, 2)
    start(cloud, goes, "flo")
    address = cloud.instance(goes)["PrivateIpAddress"]
    cloud.ec2.faults.die(dies)
    cloud.wait_state(dies, "stopped")
    cloud.api.terminate_instances(InstanceIds=[goes])
    cloud.wait_state(goes, "terminated")
    assert record(cloud, goes) == {}
    with pytest.raises(MachineNotAnswering, match="refused"):
        connect(cloud, goes, host=address)


def test_a_volume_that_is_not_attached_is_no_home(cloud: Cloud) -> None:
    (machine,) = up(cloud)
    volume = cloud.volume_at(machine, "/dev/sdf")
    cloud.api.detach_volume(VolumeId=volume)
    cloud.wait_volume(volume, "available")
    with pytest.raises(NotebookError, match=volume):
        start(cloud, machine, "gus", volume)
    assert record(cloud, machine)["running"] is None
    cloud.api.attach_volume(VolumeId=volume, InstanceId=machine, Device="/dev/sdf")
    cloud.wait_attached(volume)
    assert start(cloud, machine, "gus", volume).home == "formatted"


def test_fifty_take_no_thread_and_no_process_more(
    make_cloud: Callable[..., Cloud],
) -> None:
    cloud = make_cloud(LocalSettings(**vars(INSTANT) | {"variant": "standin"}))
    up(cloud)
    process, threads = cloud.ec2.engine.machines.kind.standins.pid, threading.active_count()
    up(cloud, 50)
    assert sum(r["is_on"] for r in cloud.ec2.servers()) == 51
    assert cloud.ec2.engine.machines.kind.standins.pid == process
    # Threads of HTTP connections and of the scheduler come and go; 50 machines have none.
    assert threading.active_count() < threads + 25
    assert len(os.listdir(f"/proc/{process}/task")) < 25
    cloud.ec2.stop()
    assert not os.path.exists(f"/proc/{process}")


def test_machines_that_are_processes_have_to_be_asked_themselves(
    make_cloud: Callable[..., Cloud],
) -> None:
    cloud = make_cloud(LocalSettings(**vars(INSTANT) | {"variant": "plain"}))
    with pytest.raises(LocalEC2Error, match="plain"):
        cloud.ec2.servers()


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_a_process_that_hangs_or_dies_gives_way_to_another(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    up(cloud)
    standins = cloud.ec2.engine.machines.kind.standins
    before = Process.of(standins.pid)
    with monkeypatch.context() as patch:
        patch.setattr(control, "_ANSWER_SECONDS", 0.5)
        patch.setattr(control, "_END_SECONDS", 0.5)
        os.kill(before.pid, number)
        # Whoever gives an order first is told; the local EC2 itself gives some, too.
        with suppress(LocalEC2Error):
            cloud.ec2.servers()
    assert cloud.ec2.servers() == []
    assert not before.alive
    (machine,) = up(cloud)
    assert standins.pid not in (None, before.pid)
    start(cloud, machine, "ada")
    assert asked(cloud, machine)[0]["user"] == "ada"
