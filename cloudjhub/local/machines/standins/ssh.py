"""The SSH server of stand-ins."""

import logging
import socket
from functools import cache, partial
from typing import TYPE_CHECKING

import asyncssh
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cloudjhub.local.machines.standins import helper

if TYPE_CHECKING:
    from cloudjhub.local.machines.standins.guest import Guest

logging.getLogger("asyncssh").setLevel(logging.CRITICAL)

#: What paramiko and the OpenSSH servers of current images agree on, so that a login costs the
#: hub what it costs with those.
KEY_EXCHANGE = ["curve25519-sha256", "curve25519-sha256@libssh.org"]
#: A helper with its request takes a hundredth of it.
MOST_STDIN_BYTES = 16 * 1024 * 1024


async def listen(guest: "Guest", listening: socket.socket) -> asyncssh.SSHAcceptor:
    """Serves on a socket that listens already."""
    return await asyncssh.listen(
        sock=listening,
        server_factory=partial(Login, guest),
        server_host_keys=[_host_key(guest.plan.host_key)],
        kex_algs=KEY_EXCHANGE,
        encoding=None,
        allow_pty=False,
        agent_forwarding=False,
        gss_host=None,
    )


def _host_key(secret: str) -> asyncssh.SSHKey:
    private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secret))
    pem = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return asyncssh.import_private_key(pem)


@cache
def _public_data(line: str) -> bytes | None:
    return asyncssh.import_public_key(line).public_data if line else None


class Login(asyncssh.SSHServer):
    """One connection: the machine's key pair opens its control account, nothing else anything."""

    def __init__(self, guest: "Guest"):
        self._guest = guest
        self._connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, connection: asyncssh.SSHServerConnection) -> None:
        self._connection = connection
        self._guest.met(connection)
        self._guest.memory.contacts += 1

    def connection_lost(self, error: Exception | None) -> None:
        if self._connection:
            self._guest.connections.discard(self._connection)

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        plan = self._guest.plan
        return username == plan.account and key.public_data == _public_data(plan.authorized_key)

    def auth_completed(self) -> None:
        self._guest.memory.logins += 1

    def session_requested(self) -> "Session":
        return Session(self._guest)


class Session(asyncssh.SSHServerSession):
    """One command: reads all of stdin, then answers."""

    def __init__(self, guest: "Guest"):
        self._guest = guest
        self._command = ""
        self._stdin = bytearray()

    def connection_made(self, channel: asyncssh.SSHServerChannel) -> None:
        self._channel = channel

    def exec_requested(self, command: str) -> bool:
        self._command = command
        return True

    def data_received(self, data: bytes, datatype: int | None) -> None:
        self._stdin += data
        if len(self._stdin) > MOST_STDIN_BYTES:
            self._channel.abort()

    def eof_received(self) -> bool:
        self._guest.when_awake(self._answer)
        return True

    def _answer(self) -> None:
        if self._channel.is_closing():
            return
        self._guest.memory.commands += 1
        text, code = helper.answer(self._guest, self._command, bytes(self._stdin))
        self._channel.write(text.encode())
        self._channel.exit(code)
