"""What of machines that boot can be tried without booting one, and without root."""

import os
import subprocess
from pathlib import Path

import pytest

from cloudjhub.local.machines.base import AttachedVolume
from cloudjhub.local.machines.booted import base_image, devices, disks, host_settings, kind
from cloudjhub.local.machines.booted.devices import Shown
from cloudjhub.local.settings import LocalEC2Error


class Device:
    """Stands for a loop device."""

    path = "/dev/loop300"
    number = os.makedev(7, 300)


def shown(device: str, number: int = 2) -> Shown:
    return Shown(AttachedVolume("vol-0abc", device, 1), Device(), number)


# The host ---------------------------------------------------------------------------------------


def test_only_root_has_such_machines(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(kind.os, "geteuid", lambda: 1000)
    with pytest.raises(LocalEC2Error, match="need root") as caught:
        kind.check_host()
    assert "sudo" in caught.value.remedy


def test_missing_programs_are_named_by_their_packages(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(kind.os, "geteuid", lambda: 0)
    monkeypatch.setattr(kind.shutil, "which", lambda name: None if name == "mmdebstrap" else name)
    with pytest.raises(LocalEC2Error, match="mmdebstrap") as caught:
        kind.check_host()
    assert "apt install mmdebstrap" in caught.value.remedy


# The base image ---------------------------------------------------------------------------------


def test_the_image_is_named_by_its_recipe(monkeypatch: pytest.MonkeyPatch):
    before = base_image.key()
    assert before == base_image.key()
    monkeypatch.setattr(base_image, "PACKAGES", (*base_image.PACKAGES, "cowsay"))
    assert base_image.key() != before


def test_where_images_are_kept(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv(base_image.FOLDER_VARIABLE, raising=False)
    assert base_image.cache_folder() == Path("/var/cache/cloudjhub-images")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert base_image.cache_folder() == Path("/somewhere/cloudjhub-images")
    monkeypatch.setenv(base_image.FOLDER_VARIABLE, "/elsewhere")
    assert base_image.cache_folder() == Path("/elsewhere")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An image cache of this test's own, and an mmdebstrap that does what ``program`` says."""
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv(base_image.FOLDER_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    # Namespaces are root's.
    pretend(programs, "unshare", 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"')
    return programs


def pretend(programs: Path, name: str, script: str) -> None:
    (programs / name).write_text(f"#!/bin/sh\n{script}\n")
    (programs / name).chmod(0o755)


MAKES = 'for word; do case $word in *.draft-*) touch "$word/made";; esac; done'


def test_an_image_that_was_not_finished_is_not_used(cache: Path):
    pretend(cache, "mmdebstrap", f"{MAKES}; echo no mirror; exit 1")
    with pytest.raises(LocalEC2Error, match="no mirror"):
        base_image.ensure()
    folder = base_image.cache_folder()
    assert [path.suffix for path in folder.iterdir()] == [".lock"]
    # What a killed process left.
    (folder / f"{base_image.key()}.draft-left").mkdir()
    pretend(cache, "mmdebstrap", MAKES)
    tree = base_image.ensure()
    assert (tree / "made").exists()
    assert sorted(path.name for path in folder.iterdir()) == [tree.name, f"{tree.name}.lock"]
    pretend(cache, "mmdebstrap", "exit 1")
    assert base_image.ensure() == tree


# Settings of the host ---------------------------------------------------------------------------


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host whose settings are those that the test writes into this folder."""
    for name in [name for name in os.environ if name.startswith(("PIP_", "NODE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(host_settings, "_PIP_FILES", (str(tmp_path / "pip.conf"),))
    monkeypatch.setattr(host_settings, "_NPM_FILES", (str(tmp_path / "npmrc"),))
    monkeypatch.setattr(host_settings, "CA_FOLDER", tmp_path / "ca")
    monkeypatch.setattr(host_settings, "apt_lines", list)
    return tmp_path


def test_a_host_without_settings_gives_none(host: Path):
    root = host / "root"
    root.mkdir()
    host_settings.write(root)
    assert list(root.rglob("*")) == []
    assert host_settings.folders() == []


def test_settings_of_pip_and_npm_are_taken_over(host: Path, monkeypatch: pytest.MonkeyPatch):
    index, wheels = host / "mirror" / "simple", host / "wheels"
    index.mkdir(parents=True)
    wheels.mkdir()
    (host / "pip.conf").write_text(
        f"[global]\nindex-url = file://{index}\ncert = /own/bundle.pem\nquiet = 1\n"
    )
    (host / "npmrc").write_text("registry=https://npm.example/\n//npm.example/:_auth=secret\n")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    root = host / "root"
    host_settings.write(root)
    text = (root / "etc/pip.conf").read_text()
    assert f"index-url = file://{index}\n" in text and f"find-links = {wheels}\n" in text
    assert f"cert = {host_settings.CA_BUNDLE}\n" in text and "quiet" not in text
    assert (root / "etc/npmrc").read_text() == "registry=https://npm.example/\n"
    # The pages of an index point to files beside it.
    assert host_settings.folders() == [index.parent, wheels]


def test_apt_tells_how_mirrors_are_reached(monkeypatch: pytest.MonkeyPatch):
    dump = (
        'Acquire "";\nAcquire::Check-Date "false";\nAcquire::http::Proxy "http://proxy:3142";\n'
        'Acquire::https::Proxy "";\nAcquire::Languages:: "de";\n'
    )
    answer = subprocess.CompletedProcess([], 0, stdout=dump)
    monkeypatch.setattr(host_settings.shutil, "which", lambda name: name)
    monkeypatch.setattr(host_settings.subprocess, "run", lambda *_, **__: answer)
    assert host_settings.apt_lines() == [
        'Acquire::Check-Date "false";',
        'Acquire::http::Proxy "http://proxy:3142";',
    ]


# Disks ------------------------------------------------------------------------------------------


def test_the_names_of_a_volume():
    assert shown("/dev/sdf").nodes == ["/dev/nvme2n1", "/dev/loop300"]
    assert shown("/dev/sdf").links == ["/dev/sdf", "/dev/xvdf"]
    assert shown("/dev/xvdg").links == ["/dev/xvdg", "/dev/sdg"]
    assert shown("/dev/xvda", 0).links == []
    assert "mknod -m 660 /dev/nvme2n1 b 7 300" in devices.appear(shown("/dev/sdf"))
    assert devices.first_free([shown("/dev/sdf", 1), shown("/dev/sdg", 3)]) == 2


def test_a_snapshot_is_kept_while_a_machine_lies_on_it(tmp_path: Path):
    store = disks.Disks(tmp_path)
    for name, below in (("snap-1", "base:x"), ("snap-2", "snap-1 base:x"), ("snap-3", "base:x")):
        (tmp_path / "snapshots" / name).mkdir(parents=True)
        (tmp_path / "snapshots" / name / "layers").write_text(below)
    (tmp_path / "volumes" / "vol-1").mkdir(parents=True)
    (tmp_path / "volumes" / "vol-1" / "layers").write_text("snap-2 snap-1 base:x")
    store.remove_unused([])
    assert sorted(p.name for p in store.snapshots.iterdir()) == ["snap-1", "snap-2"]
    (tmp_path / "volumes" / "vol-1" / "layers").unlink()
    store.remove_unused(["snap-2"])
    assert sorted(p.name for p in store.snapshots.iterdir()) == ["snap-1", "snap-2"]
    (tmp_path / "snapshots" / "snap-4.draft").mkdir()
    store.remove_unused([])
    assert [p.name for p in store.snapshots.iterdir()] == ["snap-4.draft"]
    store.remove_drafts()
    assert list(store.snapshots.iterdir()) == []


def test_a_volume_is_sparse_grows_and_copies_its_snapshot(tmp_path: Path):
    store = disks.Disks(tmp_path)
    store.ensure(AttachedVolume("vol-1", gib=1))
    file = tmp_path / "volumes" / "vol-1" / "disk.img"
    assert file.stat().st_size == 1 << 30 and file.stat().st_blocks == 0
    with file.open("r+b") as opened:
        opened.write(b"content")
    store.take("vol-1", "snap-1")
    store.ensure(AttachedVolume("vol-2", gib=2, snapshot_id="snap-1"))
    copy = tmp_path / "volumes" / "vol-2" / "disk.img"
    assert copy.stat().st_size == 2 << 30 and copy.stat().st_blocks < 100
    with copy.open("rb") as opened:
        assert opened.read(7) == b"content"
