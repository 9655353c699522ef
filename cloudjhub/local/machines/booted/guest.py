"""A running machine: systemd-nspawn as the host sees it, and what can be done from outside."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from cloudjhub.local import processes
from cloudjhub.local.machines.booted.cgroup import ControlGroup

_BOOT_SCRIPT = Path(__file__).with_name("boot.sh")
_JOIN_GROUP = 'for f in $GROUPS_OF_MACHINE; do echo 0 > "$f"; done; unset GROUPS_OF_MACHINE; '
_INSIDE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#: nspawn's exit code when the guest wants to boot again and nspawn cannot do it itself
_REBOOT = 133
#: systemd(1): a signal to start poweroff.target
_POWER_OFF = signal.SIGRTMIN + 4
_REMINDER_SECONDS = 0.5
#: how long a clean shutdown may take; EC2 gives some minutes
SHUTDOWN_SECONDS = 60.0
_KILL_SECONDS = 10.0
_INIT_SECONDS = 20.0


def nspawn_command(instance_id: str, root: Path, hostname: str, more: Sequence[str]) -> list[str]:
    """Boots the tree. The console is only shown: nothing on this computer can type into it."""
    return [
        "systemd-nspawn",
        "--quiet",
        "--register=no",
        "--keep-unit",
        "--console=read-only",
        f"--directory={root}",
        f"--machine={instance_id}",
        f"--hostname={hostname}",
        "--resolv-conf=off",
        "--link-journal=no",
        "--timezone=off",
        *more,
        "--boot",
    ]


class Guest:
    """One boot of a machine, from its first process to its last."""

    def __init__(self, process: "subprocess.Popen[bytes]", group: ControlGroup):
        self._process = process
        self._group = group

    @classmethod
    def start(
        cls,
        command: Sequence[str],
        *,
        group: ControlGroup,
        console: Path,
        environment: Mapping[str, str],
    ) -> "Guest":
        """Runs boot.sh with these arguments, in the group and in a mount namespace."""
        enter = ["unshare", "--mount", "--propagation=private", "--", "/bin/sh"]
        script = _JOIN_GROUP + 'exec "$@"'
        groups = " ".join(map(str, group.process_files()))
        with console.open("ab") as log:
            process = subprocess.Popen(
                ["/bin/sh", "-c", script, "sh", *enter, str(_BOOT_SCRIPT), *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={
                    **environment,
                    "PATH": os.environ.get("PATH", _INSIDE_PATH),
                    "GROUPS_OF_MACHINE": groups,
                    # As on EC2, /tmp is on the root disk.
                    "SYSTEMD_NSPAWN_TMPFS_TMP": "0",
                },
                cwd="/",
                # Ctrl-C in a terminal is not the machine's.
                start_new_session=True,
            )
        return cls(process, group)

    @property
    def pid(self) -> int:
        """nspawn's; its environment and its place in /proc name the machine."""
        return self._process.pid

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def wants_reboot(self) -> bool:
        """Whether it has ended in order to boot again."""
        return self._process.poll() == _REBOOT

    def init(self) -> int | None:
        """The host's pid of the machine's first process; None while there is none."""
        here = _namespace(os.getpid())
        for pid in processes.tree(self.pid)[1:]:
            if _namespace(pid) not in (None, here):
                return pid
        return None

    def wait_init(self) -> bool:
        """Waits for the first process of a machine that has only begun; False if it ended."""
        deadline = time.monotonic() + _INIT_SECONDS
        while self.is_alive() and time.monotonic() < deadline:
            if self.init():
                return True
            time.sleep(0.01)
        return False

    def power_off(self) -> None:
        """A clean shutdown, or an end like a power cut if that does not come about."""
        self._group.thaw()
        deadline = time.monotonic() + SHUTDOWN_SECONDS
        while self.is_alive() and time.monotonic() < deadline:
            # Said again: early in its boot systemd does not listen yet.
            if init := self.init():
                processes.send([init], _POWER_OFF)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_REMINDER_SECONDS)
        if self.is_alive():
            self.kill()

    def kill(self) -> None:
        """Every process ends at once. nspawn sees it and is waited for."""
        self._group.thaw()
        if init := self.init():
            processes.send([init], signal.SIGKILL)
            try:
                self._process.wait(_KILL_SECONDS)
                return
            except subprocess.TimeoutExpired:
                pass
        self._process.kill()
        self._process.wait()

    def run(self, command: Sequence[str], timeout_seconds: float) -> str:
        """Runs a command inside as root. Raises CalledProcessError, TimeoutExpired."""
        init = self.init()
        if init is None:
            raise subprocess.CalledProcessError(1, command, "the machine is not up")
        enter = ["nsenter", f"--target={init}", "--all", "--", "env", "-i"]
        enter += [f"PATH={_INSIDE_PATH}", "HOME=/root", "LANG=C.UTF-8"]
        # Where the caller is, is no place inside.
        enter += ["sh", "-c", 'cd / && exec "$@"', "sh"]
        finished = subprocess.run(
            [*enter, *command],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout_seconds,
        )
        return finished.stdout

    def mount_point(self, device: int) -> Path | None:
        """Where the machine has a file system of this device, as the host reaches it."""
        wanted, init = f"{os.major(device)}:{os.minor(device)}", self.init()
        try:
            lines = Path(f"/proc/{init}/mountinfo").read_text().splitlines()
        except OSError:
            return None
        # proc(5): the device is the third field, the mount point the fifth.
        found = [fields[4] for line in lines if (fields := line.split())[2] == wanted]
        # Blanks in names are written as \040.
        return Path(f"/proc/{init}/root{found[0]}".replace("\\040", " ")) if found else None


def _namespace(pid: int) -> str | None:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return None
