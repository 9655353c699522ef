"""The browsers of a class, in a process of their own, as cheap as they can be.

Told what to do by JSON lines on stdin, answers each with one on stdout:

    {"do": "log in", "url": ..., "names": [...]}
    {"do": "start", "names": [...], "deadline_seconds": ..., "over_seconds": ...}

A start is what a browser does: the page that starts the server, the page it is sent to, the event
stream named there, and after the ready event the same page again, which leads to the server.
"""

import asyncio
import json
import re
import resource
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

import aiohttp
from quick_login import PATH as QUICK_LOGIN
from yarl import URL

LOGINS_AT_ONCE = 8
_EVENTS = re.compile(r'new EventSource\("([^"]+)"\)')
_NAVIGATES = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "same-origin"}
_FETCHES = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"}


class NotAsExpected(Exception):
    """The hub gave a browser something else than it should."""


@dataclass
class Visit:
    """One start; seconds from the click. ``error`` is empty if all went well."""

    ready: float | None = None
    answered: float | None = None  # the hub has taken the click
    error: str = ""
    last_word: str = ""
    server: str = ""  # what the server, opened through the proxy, says whose it is
    events: int = 0


@dataclass
class Browser:
    """One person's browser: a name and cookies."""

    name: str
    url: URL
    http: aiohttp.ClientSession
    cookies: dict[str, str] = field(default_factory=dict)

    async def log_in(self) -> None:
        """Begin a session. Raises NotAsExpected."""
        address = self._address(f"/hub{QUICK_LOGIN}?user={self.name}")
        async with self._get(address, _NAVIGATES) as answer:
            await self._expect(answer, 204)

    async def start(self, deadline_seconds: float, wait_seconds: float) -> Visit:
        """Click, and stay until the server is there; never raises for what the hub does."""
        await asyncio.sleep(wait_seconds)
        visit, clicked = Visit(), time.monotonic()
        try:
            await asyncio.wait_for(self._start(visit, clicked), deadline_seconds)
        except asyncio.TimeoutError:
            visit.error = f"not ready after {deadline_seconds:.0f} s"
        except (aiohttp.ClientError, OSError, NotAsExpected, ValueError) as error:
            visit.error = f"{type(error).__name__}: {error}"
        return visit

    async def _start(self, visit: Visit, clicked: float) -> None:
        page = self._address(f"/hub/spawn/{self.name}")
        async with self._get(page, _NAVIGATES) as answer:
            await self._expect(answer, 302)
            pending = self._address(answer.headers["Location"])
        async with self._get(pending, _NAVIGATES) as answer:
            # Whose server was ready at once is sent on to it.
            if answer.status != 302:
                await self._expect(answer, 200)
                text = await answer.text()
                visit.answered = time.monotonic() - clicked
                await self._follow(self._events_address(text), visit)
        visit.ready = time.monotonic() - clicked
        visit.server = await self._open(pending)

    def _events_address(self, page: str) -> URL:
        found = _EVENTS.search(page)
        if found is None:
            raise NotAsExpected("The page has no event stream: " + _words(page))
        return self._address(found[1].replace("\\u0026", "&").replace("&amp;", "&"))

    async def _follow(self, address: URL, visit: Visit) -> None:
        """Read the event stream to the ready event."""
        async with self._get(address, {**_FETCHES, "Accept": "text/event-stream"}) as answer:
            await self._expect(answer, 200)
            async for line in answer.content:
                if not line.startswith(b"data:"):
                    continue
                event = json.loads(line[5:])
                visit.events += 1
                visit.last_word = str(event.get("message") or event.get("html_message", ""))
                if event.get("failed"):
                    raise NotAsExpected(f"The server did not start: {visit.last_word}")
                if event.get("ready"):
                    return
        raise NotAsExpected(f"The event stream ended after: {visit.last_word}")

    async def _open(self, pending: URL) -> str:
        """The page again, then the server through the proxy; gives the server's own words."""
        async with self._get(pending, _NAVIGATES) as answer:
            await self._expect(answer, 302)
            server = self._address(answer.headers["Location"])
        async with self._get(server / "api", _FETCHES) as answer:
            await self._expect(answer, 200)
            return (await answer.text())[:300]

    def _address(self, path: str) -> URL:
        return self.url.join(URL(path, encoded=True))

    def _get(self, address: URL, headers: dict[str, str]) -> Any:
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return self.http.get(address, headers={**headers, "Cookie": cookies}, allow_redirects=False)

    async def _expect(self, answer: aiohttp.ClientResponse, status: int) -> None:
        for name, cookie in answer.cookies.items():
            self.cookies[name] = cookie.value
        if answer.status != status:
            words = _words(await answer.text())
            raise NotAsExpected(f"{answer.url.path} was answered {answer.status}: {words}")


def _words(page: str) -> str:
    body = page.partition("<main")[2] or page
    return " ".join(re.sub(r"<[^>]+>", " ", body).split())[:300]


class Class:
    """All browsers."""

    def __init__(self, http: aiohttp.ClientSession):
        self._http = http
        self._browsers: dict[str, Browser] = {}

    async def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        """Do what a line of stdin says; gives the answer's content."""
        if order["do"] == "log in":
            return await self._log_in(order["url"], order["names"])
        return await self._start(
            order["names"], order["deadline_seconds"], order.get("over_seconds", 0.0)
        )

    async def _log_in(self, url: str, names: list[str]) -> dict[str, Any]:
        slots = asyncio.Semaphore(LOGINS_AT_ONCE)

        async def enter(name: str) -> None:
            browser = self._browsers[name] = Browser(name, URL(url), self._http)
            async with slots:
                await browser.log_in()

        await asyncio.gather(*map(enter, names))
        return {"logged_in": len(names)}

    async def _start(
        self, names: list[str], deadline_seconds: float, over_seconds: float
    ) -> dict[str, Any]:
        cpu, began = _cpu_seconds(), time.monotonic()
        pauses = [over_seconds * number / max(len(names), 1) for number in range(len(names))]
        visits = await asyncio.gather(
            *(
                self._browsers[name].start(deadline_seconds, pause)
                for name, pause in zip(names, pauses, strict=True)
            )
        )
        return {
            "visits": {name: asdict(v) for name, v in zip(names, visits, strict=True)},
            "began": began,
            "cpu_seconds": _cpu_seconds() - cpu,
        }


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def main() -> None:
    """Obey until stdin ends."""
    loop = asyncio.get_running_loop()
    # No keep-alive: the proxy closes such connections after 5 s, and only browsers try again.
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    options = {
        "connector": connector,
        "cookie_jar": aiohttp.DummyCookieJar(),
        "timeout": aiohttp.ClientTimeout(total=None),
    }
    async with aiohttp.ClientSession(**options) as http:
        everybody = Class(http)
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            try:
                answer = await everybody.obey(json.loads(line))
            except (NotAsExpected, aiohttp.ClientError, OSError) as error:
                answer = {"error": f"{type(error).__name__}: {error}"}
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    # Nobody listens any more: the benchmark has ended without a word.
    with suppress(BrokenPipeError):
        asyncio.run(main())
