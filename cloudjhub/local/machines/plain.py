"""Loopback machines without namespaces: where a computer forbids them."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from cloudjhub.local import processes
from cloudjhub.local.machines.base import MachineSpec
from cloudjhub.local.machines.disk import write_private
from cloudjhub.local.machines.loopback import Host, LoopbackMachine, own_account

# prctl(2): orphans of the machine become children of its sshd, where we find them. The setting
# survives the exec; sshd reaps children it does not know.
_ADOPT_ORPHANS = (
    "import ctypes, os, sys;"
    "ctypes.CDLL(None, use_errno=True).prctl(36, 1, 0, 0, 0);"
    "os.execv(sys.argv[1], sys.argv[1:])"
)


class PlainMachine(LoopbackMachine):
    """Logs in as whoever runs the local EC2; its disk is found under ``$CLOUDJHUB_ROOT``."""

    def __init__(self, spec: MachineSpec, host: Host):
        super().__init__(spec, host)
        self.control_account = self.notebook_account = own_account()

    def first_command(self) -> list[str]:
        return [sys.executable, "-I", "-S", "-c", _ADOPT_ORPHANS, *self.sshd_command()]

    def session_environment(self) -> dict[str, str]:
        return self.host.base_environment(self.spec.instance_id) | {
            # Not the notebook account's home, although the account is the same: that one must be
            # empty when a volume is mounted on it.
            "HOME": str(self.disk.root / "control"),
            "CLOUDJHUB_ROOT": str(self.disk.root),
            "JUPYTER_CONFIG_PATH": str(self.spec.folder / "etc" / "jupyter"),
        }

    def extra_sshd_lines(self) -> list[str]:
        session = f'"{self.host.shims}/session"' if " " in str(self.host.shims) else None
        command = session or f"{self.host.shims}/session"
        return [f"ForceCommand {command}", "PermitRootLogin prohibit-password"]

    def write_files(self) -> None:
        (self.disk.root / "control").mkdir(exist_ok=True)
        if os.getuid() == 0:
            # sshd run by root insists on this folder; distributions make it at its first start.
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        jupyter = self.spec.folder / "etc" / "jupyter"
        jupyter.mkdir(parents=True, exist_ok=True)
        # Where root runs the local EC2 the notebook account is root, which Jupyter refuses.
        settings = b'{"ServerApp": {"allow_root": true}}\n' if os.getuid() == 0 else b"{}\n"
        write_private(jupyter / "jupyter_server_config.json", settings)

    def run(self, command: Sequence[str], *, timeout_seconds: float = 60.0) -> str:
        finished = subprocess.run(
            list(command),
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_seconds,
            env=self.session_environment(),
            cwd=self.disk.root / "control",
        )
        return finished.stdout

    def _living(self) -> list[int]:
        # By environment as well: whoever killed sshd first left its sessions to others.
        finder = processes.Finder(self.host.state_dir, self.spec.instance_id)
        return finder() if self._leader else []
