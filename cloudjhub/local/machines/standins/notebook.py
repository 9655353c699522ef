"""The single-user server of a stand-in: answers every request with whose server it is."""

import asyncio
import json
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloudjhub.local.machines.standins.guest import Guest


@cache
def _hub_version() -> str:
    return metadata.version("jupyterhub")


class Answering(asyncio.Protocol):
    """One request, one answer, for any path and method; then the connection closes."""

    def __init__(self, guest: "Guest"):
        self._guest = guest
        self._heard = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._guest.met(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._guest.connections.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        answered = b"\r\n\r\n" in self._heard
        self._heard += data
        if not answered and b"\r\n\r\n" in self._heard:
            self._guest.when_awake(self._answer)

    def _answer(self) -> None:
        running = self._guest.running
        if running is None:
            self._transport.abort()
            return
        whose = {"user": running.user, "server": running.server}
        body = json.dumps({**whose, "machine": self._guest.plan.instance_id}).encode()
        head = (
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
            f"X-JupyterHub-Version: {_hub_version()}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._transport.write(head.encode() + body)
        self._transport.close()
