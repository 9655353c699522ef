"""The watch where it is at home: a unit of systemd, there again after a boot that no hub saw."""

from collections.abc import Iterator

import pytest
from machines.clouds import BootedCloud
from machines.test_booted_notebooks import PREPARED, Worker

from cloudjhub import notebook
from cloudjhub.notebook import Watch
from cloudjhub.worker.watch_install import KEPT_FOLDER

pytestmark = pytest.mark.slow

UNIT = "cloudjhub-watch.service"
LATER = Watch(
    limit_seconds=3600, grace_seconds=600, busy_cpu_percent=50, busy_gpu_percent=10, busy_minutes=5
)
#: what a booting machine takes of its processors is no work
SOON = Watch(
    limit_seconds=5, grace_seconds=6, busy_cpu_percent=1000, busy_gpu_percent=90, busy_minutes=5
)
OFF = "Client.InstanceInitiatedShutdown"


@pytest.fixture(scope="module")
def worker(cloud: BootedCloud) -> Iterator[Worker]:
    instance = cloud.booted(UserData=PREPARED)
    cloud.ssh(instance, "cloud-init status --wait >/dev/null", 120)
    yield Worker(cloud, instance, "")
    cloud.terminate(instance)


def start(worker: Worker, watch: Watch) -> None:
    with worker.login() as session:
        state = notebook.start(session, worker.plan(home_volume_id=None, watch=watch))
        assert (state.running, state.log_tail) == (True, "")


def watcher(worker: Worker, *earlier: str) -> str:
    """The pid of one that is none of the earlier ones, once it watches."""
    main = f"systemctl show -P MainPID {UNIT}"

    def watches() -> str | None:
        pid = worker.inside(main).strip()
        held = worker.inside(f"cat {KEPT_FOLDER}/lock 2>/dev/null || true").strip()
        return pid if pid == held and pid not in earlier else None

    return worker.cloud.wait("the watch to begin", watches)


def went_off(worker: Worker) -> int:
    """How often its console says so."""
    return worker.cloud.ec2.machines.get(worker.id).console().count("powers the machine off")


def test_it_is_installed_once_and_renewed_when_there_is_a_later_one(worker: Worker):
    start(worker, LATER)
    first = watcher(worker)
    assert worker.inside(f"systemctl is-enabled {UNIT}; systemctl is-active {UNIT}").split() == [
        "enabled",
        "active",
    ]
    start(worker, LATER)
    assert watcher(worker) == first
    # Neither what it is nor what it heeds is for others.
    denied = f"runuser -u jupyter -- ls {KEPT_FOLDER} 2>&1 || true"
    assert "Permission denied" in worker.inside(denied)

    # An earlier version, which hangs besides.
    worker.inside(
        f"printf 'import signal\\nsignal.pause()\\n' > {KEPT_FOLDER}/watch.pyz;"
        f"systemctl restart {UNIT}; echo 1 > {KEPT_FOLDER}/lock"
    )
    hanging = worker.inside(f"systemctl show -P MainPID {UNIT}").strip()
    start(worker, LATER)
    watcher(worker, first, hanging)
    assert "watch.py" in worker.inside(f"python3 -m zipfile --list {KEPT_FOLDER}/watch.pyz")


def test_without_a_hub_it_goes_off_and_after_a_boot_by_others_again(worker: Worker):
    before = went_off(worker)
    start(worker, SOON)
    worker.cloud.wait_state(worker.id, "stopped")
    assert worker.cloud.reason(worker.id) == OFF
    assert went_off(worker) == before + 1

    # Started behind the hub's back: nobody logs in to it.
    worker.cloud.api.start_instances(InstanceIds=[worker.id])
    worker.cloud.wait("it to go off again", lambda: went_off(worker) == before + 2)
    worker.cloud.wait_state(worker.id, "stopped")
    assert worker.cloud.reason(worker.id) == OFF
    words = worker.cloud.ec2.machines.get(worker.id).console()
    assert "the hub is out of reach" in words and "there is no notebook server" in words
