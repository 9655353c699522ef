"""Whether a machine that nobody looks after powers itself off. It has no clock and does nothing.

The hub stops idle machines. This is for when it cannot: it is gone, or it does not know that the
machine runs. Moments are seconds of a clock that goes on while the machine sleeps.
"""

from collections import namedtuple

from .idle.work import Limits, Work
from .idle.work import Seen as WorkSeen

# What the hub sent with the last start. limit_seconds: the user's, 0: never. grace_seconds: what a
# machine has at least, such as for a login after its boot. hub_url: of the hub's API.
Settings = namedtuple(
    "Settings",
    "limit_seconds grace_seconds hub_url busy_cpu_percent busy_gpu_percent busy_minutes",
)

# What one look found. helper: the hub is at work here. server: what names the running notebook
# server, None: there is none. note: what the server wrote of itself ({}: nothing that one can
# read). quiet: these are hours in which nothing is stopped. hub_answers: None: it was not asked.
Seen = namedtuple(
    "Seen",
    "helper server note quiet sessions cpu_seconds gpu_percent hub_answers",
    defaults=(False, None, {}, False, (), None, None, None),
)

LOOKS_PER_LIMIT = 6
SHORTEST_SECONDS, LONGEST_SECONDS = 1.0, 60.0
# So many looks that did not take place are a sleep.
LOOKS_ASLEEP = 4
# The hub is asked once it has not been heard of for this part of the limit.
UNHEARD_PART = 4


def is_number(value):
    """Of what stands in a note: whether one can reckon with it."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def limit_of(settings, note):
    """For how long nothing may work; None: for ever.

    The server knows the hub's latest word, but it is the user's: it can only prolong.
    """
    noted = note.get("limit_seconds")
    limits = [settings.limit_seconds]
    if is_number(noted):
        limits.append(noted)
    if min(limits) <= 0:
        return None
    return float(max(*limits, settings.grace_seconds, 1))


def pause_seconds(limit):
    """From one look to the next."""
    if limit is None:
        return LONGEST_SECONDS
    return max(SHORTEST_SECONDS, min(LONGEST_SECONDS, limit / LOOKS_PER_LIMIT))


class Patience:
    """What is remembered between looks. A machine begins, and wakes, with all of its time."""

    def __init__(self, now):
        self._note = {}
        self._server = None
        self._begin(now)

    def asks_hub(self, now, settings, seen):
        """Whether it is time to ask the hub whether it is there."""
        limit = limit_of(settings, seen.note)
        if limit is None or seen.server is None:
            return False
        return now - self._heard >= limit / UNHEARD_PART and not self._news(seen.note, "hub_heard")

    def look(self, now, settings, seen):
        """Take in what was seen; says why the machine is to be powered off, "" if it is not."""
        limit = limit_of(settings, seen.note)
        asleep = not 0 <= now - self._looked <= LOOKS_ASLEEP * pause_seconds(limit)
        # The helper, or a server that was not there before: the hub has just been here.
        if asleep or seen.helper or seen.server not in (None, self._server):
            self._begin(now)
        self._looked = now
        self._take_in(now, seen)
        self._work.limits = Limits(
            settings.busy_cpu_percent,
            settings.busy_gpu_percent,
            settings.busy_minutes * 60.0,
            limit or 0.0,
        )
        self._work.look(
            now,
            WorkSeen(
                acted=self._acted,
                sessions=seen.sessions,
                cpu_seconds=seen.cpu_seconds,
                gpu_percent=seen.gpu_percent,
            ),
        )
        return "" if limit is None or seen.quiet else self._verdict(now, limit)

    def _begin(self, now):
        self._work = Work(now, gap_seconds=float("inf"))
        self._looked = self._acted = self._heard = self._served = now

    def _take_in(self, now, seen):
        # Its moments are another clock's, which may jump; that they change is what counts.
        if self._news(seen.note, "written") and (
            seen.note.get("signs") or self._news(seen.note, "last_work")
        ):
            self._acted = now
        if seen.hub_answers or self._news(seen.note, "hub_heard"):
            self._heard = now
        if seen.server is not None:
            self._served = now
        self._server, self._note = seen.server, seen.note

    def _news(self, note, name):
        return name in note and note[name] != self._note.get(name)

    def _verdict(self, now, limit):
        idle = now - self._work.last_work
        if idle < limit:
            return ""
        if now - self._served >= limit:
            return f"nothing has worked for {idle:.0f} s, and there is no notebook server"
        if now - self._heard >= limit:
            return f"nothing has worked for {idle:.0f} s, and the hub is out of reach"
        return ""
