"""The two questions to a machine, asked of real servers on this computer."""

import asyncio
import socket
from contextlib import asynccontextmanager

import pytest
from unit.listings import Clock

from cloudjhub import probe
from cloudjhub.probe import Answer, Turns, notebook_answers, sshd_answers

HOST = "127.0.0.1"
BANNER = b"SSH-2.0-OpenSSH_9.6\r\n"


class Peer:
    """A server that says something (or nothing) to whoever connects and keeps what it hears."""

    def __init__(self, says=b"", *, hang_up=False):
        self._says = says
        self._hang_up = hang_up
        self._writers = []
        self.heard = b""

    async def talk(self, reader, writer):
        self._writers.append(writer)
        if self._says:
            writer.write(self._says)
        if self._hang_up:
            writer.close()
            return
        while piece := await reader.read(1000):
            self.heard += piece

    @asynccontextmanager
    async def listening(self):
        server = await asyncio.start_server(self.talk, HOST, 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for writer in self._writers:
                writer.close()


@pytest.fixture
def deserted_port():
    """A port on which nobody listens; held, so that nobody else gets it."""
    with socket.socket() as held:
        held.bind((HOST, 0))
        yield held.getsockname()[1]


@pytest.mark.parametrize(
    ("peer", "answers"),
    [
        (Peer(BANNER), True),
        (Peer(b"HTTP/1.0 200 OK\r\n\r\n"), False),
        (Peer(hang_up=True), False),
    ],
    ids=["sshd", "something else", "hangs up"],
)
async def test_only_an_ssh_banner_is_an_answer_of_sshd(peer, answers):
    async with peer.listening() as port:
        assert await sshd_answers(HOST, port, timeout_seconds=60) is answers


async def test_a_banner_in_two_pieces_is_a_banner():
    async def talk(reader, writer):
        writer.write(BANNER[:2])
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(BANNER[2:])
        writer.close()

    server = await asyncio.start_server(talk, HOST, 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert await sshd_answers(HOST, port, timeout_seconds=60)


async def test_a_machine_that_accepts_and_says_nothing_does_not_answer():
    async with Peer().listening() as port:
        assert not await sshd_answers(HOST, port, timeout_seconds=0.05)


async def test_a_machine_without_sshd_does_not_answer(deserted_port):
    assert not await sshd_answers(HOST, deserted_port)


async def test_asking_sshd_sends_it_nothing():
    peer = Peer(BANNER)
    async with peer.listening() as port:
        assert await sshd_answers(HOST, port, timeout_seconds=60)
    assert peer.heard == b""


@pytest.mark.parametrize("status", [200, 302, 401, 403, 404, 500, 503])
async def test_a_server_that_answers_with_any_status_is_alive(status):
    async with Peer(f"HTTP/1.1 {status} X\r\n\r\n".encode()).listening() as port:
        answer = await notebook_answers(HOST, port, "/user/ada/api", timeout_seconds=60)
    assert answer is Answer.ALIVE


@pytest.mark.parametrize(
    "peer", [Peer(), Peer(BANNER), Peer(hang_up=True)], ids=["silent", "not http", "hangs up"]
)
async def test_a_port_that_does_not_speak_http_is_silent(peer):
    async with peer.listening() as port:
        answer = await notebook_answers(HOST, port, "/api", timeout_seconds=0.05)
    assert answer is Answer.SILENT


async def test_a_port_where_nobody_listens_refuses(deserted_port):
    answer = await notebook_answers(HOST, deserted_port, "/api", timeout_seconds=60)
    assert answer is Answer.REFUSED


async def test_the_question_is_a_plain_get_of_the_path():
    heard = asyncio.get_running_loop().create_future()

    async def answer(reader, writer):
        heard.set_result(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.0 200 OK\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, HOST, 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        answer = await notebook_answers(HOST, port, "/user/a%20b/api", timeout_seconds=60)
    assert answer is Answer.ALIVE
    request = (await heard).decode()
    assert request.startswith("GET /user/a%20b/api HTTP/1.0\r\n")
    assert "\r\nHost: 127.0.0.1\r\n" in request


# -- how often


async def test_however_many_ask_so_many_a_second_are_let(monkeypatch, hurry):
    clock = Clock()
    monkeypatch.setattr(probe, "time", clock)
    slept = hurry(probe)
    turns = Turns(per_second=4)
    await asyncio.gather(*(turns.turn() for _ in range(9)))
    assert slept == pytest.approx([number / 4 for number in range(1, 9)])
    clock.ahead += 2.25
    slept.clear()
    await turns.turn()
    assert slept == []
    await turns.turn()
    assert slept == pytest.approx([0.25])


async def test_who_asks_seldom_waits_for_nobody(monkeypatch, hurry):
    clock = Clock()
    monkeypatch.setattr(probe, "time", clock)
    slept = hurry(probe)
    turns = Turns(per_second=4)
    for _ in range(10):
        await turns.turn()
        clock.ahead += 0.3
    assert slept == []
