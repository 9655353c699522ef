"""Where Amazon had no machine a moment ago, so that nobody waits for the same answer again."""

import time
from collections.abc import Iterable

from cloudjhub import metrics
from cloudjhub.ec2_values import Kind
from cloudjhub.errors import EC2Error, NoCapacity

#: How long a refusal keeps others from asking as long as there is something else to ask for.
#: Amazon names no time ("in a few minutes"); who is wrong here gets a machine of the next type.
REMEMBERED_SECONDS = 300.0
#: How often the same is asked for where nothing else is left.
LAST_RESORT_SECONDS = 5.0
#: How long the one who asks after that time has for an answer before another may ask.
_TRIAL_SECONDS = 30.0

LAUNCH, START = "RunInstances", "StartInstances"
#: what stands in the state reason of a machine that a start took back
TAKEN_BACK = "InsufficientInstanceCapacity"


class _Refusal:
    """``until``: when it is forgotten. ``asked``: when each action was refused last, of those that
    count. ``trial_ends``: until then somebody is asking again."""

    def __init__(self, until: float, asked: dict[str, float]):
        self.until = until
        self.asked = asked
        self.trial_ends = 0.0


class Capacity:
    """One memory for all users of a hub. It is lost with the process, which costs a few calls."""

    def __init__(self, remembered_seconds: float = REMEMBERED_SECONDS) -> None:
        self._remembered_seconds = remembered_seconds
        self._refusals: dict[Kind, _Refusal] = {}

    def refused(
        self,
        instance_type: str,
        zone: str,
        seconds: float | None = None,
        *,
        action: str = LAUNCH,
    ) -> None:
        """Amazon said that it has none of these in that zone."""
        seconds = self._remembered_seconds if seconds is None else seconds
        metrics.capacity_refused(instance_type, zone)
        kind, now = Kind(instance_type, zone), time.monotonic()
        before = self._refusals.get(kind)
        asked = {**before.asked, action: now} if before else {action: now}
        self._refusals[kind] = _Refusal(now + seconds, asked)

    def granted(self, instance_type: str, zone: str) -> None:
        """Amazon gave one."""
        self._refusals.pop(Kind(instance_type, zone), None)

    def is_refused(self, instance_type: str, zone: str) -> bool:
        """Whether asking for it now is most likely in vain."""
        refusal = self._refusals.get(Kind(instance_type, zone))
        now = time.monotonic()
        return refusal is not None and now < max(refusal.until, refusal.trial_ends)

    def may_ask(self, kind: Kind, *, action: str = LAUNCH, last_resort: bool = False) -> bool:
        """Whether to ask for it now. After a refusal's time one may, the others see how it goes.

        ``last_resort``: there is nothing else to ask for. Then all may who come until the answer:
        they share calls, and one who was turned away would have nothing.
        """
        refusal = self._refusals.get(kind)
        if refusal is None:
            return True
        now, due = time.monotonic(), refusal.until
        if last_resort:
            asked = refusal.asked.get(action)
            return asked is None or now >= asked + LAST_RESORT_SECONDS
        if now < max(due, refusal.trial_ends):
            return False
        refusal.trial_ends = now + _TRIAL_SECONDS
        return True


def nothing_left(
    action: str, kinds: Iterable[Kind], last: EC2Error | None, remedy: str | None = None
) -> NoCapacity:
    """The refusal that says which types of which zones Amazon does not have.

    ``last``: what EC2 said to the last question; None where all were asked a moment ago.
    """
    error = NoCapacity(
        f"Amazon has {_list(kinds)} just now.",
        action=action,
        code=last.code if last else "remembered",
        request_id=last.request_id if last else "",
    )
    error.remedy = remedy or error.remedy
    error.__cause__ = last
    return error


def passed_over(kinds: Iterable[Kind], following: Kind) -> str:
    """What a user reads who does not get the best: what Amazon has not, and what is tried now."""
    missing = list(kinds)
    zone = missing[0].zone
    here = all(kind.zone == zone for kind in (*missing, following))
    names = [
        kind.instance_type if here else f"{kind.instance_type} in {kind.zone}" for kind in missing
    ]
    place = (zone and f" in {zone}") if here else ""
    wanted = following.instance_type if here else f"{following.instance_type} in {following.zone}"
    return f"Amazon has no {' or '.join(dict.fromkeys(names))}{place} now; trying {wanted}."


def _list(kinds: Iterable[Kind]) -> str:
    """Such as "no t3.medium or t3a.medium in zone us-east-1a, no t3.medium in zone us-east-1b"."""
    types: dict[str, list[str]] = {}
    for kind in kinds:
        types.setdefault(kind.zone, []).append(kind.instance_type)
    parts = [
        f"no {' or '.join(names)} in {f'zone {zone}' if zone else 'this zone'}"
        for zone, names in types.items()
    ]
    return ", ".join(parts) or "no machine for you"
