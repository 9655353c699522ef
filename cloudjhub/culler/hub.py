"""What the culler asks of the hub: its REST API, with the token of the service."""

import asyncio
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from jupyterhub_idle_culler import cull_idle, parse_date
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest

# Stops that are sent side by side become few StopInstances; the hub's own limit of servers that
# start at once is of the same order.
_SIDE_BY_SIDE = 200
# Beyond the stops: who asks for groups must not wait behind them.
_QUESTIONS = 20
_PAGE = 200
_PATIENCE_SECONDS = 60

# The library says at each look which servers it leaves alone, and of each page that it reads it.
_reading = logging.getLogger(f"{__name__}.reading")
_reading.setLevel(logging.ERROR)


@dataclass(frozen=True)
class Server:
    """A server that is ready, as the hub knows it."""

    user: str
    #: "" is the default server
    name: str
    #: as the hub wrote it; None where it knows of none
    last_activity: str | None
    started: datetime

    @property
    def idle_since(self) -> datetime:
        """Its last activity; its start if there is none."""
        return parse_date(self.last_activity) if self.last_activity else self.started

    @property
    def path(self) -> str:
        """Of its REST resource under the user's."""
        return f"servers/{quote(self.name, safe='')}" if self.name else "server"

    def __str__(self) -> str:
        return f"{self.user}/{self.name}" if self.name else self.user


class Hub:
    """The hub's REST API. Raises OSError where it cannot be asked."""

    def __init__(self, url: str, token: str):
        self._url = url
        self._token = token
        self._client = AsyncHTTPClient(force_instance=True, max_clients=_SIDE_BY_SIDE + _QUESTIONS)
        self._places = asyncio.Semaphore(_SIDE_BY_SIDE)

    async def ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, paged: bool = False
    ) -> tuple[int, Any]:
        """One request; gives the status and the decoded JSON, None where there is none."""
        headers = {"Authorization": f"token {self._token}", "Content-Type": "application/json"}
        if paged:
            headers["Accept"] = "application/jupyterhub-pagination+json"
        request = HTTPRequest(
            f"{self._url}{path}",
            method=method,
            headers=headers,
            body=None if body is None else json.dumps(body),
            # Time in Tornado's own queue counts as time of connecting (20 s if nothing is said).
            connect_timeout=_PATIENCE_SECONDS,
            request_timeout=_PATIENCE_SECONDS,
            allow_nonstandard_methods=True,
        )
        try:
            answer = await self._client.fetch(request, raise_error=False)
        except HTTPClientError as error:
            raise ConnectionError(f"The hub gave no answer: {error}") from error
        return answer.code, _decoded(answer.body)

    async def ready_servers(self) -> list[Server]:
        """Every server that is ready, all pages of them.

        jupyterhub-idle-culler reads them and leaves out what starts or stops. It would also stop
        them, but one after another, each before the next is asked about; so its hook says no, and
        what is to be stopped is stopped from here.
        """
        reader = _Reader()
        try:
            await cull_idle(
                self._url,
                self._token,
                inactive_limit=0,
                logger=_reading,
                api_page_size=_PAGE,
                cull_arbiter=reader,
            )
        except (HTTPClientError, ValueError, KeyError) as error:
            raise ConnectionError(f"The hub's servers cannot be read: {error}") from error
        return reader.servers

    async def groups_of_users(self) -> dict[str, list[str]]:
        """The groups of everybody who is in one."""
        found: dict[str, list[str]] = {}
        following: Mapping[str, Any] | None = {"offset": 0}
        while following:
            path = f"/groups?limit={_PAGE}&offset={following['offset']}"
            status, page = await self.ask("GET", path, paged=True)
            if status != 200 or not isinstance(page, dict):
                raise ConnectionError(f"The hub's groups cannot be read: it answered {status}.")
            for group in page["items"]:
                for user in group["users"]:
                    found.setdefault(user, []).append(group["name"])
            following = page["_pagination"]["next"]
        return found

    async def idle_stop(
        self, server: Server, action: str, reason: str, *, for_age: bool = False
    ) -> tuple[int, Any]:
        """Have it stopped unless it was active meanwhile.

        A place among those that are sent side by side is waited for as long as it takes.
        """
        path = f"/cloudjhub/users/{quote(server.user, safe='')}/{server.path}/idle-stop"
        body = {"last_activity": server.last_activity, "action": action, "reason": reason}
        async with self._places:
            return await self.ask("POST", path, {**body, "for_age": for_age})


class _Reader:
    """The library's hook: it takes down what it is asked about, and has nothing stopped."""

    def __init__(self) -> None:
        self.servers: list[Server] = []

    def __call__(self, *, server: dict[str, Any], **_: Any) -> bool:
        # A user's name may hold anything but a slash.
        user, _, name = server["full_name"].rpartition("/")
        started = server["started"]
        if started:
            self.servers.append(Server(user, name, server["last_activity"], parse_date(started)))
        return False


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None
