"""A hub of a few people as the culler sees it: its clock, its answers, what was asked of it."""

import asyncio
import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone

from cloudjhub.config_file import ConfigFile
from cloudjhub.culler import gauges
from cloudjhub.culler.hub import Server
from cloudjhub.culler.ledger import Ledger
from cloudjhub.culler.pace import Pace
from cloudjhub.culler.rounds import Rounds

PACE = Pace(hole_seconds=90, report_seconds=10, work_report_seconds=60)
MONDAY = datetime(2026, 3, 2, 9, 0, tzinfo=timezone.utc)
VALUES = {
    "CLUSTER_NAME": "class1",
    "REGION": "us-east-1",
    "WORKER_AMI": "ami-12345678",
    "WORKER_INSTANCE_TYPE": "t3.medium",
    "SUBNET_ID": "subnet-12345678",
    "WORKER_SECURITY_GROUPS": ["sg-12345678"],
    "KEY_NAME": "key",
}


class Class:
    """A hub of a few people as the culler sees it, and its clock."""

    def __init__(self, folder):
        self.now = MONDAY
        self.put_forward = 0.0
        self.servers: list[Server] = []
        self.groups: dict[str, list[str]] = {}
        self.asked_for_groups = 0
        self.away = False
        self.answers: dict[str, int] = {}
        self.stopped: list[tuple[str, str, str]] = []
        self.unheard = False
        self.asked_for_age: list[bool] = []
        self.sent: list[str] = []
        #: what the answers to stops wait for
        self.answering: asyncio.Event | None = None
        self.path = folder / "server_config.json"
        self._key = folder / "key"
        self._key.touch()
        self.configure()
        self.rounds = Rounds(
            ConfigFile(self.path),
            self,
            Ledger(folder / "ledger.json", PACE),
            PACE,
            clock=lambda: self.now + timedelta(seconds=self.put_forward),
            monotonic=lambda: (self.now - MONDAY).total_seconds(),
        )

    @property
    def board(self):
        return self.rounds.board

    def configure(self, **keys) -> None:
        self.path.write_text(json.dumps({**VALUES, "WORKER_KEY_FILE": str(self._key), **keys}))

    def begins(self, user: str, name: str = "") -> None:
        self.servers.append(Server(user, name, self.now.isoformat(), self.now))

    def works(self, user: str, *, behind: float = 0) -> None:
        """Now, and says so by a clock that is behind by so much."""
        at = (self.now - timedelta(seconds=behind)).isoformat()
        self.servers = [
            replace(each, last_activity=at) if each.user == user else each for each in self.servers
        ]

    def let_pass(self, seconds: float) -> None:
        """The culler looks every half minute, and somebody is asked at the end."""
        end = self.now + timedelta(seconds=seconds)
        while self.now < end:
            self.now = min(end, self.now + timedelta(seconds=30))
            self.look()

    def look(self) -> None:
        asyncio.run(self._look())

    async def _look(self) -> None:
        await self.rounds.round()
        await self.rounds.stops_answered()

    # -- what the rounds ask of a hub

    async def ready_servers(self) -> list[Server]:
        if self.away:
            raise ConnectionError("The hub gave no answer.")
        return list(self.servers)

    async def groups_of_users(self) -> dict[str, list[str]]:
        self.asked_for_groups += 1
        return self.groups

    async def idle_stop(self, server: Server, action: str, reason: str, *, for_age: bool):
        self.asked_for_age.append(for_age)
        if self.unheard and not for_age:
            return 409, {"status": 409, "message": "not asked for long", "unheard": True}
        self.sent.append(str(server))
        if self.answering:
            await self.answering.wait()
        status = self.answers.get(server.user, 204)
        if status == 204:
            self.servers.remove(server)
            self.stopped.append((str(server), action, reason))
        return status, None


def counted(action: str, outcome: str) -> float:
    """Stops of that kind so far, as the metrics say."""
    labels = {"action": action, "outcome": outcome}
    return gauges.REGISTRY.get_sample_value("cloudjhub_culler_stops_total", labels) or 0.0


def gauge(name: str) -> float | None:
    """What a gauge of the culler shows; None if there is none."""
    return gauges.REGISTRY.get_sample_value(f"cloudjhub_culler_{name}")
