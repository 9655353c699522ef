"""Files that are large and mostly empty."""

import subprocess
from pathlib import Path

from cloudjhub.local.settings import LocalEC2Error

_SECONDS = 600


def copy(source: Path, target: Path) -> None:
    """A copy that takes no more room than the original. Raises LocalEC2Error."""
    run(["cp", "--sparse=auto", "--reflink=auto", str(source), str(target)], source)


def run(command: list[str], about: Path) -> None:
    """Runs a command that works on a file. Raises LocalEC2Error with what it says."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    if done.returncode != 0:
        raise LocalEC2Error(f"{command[0]} failed with {about}: {done.stderr.strip()}")
