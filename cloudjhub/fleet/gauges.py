"""The fleet's own numbers for Prometheus, read when somebody asks."""

from cloudjhub import metrics
from cloudjhub.fleet.fleet import Fleet


def watch(fleet: Fleet) -> None:
    """Show this fleet's numbers from now on, as long as it exists."""
    metrics.watch("view_age_seconds", fleet, _view_age)
    metrics.watch("machines", fleet, _machines)


def _view_age(fleet: Fleet) -> float:
    return fleet.view.age_seconds


def _machines(fleet: Fleet) -> dict[str, int]:
    return {"pending": 0, "running": 0, "stopping": 0, "stopped": 0, **fleet.view.counts()}
