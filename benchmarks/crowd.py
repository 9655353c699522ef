"""The benchmark's side of the process in which all browsers run."""

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloudjhub.errors import CloudJHubError

_LINE_BYTES = 64 * 1024 * 1024  # the result of thousands of visits is one line


class CrowdError(CloudJHubError):
    """The process of the browsers could not do what it was told."""

    remedy = ""


@dataclass(frozen=True)
class Visit:
    """How one person's start went; seconds from the click."""

    ready: float | None
    answered: float | None
    error: str
    last_word: str
    server: str
    events: int


@dataclass(frozen=True)
class Rush:
    """How all starts went."""

    visits: dict[str, Visit]
    began: float  # time.monotonic
    cpu_seconds: float  # of the browsers' process

    @property
    def times(self) -> list[float]:
        """Of those who got their server, shortest first."""
        return sorted(v.ready for v in self.visits.values() if v.ready is not None)

    @property
    def failures(self) -> dict[str, Visit]:
        """Who did not get a server, or not through the proxy."""
        return {name: visit for name, visit in self.visits.items() if visit.error}


class Crowd:
    """All browsers; an async context manager that ends their process."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """Of the browsers' process."""
        return self._process.pid if self._process else None

    async def __aenter__(self) -> "Crowd":
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(Path(__file__).with_name("browsers.py")),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=dict(os.environ),
            limit=_LINE_BYTES,
            # Ctrl-C is the benchmark's to hear; the end of stdin ends the process.
            start_new_session=True,
        )
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    async def log_in(self, url: str, names: Sequence[str]) -> None:
        """Everybody begins a session. Raises CrowdError."""
        await self._tell({"do": "log in", "url": url, "names": list(names)})

    async def start(
        self, names: Sequence[str], *, deadline_seconds: float, over_seconds: float = 0.0
    ) -> Rush:
        """Everybody starts a server, at once or spread evenly over some time."""
        answer = await self._tell(
            {
                "do": "start",
                "names": list(names),
                "deadline_seconds": deadline_seconds,
                "over_seconds": over_seconds,
            }
        )
        visits = {name: Visit(**visit) for name, visit in answer["visits"].items()}
        return Rush(visits, answer["began"], answer["cpu_seconds"])

    async def _tell(self, order: dict[str, Any]) -> dict[str, Any]:
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None
        process.stdin.write(json.dumps(order).encode() + b"\n")
        await process.stdin.drain()
        line = await process.stdout.readline()
        if not line:
            raise CrowdError(f"The browsers' process ended with code {await process.wait()}.")
        answer = json.loads(line)
        if "error" in answer:
            raise CrowdError(f"The browsers could not {order['do']}: {answer['error']}")
        return answer
