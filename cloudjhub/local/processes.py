"""Finding and ending the processes of machines. Standard library only: the reaper uses it too."""

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

#: Every process of a machine carries these in its environment, unless it cleared it.
ID_VARIABLE = "LOCALEC2_ID"
STATE_VARIABLE = "LOCALEC2_STATE"

#: In a machine's folder: "<pid> <start time>" of its first process while it runs.
LEADER_FILE = "leader"

KILL_DEADLINE_SECONDS = 60.0


def start_time(pid: int) -> str | None:
    """Clock ticks between the computer's boot and the process's; None if there is no such process.

    Together with the pid it names a process for ever; a pid alone is used again.
    """
    fields = _stat(pid)
    return fields[19] if fields and fields[0] != "Z" else None


def tree(leader: int) -> list[int]:
    """A process and all its descendants, parents before children."""
    found = [leader] if start_time(leader) else []
    for pid in found:
        found.extend(child for child in _children(pid) if child not in found)
    return found


def marked(state_dir: Path, instance_id: str | None = None) -> list[int]:
    """Processes whose environment says they belong to this machine, or to this state folder.

    Notebook servers are started with an environment of their own, which keeps but the id.
    """
    mark = f"{ID_VARIABLE}={instance_id}" if instance_id else f"{STATE_VARIABLE}={state_dir}"
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            environment = Path("/proc", entry, "environ").read_bytes().split(b"\0")
            if mark.encode() in environment:
                found.append(int(entry))
    return found


def send(pids: Iterable[int], number: int) -> None:
    """Sends a signal to whichever of the processes still exist."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def kill_all(find: "Finder") -> None:
    """Kills what ``find()`` finds until it finds nothing, children before parents.

    Children first, so that no grandchild loses its parent and thereby our sight.
    Raises TimeoutError naming what does not die.
    """
    deadline = time.monotonic() + KILL_DEADLINE_SECONDS
    while pids := find():
        if time.monotonic() > deadline:
            raise TimeoutError(f"processes {pids} are still there after being killed")
        send(pids, signal.SIGSTOP)
        send(reversed(pids), signal.SIGKILL)
        time.sleep(0.002)


class Finder:
    """Finds the living processes of one machine, or of all machines of a state folder."""

    def __init__(self, state_dir: Path, instance_id: str | None = None):
        self.state_dir = state_dir
        self.instance_id = instance_id

    def __call__(self) -> list[int]:
        """Pids, parents before children."""
        found: list[int] = []
        for leader in self._leaders():
            found.extend(pid for pid in tree(leader) if pid not in found)
        for pid in marked(self.state_dir, self.instance_id):
            if pid not in found and start_time(pid):
                found.append(pid)
        return found

    def _leaders(self) -> list[int]:
        pattern = f"{self.instance_id or '*'}/{LEADER_FILE}"
        leaders = [read_leader(path) for path in (self.state_dir / "machines").glob(pattern)]
        return [pid for pid in leaders if pid is not None]


def write_leader(folder: Path, pid: int) -> None:
    """Records a machine's first process."""
    (folder / LEADER_FILE).write_text(f"{pid} {start_time(pid)}\n")


def read_leader(path: Path) -> int | None:
    """The recorded process if it is still the same one."""
    try:
        pid, _, started = path.read_text().strip().partition(" ")
    except OSError:
        return None
    return int(pid) if pid.isdigit() and start_time(int(pid)) == started else None


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the command name; proc(5) numbers them from 3."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return []


def _children(pid: int) -> list[int]:
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []
    children: list[int] = []
    for task in tasks:
        with contextlib.suppress(OSError):
            listed = Path(f"/proc/{pid}/task/{task}/children").read_text()
            children.extend(int(child) for child in listed.split())
    return [child for child in children if start_time(child)]
