"""Loopback machines with namespaces of their own: accounts, processes, /home, /run and /dev."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from cloudjhub.local import processes
from cloudjhub.local.machines.loopback import LoopbackMachine

_UNSHARE = ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--uts", "--fork"]
_UNSHARE += ["--kill-child", "--mount-proc"]
#: The control and the notebook account are two names of one account: there is but one uid.
_UID = 1000
BURIAL_SECONDS = 5.0
#: What a machine has in /etc for itself, and where it finds the rest (see shims/init-userns).
OWN_FILES = ("passwd", "group", "hostname")
HOST_ETC = "/run/host-etc"
#: Where name resolution may live on the host's /run; machines keep seeing it.
_RESOLVERS = ("/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager", "/run/nscd")


class UserNamespaceMachine(LoopbackMachine):
    """Logs in as ``ubuntu``; sees only its own processes; killing its first process ends all."""

    def first_command(self) -> list[str]:
        init = [str(self.host.shims / "init-userns"), str(self.spec.folder), self.spec.hostname]
        keep = visible_paths(("/home", "/run"), self.host.state_dir)
        return [*_UNSHARE, "--", "/bin/sh", *init, *keep, "--", *self.sshd_command()]

    def session_environment(self) -> dict[str, str]:
        return self.host.base_environment(self.spec.instance_id)

    def write_files(self) -> None:
        etc = self.spec.folder / "etc"
        shutil.rmtree(etc, ignore_errors=True)
        etc.mkdir()
        _link_host_etc(etc)
        shell = "/bin/bash" if os.path.exists("/bin/bash") else "/bin/sh"
        accounts = [
            f"{name}:x:{_UID}:{_UID}::/home/{name}:{shell}"
            for name in (self.control_account, self.notebook_account)
        ]
        (etc / "passwd").write_text(_merged("/etc/passwd", accounts))
        groups = [f"{self.control_account}:x:{_UID}:", f"{self.notebook_account}:x:{_UID}:"]
        # Without a "tty" group sshd gives terminals to the account's group; here it could not
        # give them to any other.
        (etc / "group").write_text(_merged("/etc/group", groups, leave_out="tty"))
        (etc / "hostname").write_text(f"{self.spec.hostname}\n")

    def crash(self) -> None:
        # The namespace's first process takes all others along, and unshare, left alive, buries it.
        # Killing both would leave the burial to this computer's init, which may be slow at it.
        if self._leader and (living := self._living())[1:]:
            processes.send(living[1:2], signal.SIGKILL)
            processes.send(living[:1], signal.SIGCONT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._leader.wait(BURIAL_SECONDS)
        super().crash()

    def run(self, command: Sequence[str], *, timeout_seconds: float = 60.0) -> str:
        outer, sshd = processes.tree(self._leader.pid)[:2] if self._leader else (0, 0)
        variables = self.session_environment() | {"HOME": f"/home/{self.control_account}"}
        environment = [f"{key}={value}" for key, value in variables.items()]
        enter = ["nsenter", f"--target={outer}", "--user", "--mount", "--uts"]
        enter += [f"--pid=/proc/{sshd}/ns/pid", "--preserve-credentials", "--"]
        become = ["unshare", "-U", f"--map-user={_UID}", f"--map-group={_UID}"]
        finished = subprocess.run(
            [*enter, *become, "env", "-i", *environment, *command],
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_seconds,
        )
        return finished.stdout


def allowed_here() -> bool:
    """Whether this account may make such namespaces; found out by making one."""
    if shutil.which("unshare") is None:
        return False
    inner = ["unshare", "-U", f"--map-user={_UID}", f"--map-group={_UID}", "true"]
    attempt = ["sh", "-c", 'mount --bind /dev/null /dev/zero && exec "$@"', "sh", *inner]
    try:
        done = subprocess.run(
            [*_UNSHARE, "--", *attempt], capture_output=True, timeout=60.0, cwd="/"
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def visible_paths(hidden_below: Sequence[str], state_dir: Path) -> list[str]:
    """Host folders below ``hidden_below`` that a machine must go on seeing.

    Python, everything it imports, and the state folder; none lies inside another.
    """
    wanted = {sys.prefix, sys.base_prefix, str(state_dir), *sys.path, *_RESOLVERS}
    wanted |= {os.path.dirname(os.path.realpath(sys.executable))}
    below = sorted(
        path
        for path in wanted
        if os.path.isdir(path) and any(path.startswith(f"{top}/") for top in hidden_below)
    )
    return [p for p in below if not any(p.startswith(f"{other}/") for other in below)]


def _link_host_etc(etc: Path) -> None:
    """An /etc of the machine's own, all but OWN_FILES of it seen through to the host's.

    Single files bound over the host's would be gone as soon as the host replaces one of them,
    as it does whenever an account is made.
    """
    for entry in os.scandir("/etc"):
        if entry.name in OWN_FILES:
            continue
        target = f"{HOST_ETC}/{entry.name}"
        if entry.is_symlink():
            target = os.path.normpath(os.path.join("/etc", os.readlink(entry.path)))
        (etc / entry.name).symlink_to(target)


def _merged(path: str, first: Sequence[str], *, leave_out: str = "") -> str:
    """Our lines before the host's, without the host's of the same name or number."""
    taken = {line.split(":")[0] for line in first} | {leave_out}
    numbers = {line.split(":")[2] for line in first}
    lines = Path(path).read_text().splitlines() if os.path.exists(path) else []
    others = [
        line
        for line in lines
        if line.split(":")[0] not in taken and line.split(":")[2:3] != [*numbers][:1]
    ]
    return "\n".join([*first, *others]) + "\n"
