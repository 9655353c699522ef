"""What booted machines need of this computer, checked before anything is begun."""

import os
import shutil
from pathlib import Path

from cloudjhub.local.settings import LocalEC2Error

#: program -> the Debian package that has it
PROGRAMS = {
    "systemd-nspawn": "systemd-container",
    "mmdebstrap": "mmdebstrap",
    "ip": "iproute2",
    "nft": "nftables",
    "mkfs.ext4": "e2fsprogs",
    "unshare": "util-linux",
}

#: what Debian signs its archive with; other distributions have it in a package of this name
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def check_host() -> None:
    """Raises LocalEC2Error with the remedy where this computer cannot have such machines."""
    if os.geteuid() != 0:
        raise LocalEC2Error(
            "Machines that boot need root: they have disks, a network and a systemd of their own.",
            "Run this as root (sudo), or use --machines auto, which needs none.",
        )
    missing = sorted({package for name, package in PROGRAMS.items() if not shutil.which(name)})
    if not KEYRING.exists():
        missing.append(KEYRING.stem)
    if missing:
        raise LocalEC2Error(
            f"Machines that boot need {', '.join(missing)}.",
            f"Debian, Ubuntu: apt install {' '.join(missing)}.",
        )
    if not Path("/dev/loop-control").exists():
        raise LocalEC2Error(
            "Machines that boot need loop devices, and this computer has no /dev/loop-control.",
            "Load the module: modprobe loop.",
        )
