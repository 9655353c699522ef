"""What the culler knows at this moment, for its page and its metrics."""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime

from cloudjhub.culler.findings import SweepReport
from cloudjhub.culler.hub import Server
from cloudjhub.culler.policy import Terms, Verdict

_STOPS_SHOWN = 50


@dataclass(frozen=True)
class Judged:
    """A server and what was found about it in a round."""

    server: Server
    terms: Terms
    idle_seconds: float
    verdict: Verdict
    #: if it does nothing until then; None: never
    stops_at: datetime | None


@dataclass(frozen=True)
class Stop:
    """A server that was to be stopped, and what the hub did about it."""

    at: datetime
    server: Server
    action: str
    why: str
    #: "done", "came_back", "unheard" or "refused"
    outcome: str


@dataclass
class Board:
    """Written by the rounds, read by the page."""

    #: what is wrong with server_config.json; "" nothing
    config_finding: str = ""
    #: why the hub could not be read in the last round; "" it could
    hub_finding: str = ""
    #: whether everybody was judged in the last round
    complete: bool = False
    #: of the last round in which everything could be read
    judged_at: datetime | None = None
    judged: tuple[Judged, ...] = ()
    #: until when nobody is known to be idle for what the hub did not hear; None: since long
    settled_at: datetime | None = None
    stops: "deque[Stop]" = field(default_factory=lambda: deque(maxlen=_STOPS_SHOWN))
    sweep: SweepReport | None = None
