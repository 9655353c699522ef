"""A listening port whose server can be stopped and go on, without anybody outside being told."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Protocol


class Server(Protocol):
    """What accepts connections: asyncio's servers, asyncssh's."""

    def close(self) -> None: ...


class Port:
    """``serve(socket)`` is called when somebody knocks for the first time.

    While it is paused connections are accepted, by the kernel, and nothing is said: a machine
    whose processes hang.
    """

    def __init__(
        self, address: str, number: int, serve: Callable[[socket.socket], Awaitable[Server]]
    ):
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._serve = serve
        self._server: Server | None = None
        self._copy: socket.socket | None = None
        self._starting: asyncio.Task[None] | None = None
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.setblocking(False)
        try:
            self._socket.bind((address, number))
            self._socket.listen(128)
        except OSError:
            self._socket.close()
            raise

    def go_on(self) -> None:
        """Answers from now on, also those who came while it was paused."""
        asyncio.get_running_loop().add_reader(self._socket, self._knocked)

    def pause(self) -> None:
        """Accepts and says nothing."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._socket)
        if self._server:
            self._server.close()
        elif self._starting and self._copy:
            self._starting.cancel()
            # A server that is cancelled at its last step listens already. The loop would keep its
            # entry, and never hear the next socket that gets this one's number.
            loop.remove_reader(self._copy)
            self._copy.close()
        self._starting = self._server = self._copy = None

    def close(self) -> None:
        """Refuses connections from now on."""
        self.pause()
        self._socket.close()

    def _knocked(self) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._socket)
        # Which the server closes when it is paused; ours goes on listening.
        self._copy = self._socket.dup()
        self._starting = loop.create_task(self._start(self._copy))

    async def _start(self, copy: socket.socket) -> None:
        try:
            self._server = await self._serve(copy)
        except Exception:
            self._copy = None
            copy.close()
            raise
