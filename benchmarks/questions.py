"""What a running hub is asked, as its operator would: its metrics and its REST API."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp

from cloudjhub.demo.stack import Demo
from cloudjhub.errors import CloudJHubError, TimedOut

DEADLINE_SECONDS = 300.0
_LOOK_SECONDS = 0.2
_ANSWER_SECONDS = 30.0
_PAGE = 200


class Refused(CloudJHubError):
    """The hub does not answer this one's questions, and will not later."""

    remedy = ""


class Questions:
    """Asks one hub, also one that is killed and started again meanwhile."""

    def __init__(self, demo: Demo, http: aiohttp.ClientSession):
        self._url = f"{demo.plan.hub_url}/hub"
        self._http = http

    async def gauge(self, name: str) -> float | None:
        """A line of the hub's metrics, labels included in its name; None if there is none now.

        Raises Refused.
        """
        try:
            async with self._http.get(f"{self._url}/metrics") as answer:
                text, status = await answer.text(), answer.status
        except (aiohttp.ClientError, asyncio.TimeoutError):
            return None
        if status in (401, 403):
            raise Refused(f"The hub shows no metrics to the demo's service: {text[:200]}")
        for line in text.splitlines():
            if line.startswith(f"{name} "):
                return float(line.rpartition(" ")[2])
        return None

    async def ready_servers(self) -> int:
        """How many servers the hub calls ready."""
        found, offset = 0, 0
        while True:
            query = {"state": "ready", "limit": str(_PAGE), "offset": str(offset)}
            async with self._http.get(f"{self._url}/api/users", params=query) as answer:
                answer.raise_for_status()
                users = await answer.json()
            if not users:
                return found
            found += sum(server["ready"] for user in users for server in user["servers"].values())
            offset += len(users)


@asynccontextmanager
async def questions(demo: Demo) -> AsyncIterator[Questions]:
    """Ask with the rights of the demo's own service."""
    headers = {"Authorization": f"token {demo.secrets.api_token}"}
    timeout = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout) as http:
        yield Questions(demo, http)


async def until(
    holds: Callable[[], Awaitable[bool]], what: str, seconds: float = DEADLINE_SECONDS
) -> None:
    """Wait until it is so. Raises TimedOut, naming ``what`` was waited for."""
    deadline = time.monotonic() + seconds
    while not await holds():
        if time.monotonic() > deadline:
            raise TimedOut(f"Waited {seconds:.0f} s in vain for {what}.")
        await asyncio.sleep(_LOOK_SECONDS)
