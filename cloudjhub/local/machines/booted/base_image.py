"""The image that every booted machine starts from: Debian, made once and kept outside the state.

The folder that keeps images is shared by all local EC2s of this computer; a tree in it is named
by the hash of its recipe, and whoever needs one that is being made waits for it.
"""

import contextlib
import fcntl
import hashlib
import logging
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from cloudjhub.local.machines.booted import host_settings
from cloudjhub.local.settings import LocalEC2Error

log = logging.getLogger(__name__)

FOLDER_VARIABLE = "LOCALEC2_IMAGE_CACHE"
SUITE = "bookworm"
_MIRROR = "http://deb.debian.org/debian"
_SECURITY = "http://deb.debian.org/debian-security"
SOURCES = (
    f"deb {_MIRROR} {SUITE} main",
    f"deb {_MIRROR} {SUITE}-updates main",
    f"deb {_SECURITY} {SUITE}-security main",
)
#: what Debian's images for EC2 have and a launch needs
PACKAGES = (
    "bash-completion",
    "ca-certificates",
    "cloud-init",
    "curl",
    "dbus",
    "e2fsprogs",
    "gnupg",
    "iproute2",
    "iputils-ping",
    "kmod",
    "less",
    "libpam-systemd",
    "nano",
    "netbase",
    "nftables",
    "openssh-server",
    "procps",
    "python3",
    "python3-venv",
    "sudo",
    "systemd",
    "systemd-sysv",
    "tzdata",
    "udev",
    "xfsprogs",
    "xz-utils",
)
_BUILD_SECONDS = 1800
_SCRIPT = Path(__file__).with_name("base_image.sh")


def cache_folder() -> Path:
    """``$LOCALEC2_IMAGE_CACHE``, or where this computer keeps what can be made again."""
    if named := os.environ.get(FOLDER_VARIABLE):
        return Path(named).absolute()
    if home := os.environ.get("XDG_CACHE_HOME"):
        return Path(home) / "cloudjhub-images"
    return Path("/var/cache/cloudjhub-images")


def key() -> str:
    """Changes with the recipe, and with nothing else."""
    recipe = "\n".join((*SOURCES, *PACKAGES)).encode() + _SCRIPT.read_bytes()
    return f"debian-12-{hashlib.sha256(recipe).hexdigest()[:16]}"


def ensure() -> Path:
    """The base image's tree; made if there is none yet, which takes about a minute.

    Raises LocalEC2Error with mmdebstrap's last words.
    """
    folder = cache_folder()
    tree = folder / key()
    if tree.exists():
        return tree
    folder.mkdir(parents=True, exist_ok=True, mode=0o755)
    with locked(folder / f"{tree.name}.lock") as lock:
        if not tree.exists():
            _build(folder, tree, lock)
    return tree


@contextlib.contextmanager
def locked(path: Path) -> Iterator[int]:
    """Holds a lock between processes; says so where another one has it."""
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("waiting for another process that makes the image of the local machines")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock.fileno()


def _build(folder: Path, tree: Path, lock: int) -> None:
    _say(f"making the image of the local machines in {folder} (a minute or two, once)")
    _remove_drafts(folder, tree.name)
    draft = Path(tempfile.mkdtemp(prefix=f"{tree.name}.draft-", dir=folder))
    try:
        draft.chmod(0o755)
        _debootstrap(draft, lock)
        # Renamed at the end: what has the name is whole.
        draft.rename(tree)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    _say("the image of the local machines is ready")


def _debootstrap(draft: Path, lock: int) -> None:
    command = [
        # What it mounts in the tree is gone with it.
        *("unshare", "--mount", "--propagation=private", "--", "mmdebstrap"),
        "--quiet",
        "--variant=minbase",
        f"--include={','.join(PACKAGES)}",
        # The name of a script must not be split into words by the shell that runs it.
        f'--customize-hook=/bin/sh "{_SCRIPT}" "$1"',
        *(f"--aptopt={line}" for line in host_settings.apt_lines()),
        SUITE,
        str(draft),
        *SOURCES,
    ]
    words = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"}
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=words,
            timeout=_BUILD_SECONDS,
            # It holds the lock as well, should we be killed while it works.
            pass_fds=[lock],
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise LocalEC2Error(f"mmdebstrap did not end in {_BUILD_SECONDS} seconds.") from error
    if done.returncode != 0:
        tail = "\n".join(done.stdout.splitlines()[-15:])
        raise LocalEC2Error(
            f"The image of the local machines could not be made; mmdebstrap says:\n{tail}",
            "Is a Debian mirror within reach (apt-get update)?",
        )


def _remove_drafts(folder: Path, name: str) -> None:
    """Called with the lock held: nobody makes one, so they are what was cut short."""
    for draft in folder.glob(f"{name}.draft-*"):
        shutil.rmtree(draft, ignore_errors=True)


def _say(text: str) -> None:
    print(f"local EC2: {text}", flush=True)
