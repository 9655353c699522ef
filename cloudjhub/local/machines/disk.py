"""A machine's folder: its disk, its keys and the volumes it sees."""

import os
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path

from cloudjhub.local.machines.base import MachineSpec

#: Where a Linux machine finds its EBS volumes by id
#: (https://docs.aws.amazon.com/ebs/latest/userguide/identify-nvme-ebs-device.html).
BY_ID = "dev/disk/by-id"
CONSOLE_BYTES = 64 * 1024
_DEVICE_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}


def device_name(volume_id: str) -> str:
    """``vol-0abc`` -> ``nvme-Amazon_Elastic_Block_Store_vol0abc``."""
    return f"nvme-Amazon_Elastic_Block_Store_{volume_id.replace('-', '')}"


class MachineDisk:
    """Files under ``spec.folder``; everything in it is closed to other accounts."""

    def __init__(self, spec: MachineSpec):
        self.spec = spec
        self.root = spec.folder / "disk"
        self.console_path = spec.folder / "console.log"

    def prepare(self, accounts: Sequence[str]) -> None:
        """Makes what is missing; what a boot makes new (/run, mounts) is emptied."""
        self.spec.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for account in accounts:
            (self.root / "home" / account).mkdir(parents=True, exist_ok=True)
        (self.root / BY_ID).mkdir(parents=True, exist_ok=True)
        for name, target in _DEVICE_LINKS.items():
            if not (self.root / "dev" / name).is_symlink():
                (self.root / "dev" / name).symlink_to(target)
        shutil.rmtree(self.root / "run", ignore_errors=True)
        (self.root / "run").mkdir()
        for mounted in self._mounts():
            mounted.unlink()
            mounted.mkdir()
        self._make_keys()

    def set_volumes(self, volume_ids: Sequence[str]) -> None:
        """Exactly these volumes are attached."""
        wanted = {device_name(volume_id) for volume_id in volume_ids}
        for link in (self.root / BY_ID).iterdir():
            if link.name not in wanted:
                link.unlink()
        for volume_id in volume_ids:
            self.attach(volume_id)

    def attach(self, volume_id: str) -> None:
        folder = self.spec.volumes / volume_id
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        (self.root / BY_ID).mkdir(parents=True, exist_ok=True)
        link = self.root / BY_ID / device_name(volume_id)
        if not link.is_symlink():
            link.symlink_to(folder)

    def detach(self, volume_id: str) -> None:
        (self.root / BY_ID / device_name(volume_id)).unlink(missing_ok=True)

    def is_mounted(self, volume_id: str) -> bool:
        data = str(self.spec.volumes / volume_id / "data")
        return any(os.readlink(mounted) == data for mounted in self._mounts())

    def remove(self) -> None:
        shutil.rmtree(self.spec.folder, ignore_errors=True)

    def console(self) -> str:
        """The latest 64 KiB, as EC2 keeps it."""
        try:
            with self.console_path.open("rb") as log:
                log.seek(max(0, self.console_path.stat().st_size - CONSOLE_BYTES))
                return log.read().decode(errors="replace")
        except FileNotFoundError:
            return ""

    def log(self, line: str) -> None:
        """Adds a line of the machine's "firmware" to its console."""
        with self.console_path.open("a") as log:
            log.write(line + "\n")

    def _mounts(self) -> list[Path]:
        """Directories the ``mount`` shim replaced by a link to a volume's data."""
        homes = self.root / "home"
        entries = list(homes.iterdir()) if homes.is_dir() else []
        prefix = f"{self.spec.volumes}/"
        return [p for p in entries if p.is_symlink() and os.readlink(p).startswith(prefix)]

    def _make_keys(self) -> None:
        # Imported here: starting the service loads it anyway, reading settings need not.
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        authorized = self.spec.folder / "authorized_keys"
        if not authorized.exists():
            authorized.write_text(f"{self.spec.authorized_key}\n")
        host_key = self.spec.folder / "host_key"
        if not host_key.exists():
            pem = Ed25519PrivateKey.generate().private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.OpenSSH,
                serialization.NoEncryption(),
            )
            write_private(host_key, pem)


def write_private(path: Path, content: bytes) -> None:
    """Writes a file that only its owner can read, from its first moment; all of it or nothing."""
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    draft.replace(path)


def hostname_of(address: str) -> str:
    """EC2's private host name of an address."""
    socket.inet_aton(address)
    return f"ip-{address.replace('.', '-')}"
