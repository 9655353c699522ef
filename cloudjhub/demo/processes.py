"""Processes by pid and start time, so that a recycled pid is never taken for an old one."""

import contextlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """One process of this computer, past or present."""

    pid: int
    started: str  # clock ticks after the computer's boot

    @classmethod
    def of(cls, pid: int) -> "Process | None":
        """The process that has this pid now; None where there is none."""
        started = _start_time(pid)
        return cls(pid, started) if started else None

    @property
    def alive(self) -> bool:
        """Whether it still runs; a zombie does not."""
        return _start_time(self.pid) == self.started


def _start_time(pid: int) -> str | None:
    with contextlib.suppress(OSError):
        # proc(5): the fields after the name, which may hold anything in parentheses.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        return None if fields[0] == "Z" else fields[19]
    return None


def descendants(pid: int) -> list[Process]:
    """Every process below this one."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            parent = int((entry / "stat").read_text().rpartition(") ")[2].split()[1])
            children.setdefault(parent, []).append(int(entry.name))
    found, waiting = [], [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        waiting.extend(below)
        found.extend(process for child in below if (process := Process.of(child)))
    return found
