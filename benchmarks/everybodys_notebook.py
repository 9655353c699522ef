"""One HTTP server that stands for the single-user servers of everybody, for the do-nothing spawner.

Answers every request as jupyter_server answers ``GET api``. Prints its port when it listens, and
ends with its stdin.
"""

import asyncio
import json
import sys

import jupyterhub

BODY = json.dumps({"version": "stand-in"}).encode()
ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
    b"X-JupyterHub-Version: %s\r\nContent-Length: %d\r\n\r\n%s"
    % (jupyterhub.__version__.encode(), len(BODY), BODY)
)


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Whatever is asked."""
    try:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ANSWER)
        await writer.drain()
    except (OSError, EOFError, asyncio.LimitOverrunError):
        pass  # whoever asked is gone
    finally:
        writer.close()


async def main() -> None:
    """Serve until stdin ends."""
    async with await asyncio.start_server(answer, "127.0.0.1", 0, backlog=1024) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
