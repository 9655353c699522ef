"""When the hub could be read: only that time counts as idle, also across restarts.

A hub that was away heard of nobody's work. Were its old times of last activity believed as soon as
it is back, everybody would be stopped at once.
"""

import json
import logging
from datetime import datetime, timedelta
from pathlib import Path

from cloudjhub.culler.pace import Pace

log = logging.getLogger(__name__)

_KEPT_SECONDS = timedelta(days=90).total_seconds()
_MOST_HOLES = 1000

#: begin and end in unix seconds
Hole = tuple[float, float]


class Ledger:
    """A small file: when the hub was read last, and the holes before."""

    def __init__(self, path: Path, pace: Pace):
        self.path = path
        self._pace = pace
        #: unix seconds; 0: never
        self.read_until = 0.0
        self.holes: list[Hole] = []
        self._complaint = ""
        #: until the first look: it is not known for how long nobody has looked
        self._from_file = True
        self._load()

    def read_at(self, moment: datetime) -> None:
        """The hub was read whole at this moment."""
        now = moment.timestamp()
        self._forget_the_future(now)
        if now - self.read_until > self._pace.hole_seconds:
            self.holes.append((self.read_until, now))
            log.info("Idle time counts from now on; the hub was read last %s", self._last())
        self.holes = [hole for hole in self.holes if hole[1] > now - _KEPT_SECONDS][-_MOST_HOLES:]
        self.read_until = now
        self._save()

    def _forget_the_future(self, now: float) -> None:
        """What was written by a clock that was ahead: such a hole would last until that date.

        How long it is since the clock was right only the same process knows; a new one, which may
        have been away for long, begins anew.
        """
        self.holes = [(begin, min(end, now)) for begin, end in self.holes if begin < now]
        if self._from_file and self.read_until - now > self._pace.hole_seconds:
            self.read_until, self.holes = 0.0, []
        self._from_file = False

    def seen_seconds(self, since: datetime, until: datetime) -> float:
        """How much of that time activity could be seen in."""
        cursor, end = since.timestamp(), until.timestamp()
        seen = 0.0
        for begin, finish in self.holes:
            seen += max(0.0, min(begin, end) - cursor)
            cursor = max(cursor, finish + self._pace.settle_seconds)
        return seen + max(0.0, end - cursor)

    def settled_at(self) -> float:
        """Unix seconds from which on what happened in the last hole is known."""
        return self.holes[-1][1] + self._pace.settle_seconds if self.holes else 0.0

    def _last(self) -> str:
        if not self.read_until:
            return "never"
        return f"at {datetime.fromtimestamp(self.read_until):%Y-%m-%d %H:%M:%S}"

    def _load(self) -> None:
        try:
            kept = json.loads(self.path.read_text())
            holes = [(float(begin), float(end)) for begin, end in kept["holes"]]
            self.read_until, self.holes = float(kept["read_until"]), sorted(holes)
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("%s cannot be read: idle time counts from now on: %s", self.path, error)

    def _save(self) -> None:
        draft = self.path.with_name(f"{self.path.name}.draft")
        try:
            draft.write_text(json.dumps({"read_until": self.read_until, "holes": self.holes}))
            draft.replace(self.path)
            self._complaint = ""
        except OSError as error:
            if str(error) != self._complaint:
                log.error(
                    "%s cannot be written; after a restart idle time begins anew: %s",
                    self.path,
                    error,
                )
            self._complaint = str(error)
