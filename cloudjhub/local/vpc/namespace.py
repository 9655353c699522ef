"""Opening sockets inside a network namespace."""

import ctypes
import os
import socket
import threading

from cloudjhub.local.settings import LocalEC2Error
from cloudjhub.local.vpc import leftovers

_CLONE_NEWNET = 0x40000000


def listen(namespace: str, address: str, port: int) -> socket.socket:
    """A listening TCP socket that belongs to the namespace, held by this process.

    A socket stays in the namespace where it was made, so only the making needs a thread there;
    that thread ends at once. os.setns exists from Python 3.12 on.
    """
    made: list[socket.socket | OSError] = []
    thread = threading.Thread(target=_listen, args=(namespace, address, port, made))
    thread.start()
    thread.join()
    if not isinstance(made[0], socket.socket):
        raise LocalEC2Error(f"Cannot listen on {address}:{port} in {namespace}: {made[0]}")
    return made[0]


def _listen(namespace: str, address: str, port: int, made: list[socket.socket | OSError]) -> None:
    listening = None
    try:
        _enter(namespace)
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((address, port))
        listening.listen(256)
        made.append(listening)
    except OSError as error:
        if listening is not None:
            listening.close()
        made.append(error)


def _enter(namespace: str) -> None:
    """Moves the calling thread, for good."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(leftovers.NAMESPACES / namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(descriptor, _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(descriptor)
