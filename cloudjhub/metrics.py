"""What this hub counts and measures, for Prometheus; JupyterHub serves it at /hub/metrics.

JupyterHub exposes prometheus_client's default registry (handlers/metrics.py), where everything here
is registered once, at import. docs/metrics.md says what each name means.
"""

import logging
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from cloudjhub import ec2_errors

log = logging.getLogger(__name__)

# Of a label's value: its number. A plain number where there is no label; None where nobody knows.
Reading = float | Mapping[str, float] | None

# From a login that finds a spare to one whose machine is switched off, on, and replaced.
_PHASE_BUCKETS = (0.1, 0.25, 0.5, 1, 2, 3, 5, 8, 13, 20, 30, 45, 60, 90, 120, 180, 300, 600, 1200)
_BATCH_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)

ec2_calls = Counter(
    "cloudjhub_ec2_calls",
    "Requests to EC2's API; outcome: ok, throttled, no_answer, or EC2's error code.",
    ["action", "outcome"],
)
ec2_call_seconds = Histogram(
    "cloudjhub_ec2_call_seconds",
    "How long EC2 took to answer one request.",
    ["action"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
ec2_batch_size = Histogram(
    "cloudjhub_ec2_batch_size",
    "How many machines one call was about.",
    ["action"],
    buckets=_BATCH_BUCKETS,
)
phase_seconds = Histogram(
    "cloudjhub_phase_seconds",
    "How long a phase of a server's start took, of those that ended well.",
    ["phase"],
    buckets=_PHASE_BUCKETS,
)
phase_failures = Counter(
    "cloudjhub_phase_failures",
    "Phases of a server's start that ended by an error or were given up.",
    ["phase"],
)
logins_waiting = Gauge(
    "cloudjhub_logins_waiting",
    "Logins in a queue just now.",
    ["queue"],
)
capacity_refusals = Counter(
    "cloudjhub_capacity_refusals",
    "Answers of EC2 that it has no machine of this type in this zone.",
    ["type", "zone"],
)
hibernations = Counter(
    "cloudjhub_hibernations",
    "Machines to be hibernated; outcome: hibernates, refused by EC2, or not_configured for it.",
    ["outcome"],
)
wakes = Counter(
    "cloudjhub_wakes",
    "Starts of users whose server was hibernated; outcome: resumed, or a new server.",
    ["outcome"],
)
limit_refusals = Counter(
    "cloudjhub_limit_refusals",
    "Logins that found no place; limit: the cluster's or the account's.",
    ["limit"],
)


@dataclass(frozen=True)
class _Watched:
    """A gauge that is asked for at each scrape; its label's name, or "" for none."""

    help: str
    label: str = ""


_WATCHED = {
    "view_age_seconds": _Watched("Age of the last good listing of the machines."),
    "machines": _Watched("Machines of the cluster by EC2's state, spares included.", "state"),
    "spares": _Watched(
        "Machines that belong to nobody: ready, or EC2's state; running: not ready yet.", "state"
    ),
    "pool_wanted": _Watched("How many spares POOL asks for just now, within POOL_MAX."),
    "machines_limit": _Watched("MAX_MACHINES; absent where there is no limit."),
    "quota_vcpus": _Watched(
        "The account's quota of vCPUs for the machines' type; absent where it is not known."
    ),
    "quota_machines": _Watched(
        "How many machines that quota holds if the account runs nothing else."
    ),
}


def ec2_called(action: str, code: str | None, seconds: float) -> None:
    """One request was sent and answered by that code: "" is a good answer, None was none."""
    ec2_calls.labels(action, ec2_errors.outcome(code)).inc()
    ec2_call_seconds.labels(action).observe(seconds)


def batch_sent(action: str, size: int) -> None:
    """One call was made for that many askers."""
    ec2_batch_size.labels(action).observe(size)


def phase_took(phase: str, seconds: float) -> None:
    """A phase of a start ended well."""
    phase_seconds.labels(phase).observe(seconds)


def phase_failed(phase: str) -> None:
    """A phase of a start ended by an error, or its start was given up."""
    phase_failures.labels(phase).inc()


def capacity_refused(instance_type: str, zone: str) -> None:
    """EC2 has none of this type in this zone."""
    capacity_refusals.labels(instance_type, zone).inc()


class _AtScrape(Collector):
    """Gauges that are read when somebody asks. Who is watched is not kept alive by it."""

    def __init__(self) -> None:
        self._sources: dict[str, tuple[weakref.ref[Any], Callable[[Any], Reading]]] = {}

    def watch(self, name: str, whom: object, read: Callable[[Any], Reading]) -> None:
        if name not in _WATCHED:
            raise ValueError(f"no such gauge: {name}")
        self._sources[name] = (weakref.ref(whom), read)

    def describe(self) -> Iterable[GaugeMetricFamily]:
        return [_family(name) for name in _WATCHED]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        for name in _WATCHED:
            family = _family(name)
            for labels, value in self._samples(name):
                family.add_metric(labels, value)
            yield family

    def _samples(self, name: str) -> list[tuple[list[str], float]]:
        whom, read = self._sources.get(name, (None, None))
        alive = whom() if whom is not None else None
        if alive is None or read is None:
            return []
        try:
            reading = read(alive)
        except Exception:
            # One gauge that cannot be read must not take the others with it.
            log.exception("Metric cloudjhub_%s cannot be read", name)
            return []
        if isinstance(reading, Mapping):
            return [([label], float(value)) for label, value in reading.items()]
        return [] if reading is None else [([], float(reading))]


def _family(name: str) -> GaugeMetricFamily:
    watched = _WATCHED[name]
    labels = [watched.label] if watched.label else []
    return GaugeMetricFamily(f"cloudjhub_{name}", watched.help, labels=labels)


_at_scrape = _AtScrape()
REGISTRY.register(_at_scrape)


def watch(name: str, whom: object, read: Callable[[Any], Reading]) -> None:
    """From now on ``read(whom)`` is what the gauge ``cloudjhub_<name>`` shows.

    ``whom`` is only weakly referred to, so ``read`` must not hold it: pass a function of the
    class. One source for each gauge, the last one named; none once it is gone.
    """
    _at_scrape.watch(name, whom, read)
