"""What a sweep found, what it did about it, and how people read that."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

Kind = Literal["machine", "volume", "snapshot", "address"]
#: "": it is only listed
Step = Literal["", "stop", "hibernate", "wake", "remove"]

PLANNED = "planned"
DONE = "done"


@dataclass(frozen=True)
class Finding:
    """One thing in EC2 that no server of the hub accounts for."""

    kind: Kind
    id: str
    whose: str  # as its tags say; "" where they say nothing
    why: str
    step: Step = ""
    outcome: str = ""  # "" without a step, PLANNED, DONE, or a sentence: why it was not done
    seconds: float = 0.0  # for how long it has been seen so

    @property
    def result(self) -> str:
        """In one word, for counting."""
        if not self.step:
            return "listed"
        return self.outcome if self.outcome in (PLANNED, DONE) else "refused"

    def __str__(self) -> str:
        whose = f" of {self.whose}" if self.whose else ""
        step = f" -> {self.step}" if self.step else ""
        outcome = f": {self.outcome}" if self.outcome not in ("", PLANNED) else ""
        return f"{self.kind} {self.id}{whose}: {self.why}{step}{outcome}"


class Deed(NamedTuple):
    """What a sweep did or tried, and when."""

    at: datetime
    finding: Finding


@dataclass(frozen=True)
class SweepReport:
    """One round. ``unreadable``: why nothing was done about machines; "" where all was read."""

    at: datetime
    mode: str = ""  # SWEEP
    unreadable: str = ""
    machines: tuple[Finding, ...] = ()
    #: found by the last whole look at volumes, snapshots, addresses and machines that are off
    leftovers: tuple[Finding, ...] = ()
    leftovers_at: datetime | None = None  # of that look; None: there was none yet
    leftovers_unreadable: str = ""
    deeds: tuple[Deed, ...] = ()  # of the last rounds that had any, the latest first

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Everything, machines first."""
        return self.machines + self.leftovers

    def counts(self) -> dict[tuple[str, str, str], int]:
        """How many findings of each kind, step and result."""
        return dict(Counter((each.kind, each.step, each.result) for each in self.findings))

    def text(self) -> str:
        """For a terminal."""
        lines = [f"Sweep of {self.at:%Y-%m-%d %H:%M} UTC, SWEEP is {self.mode or 'unknown'}"]
        lines += _part("Machines without a server", self.machines, self.unreadable)
        lines += _part("What nobody owns", self.leftovers, self.leftovers_unreadable)
        return "\n".join(lines)


def _part(title: str, findings: Sequence[Finding], unreadable: str) -> list[str]:
    if unreadable:
        return [f"{title}: nothing is done, as not everything could be read. {unreadable}"]
    return [f"{title}: {len(findings) or 'none'}", *(f"  {each}" for each in findings)]
