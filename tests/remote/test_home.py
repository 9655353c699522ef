"""The home volume: formatted once in its life, never when it holds anything, mounted as it is."""

import shutil
import stat
import subprocess
import sys
import threading
from dataclasses import replace

import pytest

from cloudjhub import notebook
from cloudjhub.errors import NotebookError
from cloudjhub.notebook import NotebookPlan
from cloudjhub.worker import home_disk

VOLUME = "vol-0123456789abcdef0"
PLAN = NotebookPlan(
    command=(sys.executable, "-c", "import time; time.sleep(600)"),
    environment={},
    account="jupyter",
    port=8888,
    home_volume_id=VOLUME,
)


@pytest.fixture
def home(fresh_machine):
    return fresh_machine.root / "home/jupyter"


def start(machine) -> notebook.NotebookState:
    plan = replace(PLAN, environment=_address(machine))
    with machine.connect() as session:
        return notebook.start(session, plan)


def _address(machine) -> dict[str, str]:
    return {"JUPYTERHUB_SERVICE_URL": f"http://{machine.target.host}:8888/"}


def calls(machine) -> list[str]:
    file = machine.root / "calls"
    return [line.split()[0] for line in file.read_text().splitlines()] if file.exists() else []


def detach(machine, home) -> None:
    """As after stop and start of the machine: nothing mounted."""
    home.unlink()
    (machine.root / "calls").unlink()


def test_blank_volume_is_formatted_once_and_never_again(fresh_machine, home):
    skeleton = fresh_machine.root / "etc/skel/.config"
    skeleton.mkdir(parents=True)
    (skeleton / "first").write_text("from the skeleton")
    fresh_machine.attach(VOLUME)
    assert start(fresh_machine).home == "formatted"
    assert calls(fresh_machine) == ["mkfs", "mount"]
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert (home / ".config/first").read_text() == "from the skeleton"
    (home / "work").write_text("precious")
    (home / ".config/first").unlink()

    assert start(fresh_machine).home == "already"
    assert calls(fresh_machine) == ["mkfs", "mount"]

    detach(fresh_machine, home)
    assert start(fresh_machine).home == "mounted"
    assert calls(fresh_machine) == ["mount"]
    assert (home / "work").read_text() == "precious"
    assert not (home / ".config/first").exists()


@pytest.mark.slow
def test_status_tells_whether_the_home_is_mounted(fresh_machine):
    fresh_machine.attach(VOLUME)
    with fresh_machine.connect() as session:
        assert notebook.status(session, account="jupyter").home == "root-disk"
        start(fresh_machine)
        assert notebook.status(session, account="jupyter").home == "already"


@pytest.mark.slow
def test_other_file_system_is_mounted_as_it_is(fresh_machine, home):
    volume = fresh_machine.attach(VOLUME, kind="xfs")
    (volume / "data/work").write_text("precious")
    assert start(fresh_machine).home == "mounted"
    assert calls(fresh_machine) == ["mount"]
    assert (home / "work").read_text() == "precious"


def test_unmountable_volume_is_named_and_left_alone(fresh_machine):
    volume = fresh_machine.attach(VOLUME, kind="crypto_LUKS")
    shutil.rmtree(volume / "data")
    with pytest.raises(NotebookError, match=f"{VOLUME} could not be mounted: wrong fs type"):
        start(fresh_machine)
    assert calls(fresh_machine) == ["mount"]


@pytest.mark.slow
def test_failing_mkfs_is_named(fresh_machine):
    volume = fresh_machine.attach(VOLUME)
    (volume / "refuse").touch()
    with pytest.raises(NotebookError, match=f"{VOLUME} could not be formatted: device is broken"):
        start(fresh_machine)


def test_blkid_that_fails_formats_nothing(fresh_machine):
    fresh_machine.attach(VOLUME)
    (fresh_machine.root / "shims/blkid").write_text("#!/bin/sh\necho ambivalent >&2\nexit 8\n")
    with pytest.raises(NotebookError, match=r"it was not touched\. ambivalent"):
        start(fresh_machine)
    assert calls(fresh_machine) == []


@pytest.mark.slow
def test_volume_that_appears_late_is_waited_for(fresh_machine, wait_for):
    def attach() -> None:
        wait_for("the helper", lambda: (fresh_machine.root / "run/cloudjhub/runtime").exists())
        fresh_machine.attach(VOLUME)

    late = threading.Thread(target=attach)
    late.start()
    assert start(fresh_machine).home == "formatted"
    late.join()


def test_volume_that_never_appears_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("CLOUDJHUB_ROOT", str(tmp_path))
    monkeypatch.setattr(home_disk, "VOLUME_WAIT_SECONDS", 0.1)
    with pytest.raises(home_disk.Trouble, match=f"{VOLUME} did not appear"):
        home_disk._wait_for_volume(VOLUME)


@pytest.fixture
def blocks(monkeypatch, tmp_path):
    """Makes the name of a device of this very test a block device, as far as stat tells."""
    monkeypatch.setenv("CLOUDJHUB_ROOT", str(tmp_path))
    monkeypatch.setattr(home_disk, "VOLUME_WAIT_SECONDS", 0.1)
    (tmp_path / "dev/disk/by-id").mkdir(parents=True)
    made: set[str] = set()
    monkeypatch.setattr(home_disk, "_is_block_device", lambda path: path in made)

    def add(name: str) -> str:
        made.add(path := str(tmp_path / name))
        return path

    return add


@pytest.mark.parametrize("name", ["dev/xvdf", "dev/sdf"])
def test_volume_shows_by_its_device_name_without_nvme(blocks, name):
    device = blocks(name)
    assert home_disk._wait_for_volume(VOLUME) == device


def test_link_by_id_wins_over_a_device_name(blocks, tmp_path):
    blocks("dev/xvdf")
    link = tmp_path / (home_disk.LINK[1:] + VOLUME.replace("-", ""))
    link.symlink_to(tmp_path)
    assert home_disk._wait_for_volume(VOLUME) == str(link)


def test_device_name_is_not_trusted_on_a_machine_with_nvme(blocks, tmp_path):
    """Which links at least its root volume."""
    blocks("dev/sdf")
    (tmp_path / (home_disk.LINK[1:] + "vol0root")).symlink_to(tmp_path)
    with pytest.raises(home_disk.Trouble, match=f"{VOLUME} did not appear"):
        home_disk._wait_for_volume(VOLUME)


def test_file_with_a_device_name_is_no_volume(monkeypatch, tmp_path):
    monkeypatch.setenv("CLOUDJHUB_ROOT", str(tmp_path))
    monkeypatch.setattr(home_disk, "VOLUME_WAIT_SECONDS", 0.1)
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/xvdf").touch()
    with pytest.raises(home_disk.Trouble, match=f"{VOLUME} did not appear"):
        home_disk._wait_for_volume(VOLUME)


@pytest.mark.slow
def test_home_on_the_root_disk_keeps_its_files(fresh_machine, home):
    home.mkdir(parents=True)
    (home / "work").write_text("precious")
    plan = replace(PLAN, home_volume_id=None, environment=_address(fresh_machine))
    with fresh_machine.connect() as session:
        assert notebook.start(session, plan).home == "root-disk"
    assert (home / "work").read_text() == "precious"
    assert calls(fresh_machine) == []


@pytest.fixture
def mounted(fresh_machine):
    """mounted(options) puts a tiny real file system behind the volume; root only."""
    folder = fresh_machine.attach(VOLUME, kind="ext4") / "data"
    done = []

    def mount(options: str):
        command = ["/bin/mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if subprocess.run(command, capture_output=True).returncode != 0:
            pytest.skip("mounting needs root")
        done.append(folder)
        return folder

    yield mount
    for folder in done:
        subprocess.run(["/bin/umount", "-l", str(folder)], check=True)


@pytest.mark.slow
def test_full_home_still_starts(fresh_machine, mounted):
    folder = mounted("size=64k")
    with pytest.raises(OSError), (folder / "big").open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    assert start(fresh_machine).running


@pytest.mark.slow
def test_read_only_home_is_named(fresh_machine, mounted):
    mounted("ro,size=64k")
    with pytest.raises(NotebookError, match=f"{VOLUME} is mounted read-only"):
        start(fresh_machine)
