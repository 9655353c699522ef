"""When the stages of instances and volumes end: after their time, and not while they are held."""

import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Any, Literal

from cloudjhub.local.scheduler import Scheduler
from cloudjhub.local.settings import LocalSettings

Stage = Literal["pending", "boot", "stopping", "shutting_down", "terminated", "volume", "snapshot"]
#: each has its usual time in the setting of the same name, ``pending_seconds`` and so on
STAGES = ("pending", "boot", "stopping", "shutting_down", "terminated", "volume", "snapshot")


class Stages:
    """Calls what ends a stage when the stage is over.

    Whatever is due while its stage is held waits in a list: no thread waits with it. It is
    still called only once the stage is let go, at once and in the order in which it was due.
    """

    def __init__(self, scheduler: Scheduler, settings: LocalSettings):
        self._scheduler = scheduler
        self._settings = settings
        self._lock = threading.Lock()
        self._slow: dict[str, float] = {}
        self._held: set[str] = set()
        self._waiting: defaultdict[str, list[tuple[Any, ...]]] = defaultdict(list)

    def end(self, stage: Stage, function: Callable[..., Any], *args: Any) -> None:
        """A stage begins now; ``function(*args)`` is what its end does."""
        usual = getattr(self._settings, f"{_known(stage)}_seconds")
        seconds = self._slow.get(stage, usual)
        self._scheduler.after(seconds, self._due, stage, function, *args)

    def slow(self, stage: Stage, seconds: float) -> None:
        """A stage that begins from now on takes this long."""
        with self._lock:
            self._slow[_known(stage)] = float(seconds)

    def hold(self, stage: Stage) -> None:
        """A stage that has not ended yet does not end until it is let go."""
        with self._lock:
            self._held.add(_known(stage))

    def let_go(self, stage: Stage) -> None:
        """A stage that was held takes its time again, and ends if that has passed."""
        with self._lock:
            self._held.discard(_known(stage))
            for function, *args in self._waiting.pop(stage, []):
                self._scheduler.after(0, function, *args)

    def clear(self) -> None:
        """None is slow and none is held."""
        with self._lock:
            self._slow.clear()
        for stage in STAGES:
            self.let_go(stage)

    def as_dict(self) -> dict[str, Any]:
        with self._lock:
            return {"slow": dict(self._slow), "hold": sorted(self._held)}

    def _due(self, stage: Stage, function: Callable[..., Any], *args: Any) -> None:
        with self._lock:
            if stage in self._held:
                self._waiting[stage].append((function, *args))
                return
        function(*args)


def _known(stage: str) -> str:
    if stage not in STAGES:
        raise ValueError(f"stage must be one of {', '.join(STAGES)}: {stage}")
    return stage
