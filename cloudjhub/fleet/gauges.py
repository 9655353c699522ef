"""The fleet's own numbers for Prometheus, read when somebody asks."""

from collections import Counter

from cloudjhub import metrics
from cloudjhub.fleet.fleet import Fleet


def watch(fleet: Fleet) -> None:
    """Show this fleet's numbers from now on, as long as it exists."""
    metrics.watch("view_age_seconds", fleet, _view_age)
    metrics.watch("machines", fleet, _machines)
    metrics.watch("spares", fleet, _spares)


def _view_age(fleet: Fleet) -> float:
    return fleet.view.age_seconds


def _machines(fleet: Fleet) -> dict[str, int]:
    return {"pending": 0, "running": 0, "stopping": 0, "stopped": 0, **fleet.view.counts()}


def _spares(fleet: Fleet) -> dict[str, int]:
    free = Counter(m.state for m in fleet.view.all() if fleet.spares.is_free(m))
    return {state: free[state] for state in ("pending", "running", "stopped")}
