"""How the pool is to be at a moment, from today's configuration. Pure."""

from datetime import datetime, timedelta

from cloudjhub.config import ClusterConfig
from cloudjhub.pool.plan import Aim

USUAL_BOOT_SECONDS = 180.0  # until this cluster's own boots are known
_EARLIER_SECONDS = 30.0  # for boots that are slower than usual
# A machine has to have run for about two minutes before it can hibernate; its agent makes room for
# the memory meanwhile, which takes longer where there is much of it. One that EC2 finds too young
# is stopped plainly, which is not what the pool is for.
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/troubleshoot-instance-hibernate.html
_BEFORE_SLEEP_SECONDS = 300.0
# EC2 does not support hibernation for more than 60 days.
_LONGEST_SLEEP_SECONDS = 55 * 24 * 3600.0
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
    oldest = config.pool_spare_hours * 3600.0
    hibernates = config.pool_state == "hibernated"
    ahead = config.pool.wanted_until(moment, moment + timedelta(seconds=lead))
    soon = config.pool.wanted_until(moment, moment + timedelta(seconds=lead + _SOON_SECONDS))
    return Aim(
        count=min(ahead, config.pool_max),
        keep=min(soon, config.pool_max),
        most=config.pool_max,
        stopped=config.pool_state != "running",
        shapes=shapes,
        oldest_seconds=min(oldest, _LONGEST_SLEEP_SECONDS) if hibernates else oldest,
        room=room,
        youngest_seconds=_BEFORE_SLEEP_SECONDS if hibernates else 0.0,
    )
