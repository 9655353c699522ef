"""Working inside a network namespace."""

import ctypes
import os
import socket
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from cloudjhub.local.settings import LocalEC2Error
from cloudjhub.local.vpc import leftovers

_CLONE_NEWNET = 0x40000000
Result = TypeVar("Result")


def inside(namespace: str, work: Callable[[], Result]) -> Result:
    """What ``work`` returns, or raises, when called in the namespace.

    Only a thread of its own is there, which ends at once. Sockets stay where they were made, so
    what is returned may be used from anywhere.
    """
    visit = _Visit(namespace, work)
    visit.start()
    visit.join()
    if visit.error is not None:
        raise visit.error
    return visit.results[0]


def listen(namespace: str, address: str, port: int) -> socket.socket:
    """A listening TCP socket that belongs to the namespace, held by this process."""
    try:
        return inside(namespace, lambda: _listening(address, port))
    except OSError as error:
        raise LocalEC2Error(f"Cannot listen on {address}:{port} in {namespace}: {error}") from error


class _Visit(threading.Thread, Generic[Result]):
    def __init__(self, namespace: str, work: Callable[[], Result]):
        super().__init__(name=f"inside {namespace}", daemon=True)
        self._namespace = namespace
        self._work = work
        self.results: list[Result] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            _enter(self._namespace)
            self.results.append(self._work())
        except BaseException as error:
            self.error = error


def _listening(address: str, port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((address, port))
        listening.listen(256)
    except OSError:
        listening.close()
        raise
    return listening


def _enter(namespace: str) -> None:
    """Moves the calling thread, for good. os.setns exists from Python 3.12 on."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(leftovers.NAMESPACES / namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(descriptor, _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(descriptor)
