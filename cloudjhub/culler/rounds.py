"""One look at everybody: who is idle, by the terms of server_config.json as it is now."""

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

from cloudjhub.config import ClusterConfig
from cloudjhub.config_file import ConfigFile
from cloudjhub.culler import gauges
from cloudjhub.culler.board import Board, Judged, Stop
from cloudjhub.culler.clocks import Changes, Jumps, monotonic, utcnow
from cloudjhub.culler.hub import Hub, Server
from cloudjhub.culler.ledger import Ledger
from cloudjhub.culler.pace import Pace
from cloudjhub.culler.policy import NEVER, Terms, judge, seconds_left, terms_of
from cloudjhub.errors import ConfigError

log = logging.getLogger(__name__)

_OUTCOMES = {202: "done", 204: "done", 409: "came_back"}


class Rounds:
    """The culler's memory is its ledger; everything else is read in each round."""

    def __init__(
        self,
        file: ConfigFile,
        hub: Hub,
        ledger: Ledger,
        pace: Pace,
        *,
        clock: Callable[[], datetime] = utcnow,
        monotonic: Callable[[], float] = monotonic,
    ):
        self.board = Board()
        self._file = file
        self._hub = hub
        self._ledger = ledger
        self._pace = pace
        self._clock = clock
        self._unheard: set[tuple[str, str]] = set()  # that are said to be so
        self._monotonic = monotonic
        self._jumps = Jumps()
        self._changes = Changes(monotonic)
        self._stops: asyncio.Task[None] | None = None

    async def round(self) -> None:
        """Look, judge, have stopped. One in which something could not be read does nothing.

        What the hub answers is not waited for: time without a look is time out of sight.
        """
        config = self._config()
        self.board.complete = config is not None and await self._read_and_stop(config)
        gauges.show(self.board)

    async def stops_answered(self) -> None:
        """Wait until no stop is under way."""
        if self._stops:
            await self._stops

    def _config(self) -> ClusterConfig | None:
        """As it is now, or as it last was good; None where it never was."""
        try:
            config = self._file.current()
        except ConfigError as error:
            if self.board.config_finding != error.message:
                log.error("Nobody is judged: %s", error.message)
            self.board.config_finding = error.message
            return None
        self.board.config_finding = self._file.finding
        return config

    async def _read_and_stop(self, config: ClusterConfig) -> bool:
        """Whether everybody could be judged."""
        try:
            groups = await self._hub.groups_of_users() if config.idle_timeout_of_group else {}
            servers = await self._hub.ready_servers()
        except OSError as error:
            if not self.board.hub_finding:
                log.warning("Nobody is judged: %s", error)
            self.board.hub_finding = str(error)
            return False
        self.board.hub_finding = ""
        now = self._clock()
        jumped = self._jumps.seconds(now, self._monotonic())
        self._ledger.read_at(now)
        self._changes.look(servers)
        quiet_until = config.quiet_until(now)
        judged = []
        for each in servers:
            terms = terms_of(config, each.user, groups.get(each.user, ()))
            judged.append(self._judged(each, terms, now, quiet_until))
        self._note(judged, now)
        if jumped:
            log.warning("Nobody is stopped in this round: the clock was put by %+.0f s", jumped)
        else:
            self._send([each for each in judged if each.verdict.stops])
        return True

    def _judged(
        self, server: Server, terms: Terms, now: datetime, quiet_until: datetime | None
    ) -> Judged:
        # What is shown are the terms as configured.
        limits = self._possible(terms)
        seen = self._ledger.seen_seconds(server.idle_since, now)
        idle = min(seen, self._changes.seconds_since(server))
        age = (now - server.started).total_seconds()
        quiet = quiet_until is not None
        left = seconds_left(limits, idle_seconds=idle, age_seconds=age)
        stops_at = None if left is None else now + timedelta(seconds=max(0.0, left))
        return Judged(
            server=server,
            terms=terms,
            idle_seconds=idle,
            verdict=judge(limits, idle_seconds=idle, age_seconds=age, quiet=quiet),
            stops_at=max(stops_at, quiet_until) if stops_at and quiet_until else stops_at,
        )

    def _possible(self, terms: Terms) -> Terms:
        if terms.timeout_seconds == NEVER:
            return terms
        floor = math.ceil(self._pace.floor_seconds)
        return replace(terms, timeout_seconds=max(terms.timeout_seconds, floor))

    def _note(self, judged: list[Judged], now: datetime) -> None:
        self.board.judged_at, self.board.judged = now, tuple(judged)
        self._unheard &= {_key(each.server) for each in judged if each.verdict.stops}
        settled_at = self._ledger.settled_at()
        self.board.settled_at = (
            datetime.fromtimestamp(settled_at, timezone.utc)
            if settled_at > now.timestamp()
            else None
        )

    def _send(self, due: Sequence[Judged]) -> None:
        """One batch at a time; who is due while one is under way is due in a later round, too."""
        if due and (self._stops is None or self._stops.done()):
            self._stops = asyncio.create_task(self._stop_all(due))

    async def _stop_all(self, due: Sequence[Judged]) -> None:
        ends = await asyncio.gather(*(self._stop(each) for each in due), return_exceptions=True)
        for each, end in zip(due, ends, strict=True):
            if isinstance(end, Exception):
                log.error("%s was not stopped", each.server, exc_info=end)

    async def _stop(self, judged: Judged) -> None:
        server, action, verdict = judged.server, judged.terms.action, judged.verdict
        try:
            status, answer = await self._hub.idle_stop(
                server, action, verdict.why, for_age=verdict.for_age
            )
            outcome = _outcome(status, answer)
            said = f"{status} {answer or ''}".strip()
        except OSError as error:
            outcome, said = "refused", str(error)
        if self._is_said(server, outcome):
            return
        log.log(
            logging.WARNING if outcome in ("refused", "unheard") else logging.INFO,
            "%s: %s: %s%s",
            server,
            action,
            verdict.why,
            "" if outcome == "done" else f"; the hub: {said}",
        )
        stop = Stop(self._clock(), server, action, verdict.why, outcome)
        self.board.stops.appendleft(stop)
        gauges.stopped(stop)

    def _is_said(self, server: Server, outcome: str) -> bool:
        """Whether it is unheard as in the round before: that may last, and is said once."""
        key = _key(server)
        known = key in self._unheard
        if outcome == "unheard":
            self._unheard.add(key)
            return known
        self._unheard.discard(key)
        return False


def _outcome(status: int, answer: Any) -> str:
    if status == 409 and isinstance(answer, dict) and answer.get("unheard"):
        return "unheard"
    return _OUTCOMES.get(status, "refused")


def _key(server: Server) -> tuple[str, str]:
    return server.user, server.name
