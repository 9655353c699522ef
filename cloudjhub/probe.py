"""Whether a machine's sshd and its notebook server answer: one cheap question each."""

import asyncio
import time
from enum import Enum

from cloudjhub.deadlines import timeout


class Answer(Enum):
    """What a single-user server's port says."""

    ALIVE = "alive"  # it speaks HTTP
    REFUSED = "refused"  # the machine is there, nobody listens
    SILENT = "silent"  # nothing came back: machine, network or server hangs


class Turns:
    """So many questions a second for the whole hub, however many ask; first come, first served.

    One costs the event loop about a millisecond. A thousand users whose machines boot would ask
    ten thousand times a second; here each of them asks every few seconds, and more often as soon as
    there are fewer.
    """

    def __init__(self, per_second: float):
        self._between = 1 / per_second
        self._free_at = 0.0

    async def turn(self) -> None:
        """Return when one more may be asked."""
        now = time.monotonic()
        begins = max(now, self._free_at)
        self._free_at = begins + self._between
        if begins > now:
            await asyncio.sleep(begins - now)


async def sshd_answers(host: str, port: int, *, timeout_seconds: float = 2.0) -> bool:
    """Whether an SSH banner comes within the time. A hung machine still accepts connections."""
    try:
        async with timeout(timeout_seconds):
            first = await _ask(host, port, b"", 4)
    except (OSError, EOFError, asyncio.TimeoutError):
        return False
    return first == b"SSH-"


async def notebook_answers(
    host: str, port: int, path: str, *, timeout_seconds: float = 5.0
) -> Answer:
    """Whether the single-user server answers ``GET path`` with any status.

    Ask for ``<prefix>api``: jupyter_server answers it without login and does not count it as
    activity.
    """
    request = f"GET {path} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode("ascii")
    try:
        async with timeout(timeout_seconds):
            first = await _ask(host, port, request, 5)
    except ConnectionRefusedError:
        return Answer.REFUSED
    except (OSError, EOFError, asyncio.TimeoutError):
        return Answer.SILENT
    return Answer.ALIVE if first == b"HTTP/" else Answer.SILENT


async def _ask(host: str, port: int, request: bytes, size: int) -> bytes:
    """Send the request and give so many first bytes of what comes back. EOFError: not so many."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        if request:
            writer.write(request)
            await writer.drain()
        return await reader.readexactly(size)
    finally:
        writer.close()
