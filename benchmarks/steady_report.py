"""What servers at rest are reported as: lines for the eye, tables for the README."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench import markdown_table, table
from hub_under_test import WAYS
from meter_file import Lateness
from span import Span
from stall_report import by_us, late, stall_lines


@dataclass(frozen=True)
class Restart:
    """The hub was killed; seconds from its end."""

    answered_seconds: float
    adopted_seconds: float  # until it has taken up every server
    lateness: Lateness
    memory_mib: float  # a while afterwards


@dataclass(frozen=True)
class Steadiness:
    """How one way went."""

    way: str
    servers: int
    first_restart: Restart  # with one server
    rest: Span  # a while in which nobody did anything
    restart: Restart  # with all
    still_ready: int  # servers, at the end
    wrong: Sequence[str]

    @property
    def is_failure(self) -> bool:
        """A server was lost, or runs on somebody else's machine."""
        return bool(self.wrong) or self.still_ready != self.servers

    @property
    def kib_per_server(self) -> float | None:
        """Of the hub's memory, both ends measured after a restart; None for a single server."""
        if self.servers < 2:
            return None
        more = self.restart.memory_mib - self.first_restart.memory_mib
        return 1024 * more / (self.servers - 1)


def one_way(found: Steadiness) -> str:
    """Everything about one way."""
    rest, restart, one = found.rest, found.restart, found.first_restart
    calls = ", ".join(f"{sum(c.values())} {action}" for action, c in sorted(rest.calls.items()))
    return "\n".join(
        [
            f"\n== {WAYS[found.way]}, {found.servers} servers",
            f"at rest for {rest.seconds:.0f} s: EC2 calls: {calls or 'none'}; "
            f"SSH logins: {rest.ssh.logins}, probes: {rest.ssh.probes}; "
            f"all cores {rest.busy:.0%} busy, load before {rest.load_before:.1f}",
            f"CPU seconds a minute: hub {rest.a_minute(rest.usage.hub):.2f}, proxy "
            f"{rest.a_minute(rest.usage.proxy):.2f}, local EC2 "
            f"{rest.a_minute(rest.usage.ec2):.2f}, machines "
            f"{rest.a_minute(rest.usage.machines):.2f}",
            *stall_lines(rest.lateness),
            f"killed: answered after {restart.answered_seconds:.1f} s, all servers taken up after "
            f"{restart.adopted_seconds:.1f} s ({one.adopted_seconds:.1f} s with one server); "
            "while it came back",
            *stall_lines(restart.lateness),
            f"hub's memory: {one.memory_mib:.0f} MiB with one server, "
            f"{rest.memory_mib:.0f} MiB at rest, {restart.memory_mib:.0f} MiB after the restart",
            f"{found.still_ready} of {found.servers} servers are ready in the end",
            *(f"  {complaint}" for complaint in found.wrong[:5]),
        ]
    )


_Column = Callable[[Steadiness], str]


def _calls(found: Steadiness) -> str:
    return f"{found.rest.a_minute(found.rest.made):.1f}" if found.way != "nothing" else "-"


def _per_server(found: Steadiness) -> str:
    return "-" if found.kib_per_server is None else f"{found.kib_per_server:.0f}"


COLUMNS: dict[str, _Column] = {
    "EC2 calls a minute": _calls,
    "SSH": lambda f: str(f.rest.ssh.logins) if f.way != "nothing" else "-",
    "hub CPU, s a minute": lambda f: f"{f.rest.a_minute(f.rest.usage.hub):.2f}",
    "stalls max / p99, ms": lambda f: late(f.rest.lateness),
    "our step (CPU) / threads, ms": lambda f: by_us(f.rest.lateness) if f.way != "nothing" else "-",
    "hub at rest, MiB": lambda f: f"{f.rest.memory_mib:.0f}",
    "KiB per server": _per_server,
    "restart until all are taken up, s": lambda f: f"{f.restart.adopted_seconds:.1f}",
    "with one server, s": lambda f: f"{f.first_restart.adopted_seconds:.1f}",
    "ready in the end": lambda f: f"{f.still_ready} of {f.servers}",
    "load before": lambda f: f"{f.rest.load_before:.1f}",
}


def tables(found: Sequence[Steadiness], markdown: bool) -> str:
    """All ways side by side."""
    rows = [["", *COLUMNS]]
    rows += [[WAYS[one.way], *(column(one) for column in COLUMNS.values())] for one in found]
    lines = ["", (markdown_table if markdown else table)(rows)]
    by_way = {one.way: one for one in found}
    if len(by_way) == 2 and found[0].servers > 1:
        ours, nothing = by_way["ours"], by_way["nothing"]
        memory = (ours.kib_per_server or 0) - (nothing.kib_per_server or 0)
        later = ours.restart.adopted_seconds - nothing.restart.adopted_seconds
        lines.append(
            f"\nBeyond the spawner that does nothing: {memory:.0f} KiB of memory per server, "
            f"{later:.1f} s of the restart."
        )
    return "\n".join(lines)
