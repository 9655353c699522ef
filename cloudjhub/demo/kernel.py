"""One kernel of a user, spoken to over the single-user server's websocket."""

import asyncio
import json
import uuid
from typing import Any

import aiohttp

from cloudjhub.errors import CloudJHubError, TimedOut


class KernelError(CloudJHubError):
    """The code raised, or the kernel went away."""

    remedy = ""


class Kernel:
    """A connection to a kernel. The kernel outlives it."""

    def __init__(self, kernel_id: str, socket: aiohttp.ClientWebSocketResponse):
        self.id = kernel_id
        self._socket = socket

    async def close(self) -> None:
        """Close the connection; the kernel and its variables stay."""
        await self._socket.close()

    async def run(self, code: str, *, deadline_seconds: float = 120) -> str:
        """Run code and return what it printed. Raises KernelError, or TimedOut at the deadline."""
        try:
            return await asyncio.wait_for(self._run(code), deadline_seconds)
        except asyncio.TimeoutError:
            raise TimedOut(f"The kernel gave no result in {deadline_seconds:.0f} s.") from None

    async def _run(self, code: str) -> str:
        request = _execute_request(code)
        await self._socket.send_str(json.dumps(request))
        printed: list[str] = []
        async for message in self._socket:
            event = json.loads(message.data)
            if event["parent_header"].get("msg_id") != request["header"]["msg_id"]:
                continue
            kind, content = event["msg_type"], event["content"]
            if kind == "stream":
                printed.append(content["text"])
            elif kind == "error":
                raise KernelError(f"{content['ename']}: {content['evalue']}")
            elif kind == "status" and content["execution_state"] == "idle":
                return "".join(printed)
        raise KernelError("The connection to the kernel was closed.")


def _execute_request(code: str) -> dict[str, Any]:
    """An execute_request of the Jupyter messaging protocol, 5.3."""
    return {
        "channel": "shell",
        "header": {
            "msg_id": uuid.uuid4().hex,
            "msg_type": "execute_request",
            "session": uuid.uuid4().hex,
            "username": "",
            "version": "5.3",
        },
        "parent_header": {},
        "metadata": {},
        "content": {"code": code, "silent": False, "store_history": False, "allow_stdin": False},
    }
