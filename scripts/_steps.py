"""What the commands say and run while they prepare themselves. Standard library only."""

from __future__ import annotations

import subprocess
import sys
import time

STARTED = time.monotonic()


class CannotPrepare(Exception):
    """The environment cannot be made; the message says what to do."""


def say(text: str) -> None:
    """One progress line with the time since the command began."""
    print(f"[{time.monotonic() - STARTED:6.1f} s] {text}", file=sys.stderr, flush=True)


def run(command: list[str], what: str, environment: dict[str, str] | None = None) -> str:
    """Run a step quietly and return what it printed; a failure shows its last lines."""
    done = subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        tail = "\n".join(f"    {line}" for line in done.stdout.splitlines()[-15:])
        raise CannotPrepare(
            f"This step failed: {what}\n\n    {' '.join(command)}\n{tail}\n\n"
            "Mend what its last lines say, then run this again; it goes on where it stopped."
        )
    return done.stdout
