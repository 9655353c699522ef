"""The helper with the real blkid, mkfs.ext4, mount and runuser on a loop device; needs root."""

import json
import os
import pwd
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from cloudjhub import notebook
from cloudjhub.worker import home_disk, machine

VOLUME = "vol-0fedcba9876543210"
ANSWER_SECONDS = 120
OLD_UID = 4321


@dataclass
class RealMachine:
    """A root folder, a loop device behind the volume's link, an account that is not root."""

    root: Path
    image: Path
    device: str
    account: pwd.struct_passwd

    @property
    def home(self) -> Path:
        return self.root / "home" / self.account.pw_name

    def ask(self, verb: str) -> dict:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        request = {
            "verb": verb,
            "command": ["/usr/bin/env", "sleep", "600"],
            "environment": {"JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:{port}/"},
            "account": self.account.pw_name,
            "port": port,
            "home_volume_id": VOLUME,
        }
        done = subprocess.run(
            [sys.executable, "-I", "-c", notebook.BOOTSTRAP],
            input=notebook.helper_bytes() + json.dumps(request).encode(),
            capture_output=True,
            timeout=ANSWER_SECONDS,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "CLOUDJHUB_ROOT": str(self.root)},
        )
        text = (done.stdout + done.stderr).decode()
        return notebook.parse_answer(notebook.Output(done.returncode, text))

    def unmount(self) -> None:
        subprocess.run(["umount", str(self.home)], check=True)


def owner_of(path: Path) -> int:
    return path.lstat().st_uid


@contextmanager
def mounted_at(folder: Path) -> Iterator[None]:
    """Another file system inside the home."""
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def an_account() -> pwd.struct_passwd | None:
    return next((entry for entry in pwd.getpwall() if 1000 <= entry.pw_uid < 60000), None)


@pytest.fixture(name="real")
def real_machine() -> Iterator[RealMachine]:
    account = an_account()
    if os.getuid() != 0 or account is None:
        pytest.skip("needs root and an ordinary account")
    with tempfile.TemporaryDirectory(prefix="cloudjhub-") as folder:
        root = Path(folder)
        root.chmod(0o711)
        image = root / "image"
        with image.open("wb") as file:
            file.truncate(64 * 1024 * 1024)
        losetup = ["losetup", "--find", "--show", str(image)]
        made = subprocess.run(losetup, capture_output=True, text=True)
        if made.returncode != 0:
            pytest.skip("no loop devices here")
        real = RealMachine(root, image, made.stdout.strip(), account)
        links = root / "dev/disk/by-id"
        links.mkdir(parents=True)
        name = "nvme-Amazon_Elastic_Block_Store_" + VOLUME.replace("-", "")
        (links / name).symlink_to(real.device)
        try:
            yield real
        finally:
            real.ask("stop")
            with suppress(subprocess.CalledProcessError):
                real.unmount()
            subprocess.run(["losetup", "--detach", real.device], check=True)


def test_life_of_a_home(real):
    first = real.ask("start")
    assert first["ok"], first
    assert first["home"] == "formatted"
    assert os.path.ismount(real.home)
    assert real.home.stat().st_uid == real.account.pw_uid
    (real.home / "work").write_text("precious")
    runs_as = subprocess.check_output(["ps", "-eo", "user:32,args"], text=True).splitlines()
    sleepers = [line for line in runs_as if line.endswith(" sleep 600")]
    assert any(line.split()[0] == real.account.pw_name for line in sleepers)

    assert real.ask("start")["home"] == "already"
    assert real.ask("stop")["ok"]
    real.unmount()
    assert real.ask("start")["home"] == "mounted"
    assert (real.home / "work").read_text() == "precious"


@pytest.mark.slow
def test_interrupted_first_start_is_finished_by_the_next(real):
    """Formatted, but the helper was cut off before the home got its owner."""
    subprocess.run(["mkfs.ext4", "-q", real.device], check=True)
    assert real.ask("start")["home"] == "mounted"
    assert real.home.stat().st_uid == real.account.pw_uid


def test_files_of_another_uid_become_the_accounts_own(real):
    """The home was used on an AMI on which the account had another uid."""
    assert real.ask("start")["home"] == "formatted"
    real.ask("stop")
    foreign, outside = real.home / "deep/er", real.root / "outside"
    foreign.mkdir(parents=True)
    (foreign / "work").write_text("precious")
    (foreign / "of root").touch()
    outside.touch()
    (foreign / "link").symlink_to(outside)
    mounted = real.home / "mounted"
    mounted.mkdir()
    with mounted_at(mounted):
        (mounted / "elsewhere").touch()
        theirs = [foreign.parent, foreign, foreign / "work", foreign / "link"]
        apart = [outside, mounted / "elsewhere"]
        for path in [real.home, *theirs, *apart]:
            os.chown(path, OLD_UID, OLD_UID, follow_symlinks=False)
        (real.home / ".bashrc").unlink(missing_ok=True)

        assert real.ask("start")["home"] == "already"
        assert {owner_of(path) for path in [real.home, *theirs]} == {real.account.pw_uid}
        assert {owner_of(path) for path in apart} == {OLD_UID}
        assert owner_of(foreign / "of root") == owner_of(real.home / "lost+found") == 0
        assert (foreign / "work").read_text() == "precious"
        assert not (real.home / ".bashrc").exists()


@pytest.mark.slow
def test_change_of_owner_that_was_cut_off_goes_on(real, monkeypatch):
    assert real.ask("start")["home"] == "formatted"
    real.ask("stop")
    names = [real.home / f"file{number}" for number in range(3)]
    for path in names:
        path.touch()
        os.chown(path, OLD_UID, OLD_UID)
    os.chown(real.home, OLD_UID, OLD_UID)
    monkeypatch.setenv("CLOUDJHUB_ROOT", str(real.root))
    account = machine.Account(real.account.pw_name)
    with monkeypatch.context() as hurried:
        hurried.setattr(home_disk, "LONG_STEP_SECONDS", 0.0)
        with pytest.raises(machine.Trouble, match="the next start goes on"):
            home_disk.ensure_home(account, VOLUME)
    assert owner_of(real.home) == OLD_UID
    assert real.ask("start")["ok"]
    assert {owner_of(path) for path in [real.home, *names]} == {real.account.pw_uid}


@pytest.mark.slow
def test_device_without_nvme_is_found_by_its_name(real):
    """Xen has no link by id; the name may be a link itself."""
    for link in (real.root / "dev/disk/by-id").iterdir():
        link.unlink()
    (real.root / "dev/xvdf").symlink_to(real.device)
    assert real.ask("start")["home"] == "formatted"
    assert os.path.ismount(real.home)


@pytest.mark.parametrize("where", [0, 512, 70_000])
def test_device_with_unknown_data_is_not_formatted(real, where):
    with open(real.device, "r+b") as device:
        device.seek(where)
        device.write(b"not a file system, but somebody's")
    answer = real.ask("start")
    assert not answer["ok"]
    assert "was not touched" in answer["error"]
    assert b"somebody's" in real.image.read_bytes()


@pytest.mark.slow
def test_partition_table_is_not_formatted(real):
    """To blkid's question for a file system a partitioned disk answers like a blank one."""
    entry = bytes([0, 0, 2, 0, 0x83, 0, 0, 0]) + (2048).to_bytes(4, "little")
    table = entry + (4096).to_bytes(4, "little") + bytes(48) + b"\x55\xaa"
    with open(real.device, "r+b") as device:
        device.seek(446)
        device.write(table)
    answer = real.ask("start")
    assert "was not touched" in answer["error"]
    assert table in real.image.read_bytes()[:512]
