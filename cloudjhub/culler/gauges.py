"""What the culler counts and measures, for Prometheus, in a registry of its own process."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from cloudjhub.culler.board import Board, Stop
from cloudjhub.culler.findings import PLANNED, SweepReport

REGISTRY = CollectorRegistry()

config_ok = Gauge(
    "cloudjhub_culler_config_ok",
    "1: server_config.json is as it stands; 0: it is broken and what it said before is in force.",
    registry=REGISTRY,
)
rounds = Counter(
    "cloudjhub_culler_rounds",
    "Looks at the hub; outcome: read, or unread where nothing was judged.",
    ["outcome"],
    registry=REGISTRY,
)
last_round = Gauge(
    "cloudjhub_culler_last_round_timestamp_seconds",
    "When everything could be read last.",
    registry=REGISTRY,
)
unsettled = Gauge(
    "cloudjhub_culler_unsettled",
    "1: nobody becomes idle, since the hub was out of sight a moment ago; 0: time counts.",
    registry=REGISTRY,
)
servers = Gauge(
    "cloudjhub_culler_servers",
    "Servers in the last round: kept, or due to be stopped.",
    ["verdict"],
    registry=REGISTRY,
)
stops = Counter(
    "cloudjhub_culler_stops",
    "Servers that were to be stopped; outcome: done, came_back, unheard or refused.",
    ["action", "outcome"],
    registry=REGISTRY,
)

sweep_findings = Gauge(
    "cloudjhub_sweep_findings",
    "What the last sweep found; result: listed, done or refused.",
    ["kind", "step", "result"],
    registry=REGISTRY,
)
sweep_actions = Counter(
    "cloudjhub_sweep_actions",
    "What sweeps did; result: done or refused.",
    ["kind", "step", "result"],
    registry=REGISTRY,
)
sweeps = Counter(
    "cloudjhub_sweeps",
    "Comparisons of EC2 with the hub; outcome: read, or unread where nothing was done.",
    ["outcome"],
    registry=REGISTRY,
)


def show(board: Board) -> None:
    """After a round."""
    config_ok.set(0 if board.config_finding else 1)
    rounds.labels("read" if board.complete else "unread").inc()
    if board.judged_at is not None:
        last_round.set(board.judged_at.timestamp())
    unsettled.set(0 if board.settled_at is None else 1)
    due = sum(each.verdict.stops for each in board.judged)
    servers.labels("due").set(due)
    servers.labels("kept").set(len(board.judged) - due)


def stopped(stop: Stop) -> None:
    """After the hub's answer."""
    stops.labels(stop.action, stop.outcome).inc()


def swept(report: SweepReport) -> None:
    """After a sweep."""
    sweeps.labels("unread" if report.unreadable else "read").inc()
    sweep_findings.clear()
    for labels, count in report.counts().items():
        sweep_findings.labels(*labels).set(count)
    # Volumes and the like are looked at once an hour, and stay in the reports until the next time.
    new = report.machines + (report.leftovers if report.leftovers_at == report.at else ())
    for each in new:
        if each.step and each.outcome != PLANNED:
            sweep_actions.labels(each.kind, each.step, each.result).inc()
