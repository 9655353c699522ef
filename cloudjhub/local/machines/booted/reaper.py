"""Ends the machines of a local EC2 that is gone; what they had mounted and held goes with them.

``python -m cloudjhub.local.machines.booted.reaper STATE_DIR`` waits until its standard input
ends, which is when the local EC2 that started it has ended, however it did.
"""

import signal
import sys
from pathlib import Path

from cloudjhub.local import processes
from cloudjhub.local.machines.booted import cgroup


def end_all(state_dir: Path) -> None:
    """Ends what runs for this state folder, frozen or not. Mounts and loop devices end with it."""
    cgroup.thaw_all(state_dir)
    processes.kill_all(processes.Finder(state_dir))
    cgroup.remove_all(state_dir)


def main() -> None:
    state_dir = Path(sys.argv[1])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    end_all(state_dir)


if __name__ == "__main__":
    main()
