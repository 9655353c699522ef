"""Makes the project's own environment, .venv, and keeps it current.

Standard library only: it is what runs before anything is installed, with the host's own Python.
The environment lies in the checkout, or where CLOUDJHUB_VENV says.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from _proxy import PROXY_PACKAGE, install_proxy
from _steps import CannotPrepare, run, say

CHECKOUT = Path(__file__).resolve().parent.parent
OLDEST_PYTHON = (3, 10)
# What machines that boot need of the host, and Debian's packages of it.
BOOTED_PROGRAMS = {
    "ip": "iproute2",
    "mkfs.ext4": "e2fsprogs",
    "mmdebstrap": "mmdebstrap",
    "nft": "nftables",
    "systemd-nspawn": "systemd-container",
    "unshare": "util-linux",
}
# What Debian signs its archive with; Ubuntu has it in a package of this name.
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# Where Debian keeps PostgreSQL's servers; whole clusters are tried with one, on machines that boot.
DATABASES = Path("/usr/lib/postgresql")
# Debian keeps sshd out of ordinary users' PATH.
SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])


def ensure(*, test: bool, booted: bool = False) -> Path:
    """Bring the environment up to date and return its folder.

    With ``test`` it holds what the tests need too; with ``booted`` the host gets the programs that
    machines which boot need. Ends the command with a sentence where that is
    not possible. A second call takes milliseconds.
    """
    use_recent_python()
    try:
        ensure_system_packages(test=test, booted=booted)
        return ensure_venv(test=test)
    except CannotPrepare as error:
        sys.exit(str(error))


def venv_folder() -> Path:
    """Where the environment lies."""
    return Path(os.environ.get("CLOUDJHUB_VENV") or CHECKOUT / ".venv").absolute()


# Python ---------------------------------------------------------------------------------------


def use_recent_python() -> None:
    """Go on with a newer Python of this host where the one running is too old."""
    if sys.version_info >= OLDEST_PYTHON:
        return
    for minor in range(14, OLDEST_PYTHON[1] - 1, -1):
        newer = shutil.which(f"python3.{minor}")
        if newer:
            os.execv(newer, [newer, *sys.argv])
    sys.exit(too_old_message(sys.version_info[:2]))


def too_old_message(version: tuple[int, ...]) -> str:
    """What a host without a recent Python is told."""
    found, needed = (".".join(map(str, pair)) for pair in (version[:2], OLDEST_PYTHON))
    return (
        f"Python {needed} or newer is needed and this host's python3 is {found}. "
        f"Install a newer one (Debian 12, Ubuntu 22.04 and later have it), then run this again."
    )


# Packages of the host -------------------------------------------------------------------------


def missing_system_packages(*, test: bool, booted: bool = False) -> list[str]:
    """Debian's names of the packages that the host lacks.

    The tests try machines that boot where they may: as root.
    """
    missing = []
    if not shutil.which("sshd", path=SEARCH_PATH):
        missing.append("openssh-server")
    if importlib.util.find_spec("ensurepip") is None and not is_current(test=test):
        missing.append(f"python3.{sys.version_info.minor}-venv")
    if test and not any(shutil.which(name) for name in ("chromium", "chromium-browser")):
        missing.append("chromium")
    if booted or (test and os.geteuid() == 0):
        lacking = {
            package
            for program, package in BOOTED_PROGRAMS.items()
            if not shutil.which(program, path=SEARCH_PATH)
        }
        missing.extend(sorted(lacking))
        if not KEYRING.exists():
            missing.append(KEYRING.stem)
    if test and os.geteuid() == 0 and not any(DATABASES.glob("*/bin/initdb")):
        missing.append("postgresql")
    return missing


def ensure_system_packages(*, test: bool, booted: bool = False) -> None:
    """Install what the host lacks with apt-get, as root or with a sudo that asks nothing."""
    packages = missing_system_packages(test=test, booted=booted)
    if not packages:
        return
    names = " ".join(packages)
    if not shutil.which("apt-get"):
        raise CannotPrepare(
            f"This host lacks {names} (Debian's names) and has no apt-get. "
            "Install them with the host's own package manager, then run this again."
        )
    prefix = root_prefix()
    if prefix is None:
        raise CannotPrepare(
            f"This host lacks {names}. Run\n\n"
            f"    sudo apt-get update && sudo apt-get install --yes {names}\n\n"
            "then run this again."
        )
    if "openssh-server" in packages and Path("/run/systemd/system").is_dir():
        say("note: installing openssh-server also starts the host's own SSH service")
    apt_get = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]
    say(f"installing {names} with apt-get")
    run([*apt_get, "update", "--quiet"], f"apt-get update; it is needed for {names}")
    run(
        [*apt_get, "install", "--yes", "--quiet", "--no-install-recommends", *packages],
        f"apt-get install {names}",
    )


def root_prefix() -> list[str] | None:
    """How to run a command as root without a question; None where there is no way."""
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    if (
        sudo
        and subprocess.run([sudo, "-n", "true"], capture_output=True, check=False).returncode == 0
    ):
        return [sudo, "-n"]
    return None


# The environment ------------------------------------------------------------------------------


def wanted_stamp() -> dict[str, str]:
    """What the environment was made from; any change makes it anew."""
    content = (CHECKOUT / "pyproject.toml").read_bytes() + PROXY_PACKAGE.encode()
    return {
        "pyproject": hashlib.sha256(content).hexdigest(),
        "python": f"{os.path.realpath(sys.executable)} {sys.version}",
        "checkout": str(CHECKOUT),
        "venv": str(venv_folder()),
    }


def is_current(*, test: bool) -> bool:
    """Whether the environment is complete for this checkout and this Python."""
    venv = venv_folder()
    try:
        stamp = json.loads((venv / "cloudjhub-stamp.json").read_text())
    except (OSError, ValueError):
        return False
    present = (venv / "bin/python").exists() and Path(stamp.pop("node", "")).is_file()
    extras = stamp.pop("extras", [])
    return present and stamp == wanted_stamp() and (not test or "test" in extras)


def ensure_venv(*, test: bool) -> Path:
    """Make or renew the environment where it is not current; one process at a time."""
    venv = venv_folder()
    if is_current(test=test):
        return venv
    with locked(venv):
        if not is_current(test=test):
            build(venv, had_extras(venv) | ({"local", "test"} if test else {"local"}))
    return venv


def had_extras(venv: Path) -> set[str]:
    """The extras so far, so that the demo does not take the tests' tools away."""
    with contextlib.suppress(OSError, ValueError):
        return set(json.loads((venv / "cloudjhub-stamp.json").read_text())["extras"])
    return set()


@contextlib.contextmanager
def locked(venv: Path):
    """Hold the environment's lock; says so when another command holds it."""
    try:
        venv.mkdir(parents=True, exist_ok=True)
        lock = (venv / ".lock").open("w")
    except OSError as error:
        raise CannotPrepare(
            f"{venv} cannot be written ({error.strerror}). Use a checkout of your own, "
            "or name another folder in CLOUDJHUB_VENV."
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another command that is preparing {venv}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def build(venv: Path, extras: set[str]) -> None:
    """Make the environment; the stamp is written last, so an interrupted one is made again."""
    (venv / "cloudjhub-stamp.json").unlink(missing_ok=True)
    python = venv / "bin/python"
    if not runs_here(python):
        empty(venv)
        say(f"making {venv} with Python {sys.version.split()[0]}")
        run([sys.executable, "-m", "venv", str(venv)], "making a virtual environment")
    say("installing Python packages (a minute or two the first time)")
    wanted = f"{CHECKOUT}[{','.join(sorted(extras))}]"
    run(
        [
            str(python),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "-e",
            wanted,
        ],
        "pip install. Is the package index within reach?",
    )
    # As on users' machines (install_worker.sh): a second of CPU less for every server that starts.
    run(
        [str(python), "-m", "pip", "uninstall", "--quiet", "--yes", "rfc3987-syntax"],
        "pip uninstall",
    )
    node = install_proxy(venv, python)
    stamp = {**wanted_stamp(), "node": node, "extras": sorted(extras)}
    (venv / "cloudjhub-stamp.json").write_text(json.dumps(stamp, indent=2))
    say("environment ready")


def runs_here(python: Path) -> bool:
    """Whether that environment's Python is the same version as the one running now."""
    question = "import sys, pip; print(sys.version, sys.prefix)"
    try:
        answer = subprocess.run(
            [str(python), "-c", question], capture_output=True, text=True, check=False
        )
    except OSError:
        return False
    return answer.stdout.strip() == f"{sys.version} {python.parent.parent}"


def empty(venv: Path) -> None:
    """Remove all of an unusable environment but its lock. Refuses a folder that is none."""
    entries = [entry for entry in venv.iterdir() if entry.name != ".lock"]
    if entries and not (venv / "pyvenv.cfg").is_file():
        raise CannotPrepare(f"{venv} holds something else. Name another folder in CLOUDJHUB_VENV.")
    for entry in entries:
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
