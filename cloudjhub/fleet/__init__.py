"""Every machine of the cluster: the shared view, the batches, the rate limits."""

from cloudjhub.fleet.fleet import Fleet, FleetSettings

__all__ = ["Fleet", "FleetSettings"]
