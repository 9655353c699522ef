"""Names of what a VPC puts on the host, and its removal. Standard library only: it runs alone.

``python leftovers.py STATE_DIR`` waits until its standard input ends, which is when the local
EC2 that started it is gone, however it went, and then removes what that one left. One that
cleaned up itself says so with a byte.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

#: locks of running VPCs, and who needs forwarding; empty after a reboot
RUN_FOLDER = Path("/run/cloudjhub")
NAMESPACES = Path("/run/netns")
#: longest that a killed process takes to be gone
_PATIENCE_SECONDS = 30.0
_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
_PATH = f"{os.defpath}:/usr/local/sbin:/usr/sbin:/sbin"


def id_of(state_dir: Path) -> str:
    """Eight characters that name a state folder, short enough for an interface's name."""
    return hashlib.sha256(str(state_dir.resolve()).encode()).hexdigest()[:8]


def namespace(vpc_id: str) -> str:
    return f"cloudjhub-{vpc_id}"


def machine_namespace(vpc_id: str, instance_id: str) -> str:
    return f"cloudjhub-{vpc_id}-{instance_id}"


def host_interface(vpc_id: str) -> str:
    return f"cj{vpc_id}"


def host_table(vpc_id: str) -> str:
    return f"cloudjhub_{vpc_id}"


def lock(name: str, *, wait: bool) -> IO[str] | None:
    """Holds ``name`` until :func:`unlock` or the end of the process; None if another has it."""
    RUN_FOLDER.mkdir(mode=0o700, exist_ok=True)
    path = RUN_FOLDER / f"{name}.lock"
    while True:
        held = path.open("a+")
        try:
            fcntl.flock(held, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError:
            held.close()
            return None
        if _is_there(held, path):
            return held
        # Whoever had it took the file away; what we hold is nobody's door any more.
        held.close()


def unlock(held: IO[str]) -> None:
    """Leaves no file."""
    Path(held.name).unlink(missing_ok=True)
    held.close()


def _is_there(held: IO[str], path: Path) -> bool:
    try:
        return os.fstat(held.fileno()).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False


def remove_leftovers(state_dir: Path, patience_seconds: float = 0.0) -> None:
    """Removes what a dead local EC2 of this folder left; nothing while one lives.

    One that is dying still has its lock for a moment: that is what the patience is for.
    """
    vpc_id = id_of(state_dir)
    deadline = time.monotonic() + patience_seconds
    while (held := lock(f"id-{vpc_id}", wait=False)) is None:
        if time.monotonic() >= deadline:
            return
        time.sleep(0.05)
    try:
        remove(vpc_id)
    finally:
        unlock(held)


def remove(vpc_id: str) -> None:
    """Everything with this id: interface and its routes, namespaces, rules, forwarding.

    Repeatable; call it with the lock of the id held. Machines that still run are cut off.
    """
    _quietly("ip", "link", "delete", host_interface(vpc_id))
    _quietly("nft", "delete", "table", "inet", host_table(vpc_id))
    for rule in _firewall_rules(vpc_id):
        while _quietly("iptables", "-w", "-D", *rule) == 0:
            pass
    if NAMESPACES.is_dir():
        own = namespace(vpc_id)
        for path in sorted(NAMESPACES.iterdir()):
            if path.name == own or path.name.startswith(f"{own}-"):
                _quietly("ip", "netns", "delete", path.name)
    release_forwarding(vpc_id)


def pass_firewall(vpc_id: str) -> None:
    """Lets the VPC through a firewall that closes what it does not know, as Docker's and ufw's do.

    What is accepted there is still judged by the VPC's own table. A firewall that is no work of
    iptables has to be told by hand.
    """
    for rule in _firewall_rules(vpc_id):
        done = _run("iptables", "-w", "-S", rule[0])
        if done and done.stdout.split() not in ([], ["-P", rule[0], "ACCEPT"]):
            _quietly("iptables", "-w", "-I", *rule)


def _firewall_rules(vpc_id: str) -> list[tuple[str, ...]]:
    interface = host_interface(vpc_id)
    ways = (("FORWARD", "-i"), ("FORWARD", "-o"), ("INPUT", "-i"))
    return [(chain, way, interface, "-j", "ACCEPT") for chain, way in ways]


def need_forwarding(vpc_id: str) -> None:
    """Lets the host pass packets on, remembering whether it did so before."""
    with _forwarding_lock():
        if _FORWARD.read_text().strip() == "0":
            (RUN_FOLDER / "forwarding-was-off").touch()
            _FORWARD.write_text("1\n")
        (RUN_FOLDER / f"forwarding-{vpc_id}.need").touch()


def release_forwarding(vpc_id: str) -> None:
    """Back to what it was, if nobody else alive needs it."""
    if not RUN_FOLDER.is_dir():
        return
    with _forwarding_lock():
        mine = RUN_FOLDER / f"forwarding-{vpc_id}.need"
        if not mine.exists():
            return
        mine.unlink()
        if any(_is_open(path.stem) for path in RUN_FOLDER.glob("forwarding-*.need")):
            return
        was_off = RUN_FOLDER / "forwarding-was-off"
        if was_off.exists():
            _FORWARD.write_text("0\n")
            was_off.unlink()


def _is_open(marker: str) -> bool:
    """Whether the VPC behind a marker lives; else the marker goes."""
    vpc_id = marker.partition("-")[2]
    held = lock(f"id-{vpc_id}", wait=False)
    if held is None:
        return True
    (RUN_FOLDER / f"{marker}.need").unlink(missing_ok=True)
    unlock(held)
    return False


@contextlib.contextmanager
def _forwarding_lock():
    held = lock("forwarding", wait=True)
    assert held is not None
    try:
        yield
    finally:
        unlock(held)


def _quietly(*command: str) -> int:
    """What is not there need not be removed."""
    done = _run(*command)
    return done.returncode if done else 127


def _run(*command: str) -> subprocess.CompletedProcess[str] | None:
    """None where this computer has no such program."""
    path = shutil.which(command[0], path=_PATH)
    if path is None:
        return None
    return subprocess.run(
        [path, *command[1:]], capture_output=True, text=True, env={"PATH": _PATH}, check=False
    )


def main() -> None:
    """Waits for the local EC2's end, then cleans up after it, unless it says that it has."""
    state_dir = Path(sys.argv[1])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if not sys.stdin.buffer.read():
        remove_leftovers(state_dir, _PATIENCE_SECONDS)


if __name__ == "__main__":
    main()
