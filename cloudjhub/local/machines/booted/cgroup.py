"""A machine's control groups: its memory and processors, its sleep, and its own accounts."""

import contextlib
import os
import time
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

MOUNT = Path("/sys/fs/cgroup")
_V1 = (
    "blkio",
    "cpu",
    "cpuacct",
    "cpuset",
    "devices",
    "freezer",
    "memory",
    "pids",
    "systemd",
    "unified",
)
_PERIOD = 100_000
_REMOVAL_SECONDS = 5.0


def family(state_dir: Path) -> str:
    """The name under which all control groups of one local EC2 are."""
    return f"cloudjhub-{sha256(os.fsencode(state_dir)).hexdigest()[:12]}"


class ControlGroup:
    """One per machine, in every hierarchy that this computer has."""

    def __init__(self, state_dir: Path, instance_id: str):
        self._name = f"{family(state_dir)}/{instance_id}"

    def make(self, *, memory_mib: int, vcpus: int) -> None:
        """Limits of 0 are none."""
        if _is_v2():
            self._enable_controllers()
        for hierarchy in hierarchies():
            folder = hierarchy / self._name
            folder.mkdir(parents=True, exist_ok=True)
            if hierarchy.name == "cpuset":
                _inherit_cpuset(hierarchy, folder)
        memory, quota = memory_mib << 20, vcpus * _PERIOD
        self._write("memory/memory.limit_in_bytes", memory or -1)
        self._write("cpu/cpu.cfs_quota_us", quota or -1)
        if _is_v2():
            self._write("memory.max", memory or "max")
            self._write("cpu.max", f"{quota or 'max'} {_PERIOD}")

    def process_files(self) -> list[Path]:
        """A process that writes its id to each of these, "0" meaning itself, is in the group."""
        return [hierarchy / self._name / "cgroup.procs" for hierarchy in hierarchies()]

    def freeze(self) -> None:
        """No process of the machine does anything until :meth:`thaw`."""
        self._write("freezer/freezer.state", "FROZEN")
        if _is_v2():
            self._write("cgroup.freeze", 1)

    def thaw(self) -> None:
        self._write("freezer/freezer.state", "THAWED")
        if _is_v2():
            self._write("cgroup.freeze", 0)

    def remove(self) -> None:
        """Its processes have ended; the kernel may need a moment to see that."""
        remove(hierarchy / self._name for hierarchy in hierarchies())

    def _enable_controllers(self) -> None:
        """Version 2 has a group's controllers only where those above it pass them on."""
        above = (MOUNT / self._name).parent
        above.mkdir(exist_ok=True)
        for group in (MOUNT, above):
            for controller in ("cpu", "memory", "pids"):
                with contextlib.suppress(OSError):
                    (group / "cgroup.subtree_control").write_text(f"+{controller}")

    def _write(self, name: str, value: object) -> None:
        """To the file of that name in this group, where there is such a hierarchy."""
        first, _, rest = name.partition("/")
        path = MOUNT / first / self._name / rest if rest else MOUNT / self._name / first
        # Not every computer has every controller; a machine without a limit still works.
        with contextlib.suppress(OSError):
            path.write_text(str(value))


def hierarchies() -> list[Path]:
    """Where control groups are made: one folder with version 2, several with version 1."""
    if _is_v2():
        return [MOUNT]
    return [MOUNT / name for name in _V1 if (MOUNT / name / "cgroup.procs").exists()]


def thaw_all(state_dir: Path) -> None:
    """A frozen process cannot be killed."""
    for hierarchy in hierarchies():
        for folder in (hierarchy / family(state_dir)).glob("*/"):
            ControlGroup(state_dir, folder.name).thaw()


def remove_all(state_dir: Path) -> None:
    """Of a local EC2 whose machines have ended."""
    remove(hierarchy / family(state_dir) for hierarchy in hierarchies())


def remove(groups: Iterable[Path]) -> None:
    """Removes groups with all below them; what still has a process after a while stays."""
    deadline = time.monotonic() + _REMOVAL_SECONDS
    for group in groups:
        while group.exists() and not _removed(group) and time.monotonic() < deadline:
            time.sleep(0.01)


def _removed(group: Path) -> bool:
    for path, _, _ in os.walk(group, topdown=False):
        with contextlib.suppress(OSError):
            os.rmdir(path)
    return not group.exists()


def _inherit_cpuset(hierarchy: Path, folder: Path) -> None:
    """A new cpuset is empty, and nothing can run in it."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        value = (hierarchy / name).read_text()
        for group in (folder.parent, folder):
            (group / name).write_text(value)


def _is_v2() -> bool:
    return (MOUNT / "cgroup.controllers").exists()
