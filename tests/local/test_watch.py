"""The watch on machines of this computer: what keeps it waiting, and who ends when it does not."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from local.clouds import INSTANT, Cloud
from local.test_machines import VARIANTS
from remote.servers import STAND_IN, free_port

from cloudjhub import notebook
from cloudjhub.local import LocalSettings
from cloudjhub.notebook import NotebookPlan, Watch
from cloudjhub.remote import connect
from cloudjhub.remote_values import Target

pytestmark = pytest.mark.slow

#: nobody listens on the port of "discard"
NO_HUB = "http://127.0.0.1:9/hub/api"
SOON = Watch(
    limit_seconds=3, grace_seconds=4, busy_cpu_percent=90, busy_gpu_percent=90, busy_minutes=5
)
LATER = Watch(
    limit_seconds=3600, grace_seconds=600, busy_cpu_percent=50, busy_gpu_percent=10, busy_minutes=5
)
#: takes a tenth of a processor or more, most of it in children that end at once
JOB = "until test -e enough; do sleep 0.01; done"
OFF = "Client.InstanceInitiatedShutdown"


class Watched:
    """A machine with a notebook server whose hub is gone."""

    def __init__(self, cloud: Cloud):
        self.cloud = cloud
        (self.id,) = cloud.launch()
        cloud.wait_ssh(self.id)
        self.folder = "$CLOUDJHUB_ROOT/run/cloudjhub"

    def start(self, watch: Watch = SOON) -> None:
        config, address = self.cloud.config, self.address
        port = free_port(address)
        target = Target(
            address, config["WORKER_SSH_PORT"], config["WORKER_USERNAME"], config["WORKER_KEY_FILE"]
        )
        plan = NotebookPlan(
            command=("python3", STAND_IN, "serve", str(port)),
            environment={
                "JUPYTERHUB_API_URL": NO_HUB,
                "JUPYTERHUB_SERVICE_URL": f"http://{address}:{port}/",
            },
            account=config["NOTEBOOK_USERNAME"],
            port=port,
            home_volume_id=None,
            watch=watch,
        )
        with connect(target, timeout_seconds=60) as session:
            assert notebook.start(session, plan).log_tail == ""

    def start_for_long(self) -> str:
        """The pid of the watch, once it runs: a start does not wait for that."""
        self.start(LATER)
        deadline = time.monotonic() + 120
        while True:
            pid = self.inside(f"cat {self.folder}/watch/lock || true").strip()
            if self.watchers() == [pid]:
                return pid
            log = self.inside(f"cat {self.folder}/watch/log || true")
            assert time.monotonic() < deadline, f"{pid!r} does not watch alone.\n{log}"

    @property
    def address(self) -> str:
        return self.cloud.instance(self.id)["PrivateIpAddress"]

    def inside(self, script: str) -> str:
        return self.cloud.ssh(self.id, script)

    def watchers(self) -> list[str]:
        """Pids of the watches that run on it."""
        return self.inside(f'pgrep -f -- "-I {self.folder}/watch/watch[.]pyz" || true').split()

    def wait_off(self) -> None:
        self.cloud.wait_state(self.id, "stopped")
        assert self.cloud.instance(self.id)["StateReason"]["Code"] == OFF

    @contextmanager
    def helper_at_work(self) -> Iterator[None]:
        """Once a watch runs, somebody there holds what every start and stop of a notebook holds."""
        log = f"{self.folder}/watch/log"
        until_then = f"until grep -qs watches {log}; do sleep 0.05; done"
        with self._ssh(f"{until_then}; exec flock {self.folder}/lock cat"):
            yield

    @contextmanager
    def shell(self) -> Iterator[None]:
        """Somebody is logged in at a terminal, and reads."""
        with self._ssh("exec cat", "-tt"):
            yield

    @contextmanager
    def _ssh(self, command: str, *options: str) -> Iterator[None]:
        config = self.cloud.config
        words = ["ssh", "-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "LogLevel=ERROR"]
        words += ["-o", "UserKnownHostsFile=/dev/null", "-i", config["WORKER_KEY_FILE"], *options]
        words += [
            "-p",
            str(config["WORKER_SSH_PORT"]),
            f"{config['WORKER_USERNAME']}@{self.address}",
        ]
        process = subprocess.Popen(
            [*words, f"echo begun; {command}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        try:
            assert process.stdout and process.stdout.readline().strip() == b"begun"
            yield
        finally:
            process.kill()
            process.communicate()


@pytest.fixture(params=VARIANTS)
def both(request: pytest.FixtureRequest, make_cloud: Callable[..., Cloud]) -> Cloud:
    return make_cloud(LocalSettings(**vars(INSTANT) | {"variant": request.param}))


def test_it_goes_off_but_not_under_who_works_on_it(both: Cloud):
    helped, read, computed, left = (Watched(both) for _ in range(4))
    computed.inside(f"nohup sh -c '{JOB}' >/dev/null 2>&1 &")
    with helped.helper_at_work(), read.shell():
        for machine in (helped, read, left):
            machine.start()
        computed.start(replace(SOON, busy_cpu_percent=2, limit_seconds=8, grace_seconds=8))
        left.wait_off()
        kept = (helped, read, computed)
        assert [both.state(machine.id) for machine in kept] == ["running"] * 3
        computed.inside("touch enough")
    for machine in kept:
        machine.wait_off()
    console = both.api.get_console_output(InstanceId=left.id)["Output"]
    assert f"{left.id} powers itself off" in console


def test_one_watch_runs_and_it_is_the_latest(cloud: Cloud):
    machine = Watched(cloud)
    first = machine.start_for_long()
    assert machine.start_for_long() == first

    # As an earlier version of it would have been.
    machine.inside(f"echo >> {machine.folder}/watch/watch.pyz")
    second = machine.start_for_long()
    assert second != first
    # One that died is there again with the next start, and heeds what another says.
    machine.inside(f"kill -9 {second}")
    assert machine.start_for_long() not in (first, second)
    machine.start(SOON)
    machine.wait_off()
