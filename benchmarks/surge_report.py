"""What a surge is reported as: lines for the eye, tables for the README."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench import markdown_table, table
from crowd import Rush
from hub_under_test import WAYS
from span import Span
from stall_report import by_us, late, stall_lines

_SHOWN = 5  # failures that are printed; more only repeat


@dataclass(frozen=True)
class Outcome:
    """How one way went."""

    way: str
    rush: Rush
    span: Span  # from the first click until the last user is ready or has failed
    memory_before_mib: float
    memory_peak_mib: float
    busy_before: float  # share of all cores
    deadline_seconds: float
    wrong: Sequence[str] = ()  # complaints about machines that do not run just their owner's server

    @property
    def asked(self) -> int:
        """How many people started a server."""
        return len(self.rush.visits)

    @property
    def is_failure(self) -> bool:
        """Somebody got nothing, or what is another's. Calls of one's own may come too late."""
        return bool(self.wrong) or (self.way != "unbatched" and bool(self.rush.failures))


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed."""
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1]


# Lines ----------------------------------------------------------------------------------------


def one_way(outcome: Outcome) -> str:
    """Everything about one way."""
    rush, span, used = outcome.rush, outcome.span, outcome.span.usage
    lines = [
        f"\n== {WAYS[outcome.way]}",
        f"{len(rush.times)} of {outcome.asked} ready in {span.seconds:.1f} s",
        *_times(rush),
        f"CPU seconds: hub {used.hub:.1f} ({1000 * used.hub / outcome.asked:.0f} ms per user), "
        f"proxy {used.proxy:.1f}, browsers {rush.cpu_seconds:.1f}, local EC2 {used.ec2:.1f}, "
        f"machines {used.machines:.1f}; all cores {span.busy:.0%} busy, "
        f"{outcome.busy_before:.0%} before, load before {span.load_before:.1f}",
        f"hub's memory: {outcome.memory_before_mib:.0f} MiB before, "
        f"{outcome.memory_peak_mib:.0f} MiB at most",
        f"SSH logins: {span.ssh.logins}, probes for a first word: {span.ssh.probes}",
        *stall_lines(span.lateness),
        *_doubles(outcome),
        *_failures(rush),
    ]
    return "\n".join(lines)


def _times(rush: Rush) -> list[str]:
    if not rush.times:
        return []
    shares = {"first": 0.0, "p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
    said = [f"{name} {percentile(rush.times, at):.1f}" for name, at in shares.items()]
    heard = sorted(v.answered for v in rush.visits.values() if v.answered is not None)
    lines = ["click to ready, seconds: " + ", ".join(said)]
    if heard:
        middle, last = percentile(heard, 0.5), heard[-1]
        lines.append(f"click to the page that waits, seconds: p50 {middle:.1f}, max {last:.1f}")
    return lines


def _doubles(outcome: Outcome) -> list[str]:
    if outcome.way == "nothing":
        return []
    ready = len(outcome.rush.times)
    return [
        f"{ready - len(outcome.wrong)} of {ready} machines run exactly their owner's server",
        *(f"  {complaint}" for complaint in outcome.wrong[:_SHOWN]),
    ]


def _failures(rush: Rush) -> list[str]:
    lines = [f"  {name}: {v.error} ({v.last_word})" for name, v in rush.failures.items()]
    more = len(lines) - _SHOWN
    return [*lines[:_SHOWN], *([f"  and {more} more"] if more > 0 else [])]


# Tables ---------------------------------------------------------------------------------------

_Column = Callable[[Outcome], str]


def _at(share: float) -> _Column:
    def seconds(outcome: Outcome) -> str:
        times = outcome.rush.times
        return f"{percentile(times, share):.1f}" if times else "-"

    return seconds


def _ready(outcome: Outcome) -> str:
    ready = len(outcome.rush.times)
    share = f"{ready} ({ready / outcome.asked:.0%})"
    late = ready < outcome.asked and outcome.way == "unbatched"
    return f"{share} by {outcome.deadline_seconds:.0f} s" if late else share


def _calls(outcome: Outcome) -> str:
    return f"{outcome.span.made} ({outcome.span.throttled})" if outcome.way != "nothing" else "-"


COLUMNS: dict[str, _Column] = {
    "ready": _ready,
    "p50": _at(0.5),
    "p95": _at(0.95),
    "p99": _at(0.99),
    "max, s": _at(1.0),
    "EC2 calls (throttled)": _calls,
    "SSH": lambda o: str(o.span.ssh.logins) if o.way != "nothing" else "-",
    "hub CPU, s": lambda outcome: f"{outcome.span.usage.hub:.1f}",
    "hub peak, MiB": lambda outcome: f"{outcome.memory_peak_mib:.0f}",
    "stalls max / p99, ms": lambda outcome: late(outcome.span.lateness),
    "our step (CPU) / threads, ms": lambda o: by_us(o.span.lateness) if o.way != "nothing" else "-",
    "browsers' CPU, s": lambda outcome: f"{outcome.rush.cpu_seconds:.1f}",
    "on wrong machines": lambda o: str(len(o.wrong)) if o.way != "nothing" else "-",
    "load before": lambda outcome: f"{outcome.span.load_before:.1f}",
}


def tables(outcomes: Sequence[Outcome], markdown: bool) -> str:
    """All ways side by side, then EC2's calls by action."""
    draw = markdown_table if markdown else table
    rows = [["", *COLUMNS]]
    rows += [[WAYS[o.way], *(column(o) for column in COLUMNS.values())] for o in outcomes]
    calling = [outcome for outcome in outcomes if outcome.way != "nothing"]
    actions = sorted({action for outcome in calling for action in outcome.span.calls})
    by_action = [["EC2 calls (throttled)", *(WAYS[outcome.way] for outcome in calling)]]
    by_action += [[action, *(_of_action(o, action) for o in calling)] for action in actions]
    return "\n" + "\n\n".join([draw(rows), draw(by_action)] if calling else [draw(rows)])


def _of_action(outcome: Outcome, action: str) -> str:
    counts = outcome.span.calls.get(action, {})
    return f"{sum(counts.values())} ({counts.get('throttled', 0)})"
