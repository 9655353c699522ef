"""What a local EC2 with machines that boot may have left on this computer."""

import subprocess
from pathlib import Path

from cloudjhub.local import processes
from cloudjhub.local.machines.booted import cgroup
from cloudjhub.local.vpc import leftovers


def what_is_left(state: Path) -> list[str]:
    """Processes, block devices, mounts, control groups and networks of a state folder."""
    found = [f"process {pid}" for pid in processes.Finder(state)()]
    found += [line for line in command("losetup", "--list") if str(state) in line]
    found += [line for line in Path("/proc/mounts").read_text().splitlines() if str(state) in line]
    groups = [hierarchy / cgroup.family(state) for hierarchy in cgroup.hierarchies()]
    found += [str(group) for group in groups if group.exists()]
    vpc = leftovers.id_of(state)
    found += [line for line in command("ip", "netns", "list") if vpc in line]
    found += [line for line in command("ip", "-brief", "link") if vpc in line]
    return found


def command(*words: str) -> list[str]:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
