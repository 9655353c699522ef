"""One look at everybody: who is idle, by the terms of server_config.json as it is now."""

import asyncio
import logging
import math
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone

from cloudjhub.config import ClusterConfig
from cloudjhub.config_file import ConfigFile
from cloudjhub.culler import gauges
from cloudjhub.culler.board import Board, Judged, Stop
from cloudjhub.culler.hub import Hub, Server
from cloudjhub.culler.ledger import Ledger
from cloudjhub.culler.pace import Pace
from cloudjhub.culler.policy import NEVER, Terms, judge, seconds_left, terms_of
from cloudjhub.errors import ConfigError

log = logging.getLogger(__name__)

_OUTCOMES = {202: "done", 204: "done", 409: "came_back"}


def utcnow() -> datetime:
    """Now, aware."""
    return datetime.now(timezone.utc)


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
    ):
        self.board = Board()
        self._file = file
        self._hub = hub
        self._ledger = ledger
        self._pace = pace
        self._clock = clock

    async def round(self) -> None:
        """Look, judge, stop. A round in which something could not be read does nothing."""
        config = self._config()
        self.board.complete = config is not None and await self._read_and_stop(config)
        gauges.show(self.board)

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
        self._ledger.read_at(now)
        quiet_until = config.quiet_until(now)
        judged = []
        for each in servers:
            terms = terms_of(config, each.user, groups.get(each.user, ()))
            judged.append(self._judged(each, terms, now, quiet_until))
        self._note(judged, now)
        await asyncio.gather(*(self._stop(each) for each in judged if each.verdict.stops))
        return True

    def _judged(
        self, server: Server, terms: Terms, now: datetime, quiet_until: datetime | None
    ) -> Judged:
        # What is shown are the terms as configured.
        limits = self._possible(terms)
        idle = self._ledger.seen_seconds(server.idle_since, now)
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
        settled_at = self._ledger.settled_at()
        self.board.settled_at = (
            datetime.fromtimestamp(settled_at, timezone.utc)
            if settled_at > now.timestamp()
            else None
        )

    async def _stop(self, judged: Judged) -> None:
        server, action, why = judged.server, judged.terms.action, judged.verdict.why
        try:
            status, answer = await self._hub.idle_stop(server, action, why)
            outcome = _OUTCOMES.get(status, "refused")
            said = f"{status} {answer or ''}".strip()
        except OSError as error:
            outcome, said = "refused", str(error)
        log.log(
            logging.WARNING if outcome == "refused" else logging.INFO,
            "%s: %s: %s%s",
            server,
            action,
            why,
            "" if outcome == "done" else f"; the hub: {said}",
        )
        stop = Stop(self._clock(), server, action, why, outcome)
        self.board.stops.appendleft(stop)
        gauges.stopped(stop)
