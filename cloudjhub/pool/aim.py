"""How the pool is to be at a moment, from today's configuration. Pure."""

from datetime import datetime, timedelta

from cloudjhub.config import ClusterConfig
from cloudjhub.pool.plan import Aim

USUAL_BOOT_SECONDS = 180.0  # until this cluster's own boots are known
_EARLIER_SECONDS = 30.0  # for boots that are slower than usual
_SOON_SECONDS = 900.0  # a spare that is wanted again by then does not go


def wanted_now(config: ClusterConfig, moment: datetime) -> int:
    """How many are to be ready at the moment, the cap kept."""
    return min(config.pool.wanted(moment), config.pool_max)


def aim(
    config: ClusterConfig,
    shapes: tuple[str, ...],
    moment: datetime,
    boot_seconds: float | None,
    *,
    room: int | None = None,
) -> Aim:
    """Ahead by what a boot takes, so that machines are ready when their hours begin.

    ``boot_seconds`` is what it usually takes; None where nobody knows yet.
    """
    lead = (USUAL_BOOT_SECONDS if boot_seconds is None else boot_seconds) + _EARLIER_SECONDS
    ahead = config.pool.wanted_until(moment, moment + timedelta(seconds=lead))
    soon = config.pool.wanted_until(moment, moment + timedelta(seconds=lead + _SOON_SECONDS))
    return Aim(
        count=min(ahead, config.pool_max),
        keep=min(soon, config.pool_max),
        most=config.pool_max,
        stopped=config.pool_state != "running",
        shapes=shapes,
        oldest_seconds=config.pool_spare_hours * 3600.0,
        room=room,
    )
