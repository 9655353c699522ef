"""A hub and an EC2 for sweeps, that say what a test wants and write down what they are told."""

import asyncio
from datetime import datetime, timedelta, timezone

from unit.listings import Clock

from cloudjhub.account.inventory import Inventory
from cloudjhub.culler.sweep import Sweeper
from cloudjhub.ec2_values import Instance
from cloudjhub.idle_config import IdleConfig
from cloudjhub.naming import Owner, owner_tags

OURS = {"cloudjhub:cluster": "class", "cloudjhub:role": "worker"}


class Config(IdleConfig):
    """Of server_config.json what a sweep reads."""

    spare_seconds: int = 3600


class SweptWorld:
    """EC2 and hub as plain values; it writes down what it is told to do."""

    cluster = "class"

    def __init__(self, **config):
        self.config = Config(**{"JUPYTER_NOTEBOOK_TIMEOUT": 60, **config})
        self.limits: dict[str, int] = {}
        self.listed: list[Instance] = []
        self.found = Inventory("class")
        self.servers: list[dict] = []
        self.users: list[str] | None = ["ada", "bob"]
        self.done: list[tuple] = []
        self.failures: dict[str, Exception] = {}
        self.status = 200
        self.stop_answer: tuple[int, object] = (204, None)
        self.clock = Clock()
        self.now = datetime(2026, 11, 23, tzinfo=timezone.utc)
        self.sweeper = Sweeper(
            config=lambda: self.config,
            ask=self.ask,
            cloud=lambda config: self,
            clock=self.clock.monotonic,
            now=lambda: self.now,
        )

    async def round(self, after=60, **how):
        """One round, so many seconds after the last."""
        self.clock.ahead += after
        self.now += timedelta(seconds=after)
        return await self.sweeper.round(**how)

    def machine(self, owner="ada", state="running", **changes):
        tags = {**OURS, **owner_tags(Owner(owner))}
        self.listed.append(Instance(f"i-{owner}", state, tags=tags, **changes))

    def has(self, user, pending=None):
        self.servers.append(
            {"user": user, "server": "", "instance_id": f"i-{user}", "pending": pending}
        )

    def _called(self, name):
        if name in self.failures:
            raise self.failures[name]

    # -- as Cloud

    def machines(self):
        self._called("machines")
        return list(self.listed)

    def inventory(self):
        self._called("inventory")
        return self.found

    def wake(self, instance_id):
        self._called("wake")
        self.done.append(("wake", instance_id))

    def remove(self, thing):
        self._called("remove")
        self.done.append(("remove", thing.id))

    # -- as the hub

    async def ask(self, method, path, body):
        await asyncio.sleep(0)
        self._called(method)
        if method == "POST":
            self.done.append((path.split("/")[-2], body))
            return self.stop_answer
        users = self.users if path.endswith("?users=1") else None
        return self.status, {"servers": self.servers, "users": users, "limits": self.limits}
