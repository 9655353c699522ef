"""The notebook helper where it is at home: systemd, a journal, a real block device, accounts."""

import json
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from machines.clouds import HOME_DEVICE, BootedCloud
from remote.servers import STAND_IN, TOKEN

from cloudjhub import notebook
from cloudjhub.errors import LoginRefused, MachineNotAnswering, NotebookError
from cloudjhub.notebook import NotebookPlan
from cloudjhub.remote import Session, connect
from cloudjhub.remote_values import Target

pytestmark = pytest.mark.slow

PORT = 8888
SERVER = "/opt/server.py"
UNIT = "cloudjhub-notebook.service"
ODD = 'two words, "quotes", $HOME, back\\slash,\nand a second line'
PREPARED = f"""#!/bin/sh
useradd --create-home --shell /bin/bash jupyter
cat > {SERVER} <<'END'
{Path(STAND_IN).read_text()}
END
"""


@dataclass
class Worker:
    """A machine with a home volume, as a launch for a user makes it."""

    cloud: BootedCloud
    id: str
    volume: str

    @property
    def address(self) -> str:
        return self.cloud.instance(self.id)["PrivateIpAddress"]

    def plan(self, mode: str = "serve", **changes: Any) -> NotebookPlan:
        plan = NotebookPlan(
            command=("python3", SERVER, mode, str(PORT)),
            environment={
                "JUPYTERHUB_API_TOKEN": TOKEN,
                "JUPYTERHUB_SERVICE_URL": f"http://0.0.0.0:{PORT}/user/x/",
                "ODD": ODD,
            },
            account="jupyter",
            port=PORT,
            home_volume_id=self.volume,
        )
        return replace(plan, **changes)

    def login(self) -> Session:
        """As soon as sshd takes the key: early in a boot it takes nobody's."""
        config = self.cloud.config
        key = config["WORKER_KEY_FILE"]
        target = Target(self.address, config["WORKER_SSH_PORT"], config["WORKER_USERNAME"], key)
        deadline = time.monotonic() + self.cloud.patience_seconds
        while True:
            try:
                return connect(target, timeout_seconds=30)
            except (MachineNotAnswering, LoginRefused):
                assert time.monotonic() < deadline, self.cloud.ec2.machines.get(self.id).console()
                time.sleep(0.1)

    def answer(self) -> dict[str, Any]:
        def ask() -> dict[str, Any] | None:
            try:
                url = f"http://{self.address}:{PORT}/"
                with urllib.request.urlopen(url, timeout=30) as answer:
                    return json.load(answer)
            except OSError:
                return None

        return self.cloud.wait("the server's answer", ask)

    def inside(self, script: str) -> str:
        return self.cloud.inside(self.id, script)

    def kernels(self) -> int:
        """Processes of the notebook account."""
        return len(self.inside("pgrep -u jupyter || true").split())


@pytest.fixture(scope="module")
def worker(cloud: BootedCloud) -> Iterator[Worker]:
    home = {"DeviceName": HOME_DEVICE, "Ebs": {"VolumeSize": 1, "DeleteOnTermination": True}}
    image = cloud.image(cloud.config["WORKER_AMI"])
    root = {"DeviceName": image["RootDeviceName"], "Ebs": {"VolumeSize": 8, "Encrypted": True}}
    instance = cloud.booted(
        UserData=PREPARED,
        BlockDeviceMappings=[root, home],
        HibernationOptions={"Configured": True},
    )
    cloud.ssh(instance, "cloud-init status --wait >/dev/null", 120)
    yield Worker(cloud, instance, cloud.volume_at(instance, HOME_DEVICE))
    cloud.terminate(instance)


def test_a_life_as_a_unit_with_the_home_on_its_own_volume(worker: Worker):
    with worker.login() as session:
        state = notebook.start(session, worker.plan())
        assert (state.running, state.home) == (True, "formatted")
    # Its session is gone, the server is not.
    said = worker.answer()
    environment = said["environment"]
    assert environment["JUPYTERHUB_API_TOKEN"] == TOKEN and environment["ODD"] == ODD
    assert said["folder"] == environment["HOME"] == "/home/jupyter"
    assert worker.inside(f"systemctl show -P User -P KillMode {UNIT}").split() == [
        "jupyter",
        "control-group",
    ]
    mounted = worker.inside("findmnt -no SOURCE,FSTYPE /home/jupyter").split()
    assert mounted == ["/dev/nvme1n1", "ext4"]
    assert worker.inside("stat -c '%U %a' /home/jupyter").split() == ["jupyter", "700"]
    worker.inside("runuser -u jupyter -- sh -c 'echo mine > ~/file'")

    with worker.login() as session:
        state = notebook.status(session, account="jupyter")
        assert state.running and state.home == "already" and "serving" in state.log_tail
        # What the server said aloud is in its log, and taken out of what the hub is told.
        assert TOKEN not in state.log_tail
        assert worker.kernels() >= 3
        notebook.stop(session)
        assert not notebook.status(session).running
        assert worker.kernels() == 0


def test_a_server_that_was_hibernated_goes_on_and_shows_its_token(worker: Worker):
    with worker.login() as session:
        pid = notebook.start(session, worker.plan()).pid
    worker.cloud.api.stop_instances(InstanceIds=[worker.id], Hibernate=True)
    worker.cloud.wait_state(worker.id, "stopped")
    worker.cloud.api.start_instances(InstanceIds=[worker.id])
    worker.cloud.wait_state(worker.id, "running")
    with worker.login() as session:
        assert notebook.resume(session, worker.plan()) == TOKEN
        assert notebook.status(session).pid == pid
        worker.answer()
        notebook.stop(session)
        assert notebook.resume(session, worker.plan()) is None


def test_its_secrets_are_in_no_place_that_others_can_read(worker: Worker):
    with worker.login() as session:
        notebook.start(session, worker.plan())
        worker.answer()
        stored = "stat -c '%U %a' /run/cloudjhub/private/notebook.env"
        assert worker.inside(stored).split() == ["root", "600"]
        shown = worker.inside(f"systemctl show {UNIT}; systemctl cat {UNIT}; ps -eo args")
        assert TOKEN not in shown
        denied = "runuser -u jupyter -- cat /run/cloudjhub/private/notebook.env 2>&1 || true"
        assert "Permission denied" in worker.inside(denied)
        notebook.stop(session)


def test_a_second_start_replaces_and_a_stubborn_server_is_ended(worker: Worker):
    with worker.login() as session:
        first = notebook.start(session, worker.plan("stubborn"))
        worker.answer()
        second = notebook.start(session, worker.plan())
        assert first.pid != second.pid
        worker.answer()
        notebook.stop(session)
    assert worker.kernels() == 0


def test_the_last_words_of_a_server_that_dies_are_in_the_journal(worker: Worker):
    with worker.login() as session:
        try:
            notebook.start(session, worker.plan("die"))
            worker.cloud.wait("its end", lambda: not notebook.status(session).running)
            words = notebook.status(session).log_tail
        except NotebookError as error:
            words = error.log_tail
    assert "last words of the server" in words and TOKEN not in words


def test_after_stop_and_start_the_home_is_found_again_by_its_id(worker: Worker):
    with worker.login() as session:
        notebook.start(session, worker.plan())
    worker.cloud.stop(worker.id)
    # Another volume, attached while it is off, may come first: names say nothing.
    other = worker.cloud.new_volume()
    worker.cloud.attach(other, worker.id, "/dev/sde")
    worker.cloud.api.start_instances(InstanceIds=[worker.id])
    worker.cloud.wait_state(worker.id, "running")
    with worker.login() as session:
        assert not notebook.status(session).running
        state = notebook.start(session, worker.plan())
        assert (state.running, state.home) == (True, "mounted")
        assert worker.inside("cat /home/jupyter/file") == "mine\n"
        notebook.stop(session)
    worker.cloud.detach(other)
    worker.cloud.api.delete_volume(VolumeId=other)
