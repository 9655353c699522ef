"""A real hub with its proxy, a local EC2 and machines, for whoever tests with all of it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import boto3
from cloudjhub.demo.browserless import HubUser
from cloudjhub.demo.stack import Demo, DemoSettings
from cloudjhub.local import LocalSettings

QUICK = LocalSettings(
    pending_seconds=0.2,
    boot_seconds=0.3,
    stopping_seconds=0.2,
    shutting_down_seconds=0.2,
    volume_seconds=0.1,
)
USERS = tuple(f"student{number:02d}" for number in range(1, 61))


class Site:
    """A running demo with what the tests ask of it."""

    def __init__(self, demo: Demo):
        self.demo = demo
        self.ec2 = demo.ec2
        self._exits = AsyncExitStack()

    async def user(self, name: str) -> HubUser:
        """A person who has logged in; leaves when the file's tests are over."""
        person = HubUser(self.demo.url, name, self.demo.password(name))
        self._exits.push_async_callback(person.close)
        await person.login()
        return person

    async def api(self, method: str, path: str, **body: Any) -> tuple[int, Any]:
        """One call of the hub's REST API as an admin service; gives status and JSON."""
        headers = {"Authorization": f"token {self.demo.secrets.api_token}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.request(method, f"{self.demo.url}/hub/api{path}", json=body or None) as answer,
        ):
            return answer.status, await answer.json() if await answer.read() else None

    def boto(self) -> Any:
        """An EC2 client, as somebody behind the hub's back would use."""
        return boto3.client(
            "ec2",
            region_name="us-east-1",
            endpoint_url=self.ec2.endpoint_url,
            aws_access_key_id="behind",
            aws_secret_access_key="the-back",
        )

    async def machines(self, user: str | None = None, **filters: str) -> list[dict[str, Any]]:
        """Instances as EC2 describes them, ended ones left out; of one user if named."""
        wanted = [{"Name": "instance-state-name", "Values": _LIVE}]
        if user is not None:
            wanted.append({"Name": "tag:cloudjhub:user", "Values": [user]})
        answer = await asyncio.to_thread(self.boto().describe_instances, Filters=wanted)
        return [i for r in answer["Reservations"] for i in r["Instances"]]

    async def the_machine(self, user: str) -> dict[str, Any]:
        """The user's one machine; more or fewer is a failure."""
        machines = await self.machines(user)
        assert len(machines) == 1, machines
        return machines[0]

    async def until(self, what: str, holds: Callable[[], Any], seconds: float = 30) -> Any:
        """Wait until ``holds`` gives something true, or fail with what was waited for."""
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            value = holds()
            if asyncio.iscoroutine(value):
                value = await value
            if value:
                return value
            if asyncio.get_running_loop().time() > deadline:
                raise AssertionError(
                    f"Waited {seconds} s in vain for {what}.\n{self.demo.hub.log_tail(60)}"
                )
            await asyncio.sleep(0.1)

    async def close(self) -> None:
        """Everybody leaves."""
        await self._exits.aclose()


_LIVE = ["pending", "running", "stopping", "stopped"]


@asynccontextmanager
async def running_site(folder: Path, **changes: Any) -> AsyncIterator[Site]:
    """A site of its own, for tests that need other settings than the shared one."""
    settings = {"folder": folder, "port": 0, "users": USERS, "local": QUICK, **changes}
    async with Demo(DemoSettings(**settings)) as demo:
        site = Site(demo)
        try:
            yield site
        finally:
            await site.close()
