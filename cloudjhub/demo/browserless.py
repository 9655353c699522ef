"""A user of the hub without a browser: the same pages, cookies and requests, many at once.

Tests, benchmarks and ``scripts/demo --check`` share it.
"""

import asyncio
import json
import re
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import aiohttp
from yarl import URL

from cloudjhub.demo.kernel import Kernel
from cloudjhub.errors import CloudJHubError, TimedOut


class HubUserError(CloudJHubError):
    """The hub answered a user with something else than what was asked for."""

    remedy = "The hub's log has the details."


@dataclass(frozen=True)
class Start:
    """How a server start went: seconds from the click, and the progress events seen."""

    seconds: float
    events: list[dict[str, Any]] = field(default_factory=list)


class HubUser:
    """One person at one hub. An async context manager; every wait has a deadline.

    ``url`` is the hub's public address, such as http://127.0.0.1:8000.
    """

    def __init__(self, url: str, name: str, password: str):
        self.url = URL(url)
        self.name = name
        self._password = password
        # Cookies for an address given as digits are refused by default.
        self._http = aiohttp.ClientSession(
            cookie_jar=aiohttp.CookieJar(unsafe=True),
            timeout=aiohttp.ClientTimeout(total=120),
            # A connection that is kept may be closed by the proxy, which keeps it for 5 s, while a
            # click is on its way; browsers try such a click again, aiohttp does not.
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
        )

    async def __aenter__(self) -> "HubUser":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Leave; the server, if any, runs on."""
        await self._http.close()

    # The hub ----------------------------------------------------------------------------------

    async def login(self) -> None:
        """Fill in the login form. Raises HubUserError when the hub refuses."""
        page = await self._page("/hub/login")
        found = re.search(r'name="_xsrf"\s+value="([^"]+)"', page)
        form = {
            "username": self.name,
            "password": self._password,
            "_xsrf": found[1] if found else "",
        }
        # Without next= the hub would start the server at once, and start_server() nothing.
        target = self._address("/hub/login").with_query(next="/hub/home")
        async with self._http.post(target, data=form, allow_redirects=False) as answer:
            if answer.status != 302:
                raise HubUserError(
                    f"The hub refused to let {self.name} in: {await _reason(answer)}"
                )
        # The session's own form token comes with the first page after the login.
        await self._page("/hub/home")

    async def server(self, server_name: str = "") -> dict[str, Any] | None:
        """The hub's model of the server; None when there is none."""
        model = await self._json("GET", f"/hub/api/users/{self.name}")
        return model["servers"].get(server_name)

    async def start_server(
        self,
        server_name: str = "",
        *,
        options: Mapping[str, Any] | None = None,
        deadline_seconds: float = 240,
    ) -> Start:
        """Start the server and follow its progress until it is ready.

        Raises HubUserError with what the hub shows on failure, TimedOut at the deadline.
        """
        clicked = time.monotonic()
        events: list[dict[str, Any]] = []
        try:
            await asyncio.wait_for(
                self._start_and_follow(server_name, dict(options or {}), events), deadline_seconds
            )
        except asyncio.TimeoutError:
            last = events[-1].get("message", "") if events else "no progress event"
            raise TimedOut(
                f"The server of {self.name} was not ready after {deadline_seconds:.0f} s; "
                f"the last word was: {last}"
            ) from None
        return Start(time.monotonic() - clicked, events)

    async def _start_and_follow(
        self, server_name: str, options: dict[str, Any], events: list[dict[str, Any]]
    ) -> None:
        path = self._server_api(server_name)
        while refusal := await self._refusal(path, options):
            # A hub that has just begun still looks whether the servers that it knew run.
            if not refusal.endswith("is pending check"):
                raise HubUserError(f"The hub started no server: {refusal}")
            await asyncio.sleep(0.2)
        # Also after 201, "ready": JupyterHub answers it as well to a start that follows a failed
        # one (apihandlers/users.py looks at the spawner of before). Who is ready says so at once.
        async for event in self._progress(f"{path}/progress"):
            events.append(event)
            if event.get("failed"):
                raise HubUserError(f"The server did not start: {event.get('message', event)}")
            if event.get("ready"):
                return
        raise HubUserError("The hub's progress ended without a result.")

    async def _refusal(self, path: str, options: dict[str, Any]) -> str:
        """Press Start; "" if the hub will."""
        async with self._request("POST", path, json={"user_options": options}) as answer:
            return "" if answer.status in (201, 202) else await _reason(answer)

    async def _progress(self, path: str) -> AsyncIterator[dict[str, Any]]:
        unlimited = aiohttp.ClientTimeout(total=None)
        async with self._request("GET", path, timeout=unlimited) as answer:
            await _expect(answer, 200)
            async for line in answer.content:
                if line.startswith(b"data:"):
                    yield json.loads(line[5:])

    async def stop_server(self, server_name: str = "", *, deadline_seconds: float = 120) -> float:
        """Stop the server and wait until the hub knows none; returns the seconds it took."""
        clicked = time.monotonic()
        async with self._request("DELETE", self._server_api(server_name)) as answer:
            await _expect(answer, 202, 204)
        while await self.server(server_name) is not None:
            if time.monotonic() - clicked > deadline_seconds:
                raise TimedOut(
                    f"The server of {self.name} did not stop in {deadline_seconds:.0f} s."
                )
            await asyncio.sleep(0.1)
        return time.monotonic() - clicked

    def _server_api(self, server_name: str) -> str:
        base = f"/hub/api/users/{self.name}"
        return f"{base}/servers/{server_name}" if server_name else f"{base}/server"

    # The server -------------------------------------------------------------------------------

    async def open_server(self, server_name: str = "") -> str:
        """Open JupyterLab through the proxy, as a browser does; returns the page.

        Gives this user the server's cookies, which the calls below need.
        """
        return await self._page(f"{self._server_path(server_name)}lab")

    async def write_file(self, path: str, text: str, server_name: str = "") -> None:
        """Save a text file in the user's home."""
        body = {"type": "file", "format": "text", "content": text}
        await self._json("PUT", f"{self._server_path(server_name)}api/contents/{path}", json=body)

    async def read_file(self, path: str, server_name: str = "") -> str:
        """A text file of the user's home."""
        model = await self._json("GET", f"{self._server_path(server_name)}api/contents/{path}")
        return model["content"]

    async def start_kernel(self, server_name: str = "") -> Kernel:
        """A new Python kernel, ready for ``run``."""
        model = await self._json("POST", f"{self._server_path(server_name)}api/kernels", json={})
        return await self.kernel(model["id"], server_name)

    async def kernel(self, kernel_id: str, server_name: str = "") -> Kernel:
        """The connection to a kernel that runs already."""
        base = self._server_path(server_name)
        address = self._address(f"{base}api/kernels/{kernel_id}/channels")
        socket = await self._http.ws_connect(
            address.with_query(session_id=uuid.uuid4().hex, _xsrf=self._token(base)),
            headers={"Origin": str(self.url.origin()), "Sec-Fetch-Mode": "websocket"},
            max_msg_size=0,
        )
        return Kernel(kernel_id, socket)

    def _server_path(self, server_name: str) -> str:
        return f"/user/{self.name}/{server_name}/" if server_name else f"/user/{self.name}/"

    # HTTP -------------------------------------------------------------------------------------

    def _address(self, path: str) -> URL:
        return self.url.join(URL(path))

    def _token(self, path: str) -> str:
        """The form token of the hub or of a server: it rides in a cookie of that path."""
        cookies = self._http.cookie_jar.filter_cookies(self._address(path))
        return cookies["_xsrf"].value if "_xsrf" in cookies else ""

    def _request(self, method: str, path: str, **options: Any) -> Any:
        """What a page's script asks for; carries the form token as the script would."""
        headers = {
            "X-XSRFToken": self._token(path),
            "Referer": str(self._address("/hub/home")),
            "Sec-Fetch-Mode": "cors",
            "Sec-Fetch-Site": "same-origin",
        }
        return self._http.request(method, self._address(path), headers=headers, **options)

    async def _page(self, path: str) -> str:
        """A page, as if typed into the address bar."""
        headers = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "none"}
        async with self._http.get(self._address(path), headers=headers) as answer:
            await _expect(answer, 200)
            return await answer.text()

    async def _json(self, method: str, path: str, **options: Any) -> Any:
        async with self._request(method, path, **options) as answer:
            await _expect(answer, 200, 201)
            return await answer.json()


async def _expect(answer: aiohttp.ClientResponse, *statuses: int) -> None:
    if answer.status not in statuses:
        raise HubUserError(
            f"{answer.method} {answer.url.path} was answered {answer.status}: "
            f"{await _reason(answer)}"
        )


async def _reason(answer: aiohttp.ClientResponse) -> str:
    """What a person would read on the page, or the API's message."""
    text = await answer.text()
    if answer.content_type == "application/json":
        return str(json.loads(text).get("message", text))
    error = re.search(r'class="[^"]*(?:login_error|error)[^"]*"[^>]*>(.*?)</', text, re.DOTALL)
    plain = re.sub(r"<[^>]+>", " ", error[1] if error else text)
    return " ".join(plain.split())[:300]
