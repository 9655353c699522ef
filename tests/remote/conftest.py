"""A real sshd that stands for a machine, without root's rights and without systemd.

Small shims take the place of the programs that need a real machine; a folder is the
machine's root. Everything started is ended by its process id.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from cloudjhub.remote import Session, Target, connect

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:" + os.environ.get("PATH", ""))
MARK = "LOCALEC2_ID"
SSH_PORT = 22222
CLAIM_PORT = 22223

SHIMS = {
    # Every session goes through this: own PATH whatever the account's profile says, and noise.
    "login": """export PATH="$MACHINE_PATH"
cat "$CLOUDJHUB_ROOT/noise" 2>/dev/null
/bin/sh -c "$SSH_ORIGINAL_COMMAND"
code=$?
cat "$CLOUDJHUB_ROOT/noise" 2>/dev/null >&2
exit $code
""",
    "sudo": '[ "$1" = -n ] && shift\nexec "$@"\n',
    "runuser": '[ "$3" = -- ] || exit 9\nshift 3\nexec "$@"\n',
    "systemctl": "echo offline\nexit 1\n",
    "blkid": 'for device; do :; done\n[ -f "$device/type" ] || exit 2\ncat "$device/type"\n',
    "mkfs.ext4": """for device; do :; done
echo "mkfs $device" >> "$CLOUDJHUB_ROOT/calls"
[ -e "$device/refuse" ] && { echo "device is broken" >&2; exit 1; }
[ -e "$device/type" ] && { echo "already formatted" >&2; exit 1; }
mkdir "$device/data" && echo ext4 > "$device/type"
""",
    "mount": """echo "mount $1" >> "$CLOUDJHUB_ROOT/calls"
[ -d "$1/data" ] || { echo "wrong fs type" >&2; exit 32; }
rmdir "$2" || exit 32
ln -s "$(readlink -f "$1")/data" "$2"
""",
    "mountpoint": '[ -L "$2" ]\n',
}


@dataclass
class Machine:
    """One sshd with a folder for a root; ``sshd`` is its process."""

    root: Path
    target: Target
    ident: str
    sshd: subprocess.Popen[bytes] = field(repr=False)
    claim: socket.socket = field(repr=False)

    def connect(self, **options: object) -> Session:
        return connect(self.target, **{"timeout_seconds": 60.0, **options})

    def log(self) -> str:
        file = self.root / "sshd.log"
        return file.read_text(errors="replace") if file.exists() else ""

    def wait_until_logged(self, words: str) -> None:
        wait_until(f"{words!r} in sshd's log", lambda: words in self.log())

    def attach(self, volume_id: str, kind: str | None = None) -> Path:
        """A volume as a folder with the link udev would make; ``kind`` = formatted already."""
        volume = self.root / "volumes" / volume_id
        if not volume.exists():
            volume.mkdir(parents=True)
            if kind is not None:
                (volume / "data").mkdir()
                (volume / "type").write_text(kind)
        links = self.root / "dev/disk/by-id"
        links.mkdir(parents=True, exist_ok=True)
        name = "nvme-Amazon_Elastic_Block_Store_" + volume_id.replace("-", "")
        (links / name).symlink_to(volume)
        return volume

    def pids(self) -> set[int]:
        """What runs on the machine, without its sshd."""
        return set(_pids_with(f"{MARK}={self.ident}")) - {self.sshd.pid}

    def sessions(self) -> set[int]:
        """sshd's processes for open connections (their titles overwrite their environment)."""
        return _children(self.sshd.pid)

    def end(self) -> None:
        """Kill everything; also what a test has frozen."""
        for pid in self.pids() | self.sessions():
            kill(pid)
        self.sshd.kill()
        self.sshd.wait(60)
        self.claim.close()


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _children(pid: int) -> set[int]:
    try:
        listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return set()
    found = {int(child) for child in listed}
    return found.union(*(_children(child) for child in found))


def _pids_with(variable: str) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and variable.encode() in (
                folder.joinpath("environ").read_bytes().split(b"\0")
            ):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def wait_until(what: str, condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    """The first true value of the condition; fails with what was waited for."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    pytest.fail(f"waited {seconds:g} s in vain for {what}")


def write_key(path: Path, key: object, password: bytes | None = None) -> Path:
    encryption = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, encryption
        )
    )
    path.chmod(0o600)
    public = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    path.with_suffix(".pub").write_bytes(public + b"\n")
    return path


@pytest.fixture
def wait_for() -> Callable[..., Any]:
    """wait_for(what, condition, seconds=60)"""
    return wait_until


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of private keys: ed25519, ecdsa, rsa, stranger, locked."""
    folder = tmp_path_factory.mktemp("keys")
    write_key(folder / "ed25519", ed25519.Ed25519PrivateKey.generate())
    write_key(folder / "ecdsa", ec.generate_private_key(ec.SECP256R1()))
    write_key(folder / "rsa", rsa.generate_private_key(65537, 2048))
    write_key(folder / "stranger", ed25519.Ed25519PrivateKey.generate())
    write_key(folder / "locked", ed25519.Ed25519PrivateKey.generate(), b"passphrase")
    return folder


def claim_address() -> tuple[str, socket.socket]:
    """An address of 127.64.200.0/24, ours as long as the socket is open; other runs see it."""
    for last in range(1, 254):
        address, claim = f"127.64.200.{last}", socket.socket()
        with suppress(OSError), socket.socket() as probe:
            claim.bind((address, CLAIM_PORT))
            probe.bind((address, SSH_PORT))  # the sshd of a run that was killed
            return address, claim
        claim.close()
    raise RuntimeError("no free address")


def start_machine(root: Path, keys: Path) -> Machine:
    """sshd up and answering."""
    if SSHD is None:
        pytest.skip("no sshd here")
    ident = f"i-{os.getpid():08x}{time.monotonic_ns():x}"
    address, claim = claim_address()
    shims = root / "shims"
    shims.mkdir(mode=0o700)
    for name, body in SHIMS.items():
        (shims / name).write_text("#!/bin/sh\n" + body)
        (shims / name).chmod(0o755)
    write_key(root / "host_key", ed25519.Ed25519PrivateKey.generate())
    authorized = [(keys / f"{name}.pub").read_text() for name in ("ed25519", "ecdsa", "rsa")]
    (root / "authorized").write_text("".join(authorized))
    path = f"{shims}:{os.path.dirname(sys.executable)}:/usr/bin:/bin"
    # DEBUG1 names every login attempt.
    (root / "sshd_config").write_text(
        f"Port {SSH_PORT}\nListenAddress {address}\nHostKey {root}/host_key\n"
        f"AuthorizedKeysFile {root}/authorized\nPidFile none\nUsePAM no\nStrictModes no\n"
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n"
        f"MaxStartups 200\nLogLevel DEBUG1\nForceCommand {shims}/login\n"
        f"SetEnv MACHINE_PATH={path} CLOUDJHUB_ROOT={root} {MARK}={ident} STRAY=stray-value\n"
    )
    if os.getuid() == 0:
        os.makedirs("/run/sshd", exist_ok=True)
    sshd = subprocess.Popen(
        [SSHD, "-D", "-E", str(root / "sshd.log"), "-f", str(root / "sshd_config")],
        env={**os.environ, MARK: ident},
        start_new_session=True,
    )
    user = os.environ.get("USER") or subprocess.check_output(["id", "-un"], text=True).strip()
    target = Target(address, SSH_PORT, user, str(keys / "ed25519"))
    machine = Machine(root, target, ident, sshd, claim)
    try:
        wait_until("sshd", lambda: "Server listening" in machine.log())
    except BaseException:
        machine.end()
        raise
    return machine


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, keys: Path) -> Iterator[Machine]:
    """One machine for a whole module."""
    made = start_machine(tmp_path_factory.mktemp("machine"), keys)
    yield made
    made.end()


@pytest.fixture
def fresh_machine(tmp_path: Path, keys: Path) -> Iterator[Machine]:
    """A machine of its own for tests that break it or need its disk blank."""
    root = tmp_path / "machine"
    root.mkdir()
    made = start_machine(root, keys)
    yield made
    made.end()
