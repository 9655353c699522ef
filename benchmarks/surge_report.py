"""What a surge is reported as: lines for the eye, tables for the README."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench import table
from crowd import Rush
from hub_under_test import SSH, WAYS
from meter_file import Lateness
from usage import Usage

_SHOWN = 5  # failures and stacks that are printed; more only repeat


@dataclass(frozen=True)
class Outcome:
    """How one way went."""

    way: str
    rush: Rush
    calls: dict[str, dict[str, int]]  # EC2 action -> ok, throttled, error
    usage: Usage
    ssh: SSH
    memory_before_mib: float
    memory_peak_mib: float
    seconds: float  # from the first click until the last user is ready or has failed
    busy_before: float  # share of all cores
    busy: float
    load_before: float
    deadline_seconds: float
    lateness: Lateness | None = None
    wrong: Sequence[str] = ()  # complaints about machines that do not run just their owner's server

    @property
    def asked(self) -> int:
        """How many people started a server."""
        return len(self.rush.visits)

    @property
    def is_failure(self) -> bool:
        """Somebody got nothing, or what is another's. Calls of one's own may come too late."""
        return bool(self.wrong) or (self.way != "unbatched" and bool(self.rush.failures))

    @property
    def made(self) -> int:
        """EC2 calls of all kinds."""
        return sum(sum(counts.values()) for counts in self.calls.values())

    @property
    def throttled(self) -> int:
        """Of these, refused for coming too fast."""
        return sum(counts["throttled"] for counts in self.calls.values())


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed."""
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1]


# Lines ----------------------------------------------------------------------------------------


def one_way(outcome: Outcome) -> str:
    """Everything about one way."""
    rush, used = outcome.rush, outcome.usage
    lines = [
        f"\n== {WAYS[outcome.way]}",
        f"{len(rush.times)} of {outcome.asked} ready in {outcome.seconds:.1f} s",
        *_times(rush),
        f"CPU seconds: hub {used.hub:.1f} ({1000 * used.hub / outcome.asked:.0f} ms per user), "
        f"proxy {used.proxy:.1f}, browsers {rush.cpu_seconds:.1f}, local EC2 {used.ec2:.1f}, "
        f"machines {used.machines:.1f}; all cores {outcome.busy:.0%} busy, "
        f"{outcome.busy_before:.0%} before, load before {outcome.load_before:.1f}",
        f"hub's memory: {outcome.memory_before_mib:.0f} MiB before, "
        f"{outcome.memory_peak_mib:.0f} MiB at most",
        f"SSH logins: {outcome.ssh.logins}, probes for a first word: {outcome.ssh.probes}",
        *stall_lines(outcome.lateness),
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


def stall_lines(lateness: Lateness | None) -> list[str]:
    """How late the loop was, the worst stalls, where the loop was found."""
    if lateness is None:
        return []
    lines = [
        f"the hub's loop was late by at most {1000 * lateness.longest:.0f} ms, "
        f"p99 {1000 * lateness.p99:.0f} ms; {len(lateness.stalls)} times by more than 50 ms, "
        f"{sum(stall.late for stall in lateness.stalls):.1f} s in all, of which our code took "
        f"{lateness.by_us:.2f} s",
        f"our code's longest step (of it CPU) / our threads in one stall: {by_us(lateness)} ms; "
        f"garbage collections over 10 ms: {len(lateness.collections)}, "
        f"{1000 * max(lateness.collections, default=0):.0f} ms at most, "
        f"{sum(lateness.collections):.1f} s in all",
    ]
    for stall in sorted(lateness.stalls, key=lambda stall: -stall.by_us)[:_SHOWN]:
        lines.append(
            f"  {1000 * stall.late:.0f} ms: {1000 * stall.by_us:.0f} ours (loop "
            f"{1000 * stall.loop:.0f}, threads {1000 * stall.threads:.0f}, waiting for a core "
            f"{1000 * stall.queued:.0f}) {next(iter(stall.stacks), '')}"
        )
    for step in sorted(lateness.steps, key=lambda step: -step.by_us)[:_SHOWN]:
        if step.by_us:
            place = next(iter(step.stacks), "")
            lines.append(
                f"  a step of {1000 * step.took:.0f} ms ({1000 * step.loop:.0f} CPU): "
                f"{1000 * step.by_us:.0f} ours {place}"
            )
    lines += [f"  {count} looks: {stack}" for stack, count in lateness.stacks(_SHOWN)]
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


def _late(outcome: Outcome) -> str:
    late = outcome.lateness
    return f"{1000 * late.longest:.0f} / {1000 * late.p99:.0f}" if late else "-"


def by_us(late: Lateness | None) -> str:
    """The longest step of our code, its CPU, and the longest wait for our threads, ms."""
    if late is None:
        return "-"
    step = late.longest_step
    said = "< 50"
    if step is not None:
        cpu = max(0.0, step.loop - step.collected) * step.ours_share
        said = f"{1000 * step.by_us:.0f} ({1000 * cpu:.0f})"
    return f"{said} / {1000 * late.longest_behind_threads:.0f}"


def _calls(outcome: Outcome) -> str:
    return f"{outcome.made} ({outcome.throttled})" if outcome.way != "nothing" else "-"


COLUMNS: dict[str, _Column] = {
    "ready": _ready,
    "p50": _at(0.5),
    "p95": _at(0.95),
    "p99": _at(0.99),
    "max, s": _at(1.0),
    "EC2 calls (throttled)": _calls,
    "SSH": lambda outcome: str(outcome.ssh.logins) if outcome.way != "nothing" else "-",
    "hub CPU, s": lambda outcome: f"{outcome.usage.hub:.1f}",
    "hub peak, MiB": lambda outcome: f"{outcome.memory_peak_mib:.0f}",
    "stalls max / p99, ms": _late,
    "our step (CPU) / threads, ms": lambda o: by_us(o.lateness) if o.way != "nothing" else "-",
    "browsers' CPU, s": lambda outcome: f"{outcome.rush.cpu_seconds:.1f}",
    "on wrong machines": lambda o: str(len(o.wrong)) if o.way != "nothing" else "-",
    "load before": lambda outcome: f"{outcome.load_before:.1f}",
}


def tables(outcomes: Sequence[Outcome], *, markdown: bool) -> str:
    """All ways side by side, then EC2's calls by action."""
    draw = markdown_table if markdown else table
    rows = [["", *COLUMNS]]
    rows += [[WAYS[o.way], *(column(o) for column in COLUMNS.values())] for o in outcomes]
    calling = [outcome for outcome in outcomes if outcome.way != "nothing"]
    actions = sorted({action for outcome in calling for action in outcome.calls})
    by_action = [["EC2 calls (throttled)", *(WAYS[outcome.way] for outcome in calling)]]
    by_action += [[action, *(_of_action(o, action) for o in calling)] for action in actions]
    return "\n" + "\n\n".join([draw(rows), draw(by_action)] if calling else [draw(rows)])


def _of_action(outcome: Outcome, action: str) -> str:
    counts = outcome.calls.get(action, {})
    return f"{sum(counts.values())} ({counts.get('throttled', 0)})"


def markdown_table(rows: Sequence[Sequence[object]]) -> str:
    """Rows for a Markdown file; the first is the head."""
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])
