"""The port of a stand-in, which is paused and closed at any moment of its server's start."""

import asyncio
import socket

import pytest

from cloudjhub.local.machines.standins.ports import Port, Server

BANNER = b"SSH-2.0-test\r\n"


class Speaks(asyncio.Protocol):
    """Says at once what it is."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.write(BANNER)


async def serve(listening: socket.socket) -> Server:
    return await asyncio.get_running_loop().create_server(Speaks, sock=listening)


def opened(number: int) -> Port:
    port = Port("127.0.0.1", number, serve)
    port.go_on()
    return port


async def greeting(number: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", number)
    heard = await asyncio.wait_for(reader.readline(), 60)
    writer.close()
    return heard


@pytest.fixture
def number() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


@pytest.mark.parametrize("end", ["close", "pause"])
@pytest.mark.parametrize("turns", range(8))
async def test_the_next_one_answers(number: int, turns: int, end: str) -> None:
    port = opened(number)
    knock = socket.create_connection(("127.0.0.1", number))
    while port._starting is None:
        await asyncio.sleep(0)
    for _ in range(turns):
        await asyncio.sleep(0)
    getattr(port, end)()
    # What it was about to do is over.
    for _ in range(8):
        await asyncio.sleep(0)
    knock.close()
    if end == "close":
        port = opened(number)
    else:
        port.go_on()
    assert await greeting(number) == BANNER
    port.close()
