"""What is to be done about the spares so that the pool is as it should be. Pure.

Who counts: every machine of nobody whose shape today's configuration would launch, wherever it
came from. What nobody can be given any more, or is too many, goes; the upkeep removes what the
pool does not keep after SPARE_SECONDS, and here goes at once what it kept until now.
"""

from collections.abc import Sequence
from dataclasses import dataclass

# From what is ready to what will take longest, for each POOL_STATE.
_RUNNING_POOL = ("ready", "running", "pending", "stopping", "stopped")
_STOPPED_POOL = ("stopped", "stopping", "ready", "running", "pending")


@dataclass(frozen=True)
class Spare:
    """One machine of nobody. ``stage``: EC2's state, or "ready" where it runs and lets us in."""

    id: str
    stage: str
    shape: str
    age_seconds: float
    kept: bool = False  # the pool kept it until now


@dataclass(frozen=True)
class Aim:
    """How the pool is to be."""

    count: int  # this many, ready now or in a boot's time
    keep: int  # so many stay, as they will be wanted soon; not less than ``count``
    most: int  # never more, not even while one replaces another
    stopped: bool  # POOL_STATE: each is switched off, one way or the other, once it is ready
    shapes: tuple[str, ...]
    oldest_seconds: float
    room: int | None = None  # machines that may be powered on now; None: any number
    youngest_seconds: float = 0.0  # nor is it switched off before


@dataclass(frozen=True)
class Steps:
    """What comes next; each step is for this moment only and is thought over afterwards."""

    launch: int = 0
    start: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()
    end: tuple[str, ...] = ()
    keep: frozenset[str] = frozenset()


def next_steps(spares: Sequence[Spare], aim: Aim) -> Steps:
    """From how the spares are to how they should be."""
    usable = sorted(
        (spare for spare in spares if spare.shape in aim.shapes),
        key=lambda spare: (_rank(spare, aim), _is_old(spare, aim), spare.age_seconds, spare.id),
    )
    room = min(max(aim.keep, aim.count + _some_old(usable, aim)), aim.most)
    kept = usable[:room]
    extra, replaced = _renewal(kept, aim)
    kept = [spare for spare in kept if spare.id not in replaced]
    staying = frozenset(spare.id for spare in kept)
    off = () if aim.stopped else tuple(s.id for s in kept if s.stage == "stopped")
    start = off[: aim.room]
    launch = max(0, aim.count - len(usable)) or extra
    return Steps(
        launch=launch if aim.room is None else min(launch, aim.room - len(start)),
        start=start,
        stop=tuple(s.id for s in kept if aim.stopped and _may_be_stopped(s, aim)),
        end=(*replaced, *(s.id for s in spares if s.kept and s.id not in {*staying, *replaced})),
        keep=staying,
    )


def _renewal(kept: Sequence[Spare], aim: Aim) -> tuple[int, tuple[str, ...]]:
    """One after another: while all are ready, one more is launched, or one that is old ends."""
    old = [spare for spare in kept if _is_old(spare, aim)]
    if not old or any(_rank(spare, aim) > 0 for spare in kept):
        return 0, ()
    if len(kept) - len(old) < aim.count and len(kept) < min(aim.count + 1, aim.most):
        return 1, ()
    return 0, (max(old, key=lambda spare: spare.age_seconds).id,)


def _may_be_stopped(spare: Spare, aim: Aim) -> bool:
    # Clocks differ: a machine may seem to be born in a moment.
    young = aim.youngest_seconds and spare.age_seconds < aim.youngest_seconds
    return spare.stage == "ready" and not young


def _some_old(spares: Sequence[Spare], aim: Aim) -> bool:
    return any(_is_old(spare, aim) for spare in spares)


def _is_old(spare: Spare, aim: Aim) -> bool:
    return spare.age_seconds > aim.oldest_seconds


def _rank(spare: Spare, aim: Aim) -> int:
    return (_STOPPED_POOL if aim.stopped else _RUNNING_POOL).index(spare.stage)
