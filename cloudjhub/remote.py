"""One SSH connection to one machine: connect (host key pinned), run with stdin, close.

Everything here is one short attempt that blocks, and answers or raises; waiting for a
machine to boot is the caller's. Nothing is shared between two connections.
"""

import hmac
import logging
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from paramiko.pkey import UnknownKeyType

from cloudjhub.errors import HostKeyChanged, LoginRefused, MachineNotAnswering
from cloudjhub.remote_values import (
    LineSplitter,
    Output,
    Target,
    no_connection,
    unfinished,
    unusable_key,
)

# What paramiko 5 still offers although OpenSSH has dropped it.
WEAK_ALGORITHMS = {
    "ciphers": ["aes128-cbc", "aes192-cbc", "aes256-cbc", "3des-cbc"],
    "macs": ["hmac-sha1", "hmac-md5", "hmac-sha1-96", "hmac-md5-96"],
}
MAX_TEXT_BYTES = 2 * 1024 * 1024
CHUNK_BYTES = 64 * 1024
SILENCE_SECONDS = 20

# paramiko logs a traceback for every failed attempt before it raises the same thing to us;
# a machine that boots would fill the hub's log.
WIRE_LOG = "cloudjhub.remote.wire"
logging.getLogger(WIRE_LOG).setLevel(logging.CRITICAL)


class Session:
    """An authenticated connection; a context manager that closes it."""

    def __init__(self, transport: paramiko.Transport, target: Target, fingerprint: str):
        self._transport = transport
        self.target = target
        self.fingerprint = fingerprint

    def run(
        self,
        command: str,
        *,
        stdin: bytes = b"",
        timeout_seconds: float,
        on_line: Callable[[str], None] | None = None,
    ) -> Output:
        """Run one command to its end; the timeout is for all of it.

        ``on_line`` gets each line of output as it comes, for those who watch a long command.
        Raises MachineNotAnswering when the time is up, the connection breaks or a signal
        ends the command (paramiko cannot tell the last two apart); the connection is closed
        then, since nobody knows in which state the command is.
        """
        deadline = time.monotonic() + timeout_seconds
        try:
            channel = self._transport.open_session(timeout=timeout_seconds)
            channel.set_combine_stderr(True)
            feeder = _Feeder(channel, command, stdin)
            text = _read_all(channel, deadline, LineSplitter(on_line) if on_line else None)
            exit_code = _exit_code(channel, deadline)
        except (TimeoutError, paramiko.SSHException, OSError, EOFError) as error:
            broken = not self._transport.is_active()
            self.close()
            raise unfinished(self.target, timeout_seconds, broken=broken) from error
        channel.close()  # frees the feeder, should stdin be left that nobody reads
        feeder.check(self.target)
        if exit_code == -1:
            self.close()
            raise unfinished(self.target, timeout_seconds, broken=True) from feeder.error
        return Output(exit_code, text.decode("utf-8", "replace"))

    def close(self) -> None:
        """Close the connection; closing twice is fine."""
        _close(self._transport)

    def __enter__(self) -> "Session":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class _Feeder(threading.Thread):
    """Asks for the command and writes its stdin while the caller reads.

    Reading and writing at once is what keeps two full pipes from waiting for each other;
    and paramiko's ``exec_command`` waits for the answer without a limit, so it must not be
    the reader who calls it. The thread ends when the channel or its transport closes.
    """

    def __init__(self, channel: paramiko.Channel, command: str, stdin: bytes):
        super().__init__(name="cloudjhub-ssh-stdin", daemon=True)
        self.channel, self.command, self.stdin = channel, command, stdin
        self.accepted = False
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            self.channel.exec_command(self.command)
            self.accepted = True
            self.channel.sendall(self.stdin)
            self.channel.shutdown_write()
        except (paramiko.SSHException, OSError, EOFError) as error:
            self.error = error

    def check(self, target: Target) -> None:
        """Raise if sshd refused to run the command.

        A command that ends without reading its stdin is no error; its exit code speaks.
        """
        self.join()
        if not self.accepted and self.channel.transport.is_active():
            raise MachineNotAnswering(
                f"The SSH server at {target} took the login but refused to run a command."
            ) from self.error


def connect(
    target: Target, fingerprint: str | None = None, timeout_seconds: float = 5.0
) -> Session:
    """Log in once; the timeout is for everything up to the finished login.

    ``fingerprint`` ("SHA256:...") is compared before anything is sent about us; None
    accepts whatever key is shown, for the first contact. Raises ConfigError (key file),
    MachineNotAnswering, HostKeyChanged, LoginRefused.
    """
    key = load_key(target.key_file)
    deadline = time.monotonic() + timeout_seconds
    transport = _transport(target, timeout_seconds)
    try:
        shown = _exchange_keys(transport, target, deadline)
        if fingerprint is not None and not hmac.compare_digest(shown, fingerprint):
            raise HostKeyChanged(
                f"The machine at {target} shows the host key {shown}, not {fingerprint}."
            )
        _authenticate(transport, target, key, deadline)
    except BaseException:
        _close(transport)
        raise
    return Session(transport, target, shown)


def load_key(key_file: str) -> paramiko.PKey:
    """The private key (ed25519, ECDSA, RSA) of a file; ConfigError says what is wrong with it."""
    try:
        return paramiko.PKey.from_path(key_file)
    except FileNotFoundError as error:
        raise unusable_key(key_file, "does not exist; copy the private key there") from error
    except TypeError as error:
        raise unusable_key(
            key_file, "has a passphrase; make a copy without one (ssh-keygen -p)"
        ) from error
    except OSError as error:
        raise unusable_key(
            key_file, f"cannot be read ({error.strerror}); make it readable for the hub"
        ) from error
    except (
        ValueError,
        UnknownKeyType,
        UnsupportedAlgorithm,
        paramiko.SSHException,
    ) as error:
        raise unusable_key(
            key_file, "is not an ed25519, ECDSA or RSA private key; name the right file"
        ) from error


def _transport(target: Target, timeout_seconds: float) -> paramiko.Transport:
    try:
        sock = socket.create_connection((target.host, target.port), timeout_seconds)
    except OSError as error:
        raise no_connection(target, error, timeout_seconds) from error
    # SSH's small packets in both directions otherwise wait for delayed acknowledgements.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    _notice_silence(sock)
    transport = paramiko.Transport(sock, disabled_algorithms=WEAK_ALGORITHMS)
    transport.set_log_channel(WIRE_LOG)
    # Waits are bounded by our own deadline; the default of 15 s would cut longer ones short.
    transport.banner_timeout = transport.handshake_timeout = timeout_seconds
    return transport


def _notice_silence(sock: socket.socket) -> None:
    """A machine that is gone or whose kernel hangs breaks the connection (tcp(7)).

    So nobody waits for its last command as long as that command might have taken.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        (socket.TCP_KEEPIDLE, 5),
        (socket.TCP_KEEPINTVL, 5),
        (socket.TCP_USER_TIMEOUT, SILENCE_SECONDS * 1000),
    ):
        sock.setsockopt(socket.IPPROTO_TCP, option, value)


def _exchange_keys(transport: paramiko.Transport, target: Target, deadline: float) -> str:
    """Banner and key exchange; returns the fingerprint of the host key shown."""
    finished = threading.Event()
    try:
        transport.start_client(event=finished)
        in_time = finished.wait(_left(deadline))
        if in_time and transport.is_active():
            return transport.get_remote_server_key().fingerprint
    except (paramiko.SSHException, OSError, EOFError) as error:
        raise MachineNotAnswering(f"The SSH server at {target} broke off: {error}.") from error
    cause = transport.get_exception()
    if isinstance(cause, paramiko.ssh_exception.IncompatiblePeer):
        raise MachineNotAnswering(
            f"The SSH server at {target} knows only algorithms that are refused as weak."
        ) from cause
    if transport.remote_version:
        raise MachineNotAnswering(
            f"The SSH server at {target} fell silent or broke off."
        ) from cause
    raise MachineNotAnswering(
        f"{target} takes connections, but no SSH server spoke there in time."
    ) from cause


def _authenticate(
    transport: paramiko.Transport, target: Target, key: paramiko.PKey, deadline: float
) -> None:
    finished = threading.Event()
    try:
        transport.auth_publickey(target.username, key, event=finished)
    except (paramiko.SSHException, OSError, EOFError) as error:
        raise MachineNotAnswering(f"The SSH server at {target} broke off the login.") from error
    in_time = finished.wait(_left(deadline))
    if transport.is_authenticated():
        return
    if not in_time or not transport.is_active():
        raise MachineNotAnswering(
            f"The SSH server at {target} did not finish the login."
        ) from transport.get_exception()
    raise LoginRefused(
        f"The machine at {target} does not accept the key {target.key_file} for {target.username}."
    ) from transport.get_exception()


def _read_all(
    channel: paramiko.Channel, deadline: float, lines: LineSplitter | None = None
) -> bytes:
    """Everything up to the end of output, the oldest dropped beyond MAX_TEXT_BYTES."""
    chunks: deque[bytes] = deque()
    size = 0
    while True:
        # paramiko's timeout is for one recv, and a slow talker could stretch it for ever.
        channel.settimeout(_left(deadline))
        chunk = channel.recv(CHUNK_BYTES)
        if lines:
            lines.feed(chunk)
        if not chunk:
            return b"".join(chunks)[-MAX_TEXT_BYTES:]
        if time.monotonic() >= deadline:
            raise TimeoutError("the command still writes")
        chunks.append(chunk)
        size += len(chunk)
        while size - len(chunks[0]) >= MAX_TEXT_BYTES:
            size -= len(chunks.popleft())


def _exit_code(channel: paramiko.Channel, deadline: float) -> int:
    """The exit status, waited for no longer than the deadline (recv_exit_status has none)."""
    if not channel.status_event.wait(_left(deadline)):
        raise TimeoutError("the command closed its output but did not end")
    return channel.recv_exit_status()


def _left(deadline: float) -> float:
    return max(0.001, deadline - time.monotonic())


def _close(transport: paramiko.Transport) -> None:
    # The transport's thread looks up only every 0.1 s; an ended socket wakes it at once.
    with suppress(OSError):
        transport.sock.shutdown(socket.SHUT_RDWR)
    transport.close()
    # close() leaves the socket alone if its thread was never started or had already ended.
    transport.sock.close()
