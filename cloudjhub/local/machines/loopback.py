"""Machines that are an sshd on an address of 127/8, with a folder for a disk. No root needed."""

import os
import pwd
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cloudjhub.local import processes
from cloudjhub.local.machines.base import AttachedVolume, MachineSpec
from cloudjhub.local.machines.disk import MachineDisk
from cloudjhub.local.settings import LocalEC2Error

_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Host:
    """What machines use of this computer.

    ``state_dir`` is resolved; ``shims`` holds the commands that stand in for root's;
    ``python_folder`` holds the ``python3`` and ``jupyterhub-singleuser`` that machines find.
    """

    state_dir: Path
    shims: Path
    sshd: str
    ssh_port: int
    python_folder: str

    def base_environment(self, instance_id: str) -> dict[str, str]:
        """All that a machine inherits. The server's own environment may hold keys; none of it."""
        return {
            "PATH": f"{self.shims}:{self.python_folder}:{_SYSTEM_PATH}",
            "LANG": "C.UTF-8",
            processes.ID_VARIABLE: instance_id,
            processes.STATE_VARIABLE: str(self.state_dir),
            "LOCALEC2_PIDFILE": str(self.state_dir / "machines" / instance_id / "sshd.pid"),
        }


class LoopbackMachine:
    """What both variants share. They say how sshd is started and who may log in."""

    #: the account the key pair opens
    control_account = "ubuntu"
    #: the account notebooks run as
    notebook_account = "jupyter"

    def __init__(self, spec: MachineSpec, host: Host):
        self.spec = spec
        self.host = host
        self.lock = threading.RLock()
        self.disk = MachineDisk(spec)
        self._leader: subprocess.Popen[bytes] | None = None

    # -- what a variant decides ----------------------------------------------------------------

    def first_command(self) -> list[str]:
        """The command whose process is the machine; it ends up as ``sshd_command``."""
        raise NotImplementedError

    def session_environment(self) -> dict[str, str]:
        """What every login finds in its environment."""
        raise NotImplementedError

    def extra_sshd_lines(self) -> list[str]:
        return []

    def write_files(self) -> None:
        """Anything else the variant needs before it boots."""

    # -- Machine -------------------------------------------------------------------------------

    def power_on(self, volumes: Sequence[AttachedVolume]) -> None:
        self.power_off()
        self.disk.prepare([self.control_account, self.notebook_account])
        self.disk.set_volumes([volume.id for volume in volumes])
        self._write_sshd_config()
        self.write_files()
        self.disk.log(f"[{time.strftime('%Y-%m-%d %H:%M:%S')}] {self.spec.instance_id} boots")
        with self.disk.console_path.open("ab") as console:
            self._leader = subprocess.Popen(
                self.first_command(),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                env=self.host.base_environment(self.spec.instance_id),
                cwd="/",
                start_new_session=True,
            )
        processes.write_leader(self.spec.folder, self._leader.pid)

    def power_off(self) -> None:
        if self._leader is None:
            return
        self.crash()
        self._leader.wait()
        self._leader = None
        (self.spec.folder / processes.LEADER_FILE).unlink(missing_ok=True)
        self.disk.log(f"[{time.strftime('%Y-%m-%d %H:%M:%S')}] {self.spec.instance_id} is off")

    def crash(self) -> None:
        processes.kill_all(self._living)

    def freeze(self) -> None:
        # Again until nothing is new: a process may have forked while we walked the tree.
        frozen: set[int] = set()
        while new := set(self._living()) - frozen:
            processes.send(new, signal.SIGSTOP)
            frozen |= new

    def thaw(self) -> None:
        processes.send(self._living(), signal.SIGCONT)

    def destroy(self) -> None:
        self.power_off()
        self.disk.remove()

    def attach(self, volume: AttachedVolume) -> None:
        self.disk.attach(volume.id)

    def detach(self, volume_id: str) -> None:
        self.disk.detach(volume_id)

    def is_mounted(self, volume_id: str) -> bool:
        return self.is_on() and self.disk.is_mounted(volume_id)

    def snapshot(self, volume_id: str, snapshot_id: str) -> None:
        pass

    def is_on(self) -> bool:
        return self._leader is not None

    def is_alive(self) -> bool:
        return self._leader is not None and self._leader.poll() is None

    def wants_reboot(self) -> bool:
        return False

    def console(self) -> str:
        return self.disk.console()

    def pids(self) -> list[int]:
        return self._living() if self.is_on() else []

    def run(self, command: Sequence[str], *, timeout_seconds: float = 60.0) -> str:
        raise NotImplementedError

    # -- parts ---------------------------------------------------------------------------------

    def _living(self) -> list[int]:
        return processes.tree(self._leader.pid) if self._leader else []

    def _write_sshd_config(self) -> None:
        folder = self.spec.folder
        variables = " ".join(f'"{k}={v}"' for k, v in self.session_environment().items())
        lines = [
            f"Port {self.host.ssh_port}",
            f"ListenAddress {self.spec.address}",
            f'HostKey "{folder}/host_key"',
            f'AuthorizedKeysFile "{folder}/authorized_keys"',
            f'PidFile "{folder}/sshd.pid"',
            f"AllowUsers {self.control_account}",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "UsePAM no",
            "StrictModes no",
            "PrintMotd no",
            "Subsystem sftp internal-sftp",
            # One line: sshd heeds only the first SetEnv.
            f"SetEnv {variables}",
            *self.extra_sshd_lines(),
        ]
        (folder / "sshd_config").write_text("\n".join(lines) + "\n")

    def sshd_command(self) -> list[str]:
        return [self.host.sshd, "-D", "-e", "-f", str(self.spec.folder / "sshd_config")]


def find_sshd() -> str:
    """The absolute path that sshd insists to be called by. Raises LocalEC2Error."""
    path = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:{_SYSTEM_PATH}")
    if path is None:
        raise LocalEC2Error(
            "There is no sshd on this computer, and every local machine is one.",
            "Install the OpenSSH server (Debian, Ubuntu: apt install openssh-server).",
        )
    return os.path.abspath(path)


def own_account() -> str:
    """The account that runs this process."""
    return pwd.getpwuid(os.getuid()).pw_name
