"""Running ``ip`` and ``nft``."""

import os
import shutil
import subprocess
from collections.abc import Iterable

from cloudjhub.local.settings import LocalEC2Error

#: sbin is not in everybody's PATH
_PATH = f"{os.defpath}:/usr/local/sbin:/usr/sbin:/sbin"
_TIMEOUT_SECONDS = 30.0


def check() -> None:
    """Raises LocalEC2Error where a network of machines cannot be made."""
    if os.geteuid() != 0:
        raise LocalEC2Error(
            "Booted machines have a network of their own, which only root can make.",
            "Run it as root, or use another variant.",
        )
    for name, package in (("ip", "iproute2"), ("nft", "nftables")):
        if shutil.which(name, path=_PATH) is None:
            raise LocalEC2Error(
                f"There is no {name} on this computer.",
                f"Install it (Debian, Ubuntu: apt install {package}).",
            )


def run(*command: str, stdin: str = "") -> str:
    """What the command printed. Raises LocalEC2Error with what it complained about."""
    environment = {"PATH": _PATH, "LANG": "C.UTF-8"}
    try:
        done = subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SECONDS,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise LocalEC2Error(f"`{' '.join(command)}` did not end.") from error
    if done.returncode != 0:
        said = done.stderr.strip() or f"exit code {done.returncode}"
        raise LocalEC2Error(f"`{' '.join(command)}` failed: {said}")
    return done.stdout


def ip(lines: Iterable[str], *, namespace: str | None = None) -> None:
    """Several commands of ``ip`` in one process; the first that fails ends it."""
    where = ["-n", namespace] if namespace else []
    run("ip", *where, "-batch", "-", stdin="\n".join(lines) + "\n")


def nft(text: str, *, namespace: str | None = None) -> None:
    """Loads a ruleset: all of it or nothing."""
    where = ["ip", "netns", "exec", namespace] if namespace else []
    run(*where, "nft", "-f", "-", stdin=text)
