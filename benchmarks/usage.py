"""CPU and memory of the processes of a benchmark, from /proc."""

import os
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path

from cloudjhub.demo.processes import descendants

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """CPU seconds of each part up to some moment, or between two."""

    hub: float
    proxy: float
    ec2: float  # the local EC2, in the benchmark's own process
    machines: float  # whatever runs on them

    def __sub__(self, before: "Usage") -> "Usage":
        pairs = ((getattr(self, f.name), getattr(before, f.name)) for f in fields(self))
        return Usage(*(now - then for now, then in pairs))


def usage(hub: int, proxy: int, others: tuple[int | None, ...]) -> Usage:
    """As of now. ``others`` are processes that are no machines."""
    here = os.getpid()
    apart = {hub, proxy, here, *others}
    machines = [process.pid for process in descendants(here) if process.pid not in apart]
    return Usage(
        hub=cpu_seconds(hub),
        proxy=cpu_seconds(proxy),
        ec2=cpu_seconds(here),
        machines=sum(cpu_seconds(pid, with_children=True) for pid in machines),
    )


def cpu_seconds(pid: int, *, with_children: bool = False) -> float:
    """User and system time; that of children only once they ended. 0 of what is gone."""
    with suppress(OSError):
        # proc(5): the fields after the name, from the third on.
        fields_after = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        ticks = fields_after[11 : 15 if with_children else 13]
        return sum(map(int, ticks)) / _TICKS
    return 0.0


def memory_mib(pid: int, *, peak: bool = False) -> float:
    """Resident memory, or the most it has been since ``forget_peak``."""
    wanted = "VmHWM:" if peak else "VmRSS:"
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(wanted):
            return int(line.split()[1]) / 1024
    raise LookupError(f"/proc/{pid}/status has no {wanted}")


def forget_peak(pid: int) -> None:
    """The peak counts from here (proc(5), clear_refs)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
