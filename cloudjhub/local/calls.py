"""What was asked of the API: counts by action, and a log. Neither holds keys or bodies."""

import threading
import time
from collections import deque
from dataclasses import asdict, dataclass
from typing import Any

LOG_ENTRIES = 20_000


@dataclass(frozen=True)
class Call:
    """``at`` is Unix time; ``outcome`` is ok, throttled, error or unreachable."""

    at: float
    action: str
    outcome: str
    code: str
    seconds: float


class CallLog:
    """Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, dict[str, int]] = {}
        self._log: deque[Call] = deque(maxlen=LOG_ENTRIES)

    def add(self, action: str, outcome: str, *, code: str = "", seconds: float = 0.0) -> None:
        with self._lock:
            counts = self._counts.setdefault(action, {"ok": 0, "throttled": 0, "error": 0})
            counts[outcome] = counts.get(outcome, 0) + 1
            self._log.append(Call(time.time() - seconds, action, outcome, code, seconds))

    def counts(self) -> dict[str, dict[str, int]]:
        """Action -> ``{"ok": n, "throttled": n, "error": n}``."""
        with self._lock:
            return {action: dict(counts) for action, counts in self._counts.items()}

    def log(self) -> list[dict[str, Any]]:
        """The latest calls, oldest first, as dicts of :class:`Call`'s fields."""
        with self._lock:
            return [asdict(call) for call in self._log]

    def reset(self) -> None:
        with self._lock:
            self._counts.clear()
            self._log.clear()
