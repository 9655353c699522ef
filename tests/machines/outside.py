"""Somebody who is neither the operator nor in the cluster: a network behind this computer."""

import socket
import subprocess
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

from machines.peers import Place

#: RFC 2544: nobody's on the Internet either
WORLD, GATEWAY = "198.18.77.2", "198.18.77.1"
#: for what answers at once or never
_DOUBT_SECONDS = 10.0
_NAME, _DEVICE = "cloudjhub-test-world", "cjtestworld"


@contextmanager
def world() -> Iterator[Place]:
    """Somebody on the other side of this host."""
    _remove()
    for command in (
        f"netns add {_NAME}",
        f"link add {_DEVICE} type veth peer name eth0 netns {_NAME}",
        f"address add {GATEWAY}/30 dev {_DEVICE}",
        f"link set {_DEVICE} up",
        f"-n {_NAME} address add {WORLD}/30 dev eth0",
        f"-n {_NAME} link set eth0 up",
        f"-n {_NAME} link set lo up",
        f"-n {_NAME} route add default via {GATEWAY}",
    ):
        subprocess.run(["ip", *command.split()], check=True, capture_output=True)
    try:
        yield Place(_NAME)
    finally:
        _remove()


def open_ports(place: Place, address: str, ports: Iterable[int]) -> list[int]:
    """Those of the ports at which a connection comes about."""
    with ThreadPoolExecutor() as threads:
        tries = {
            port: threads.submit(place.do, partial(_connects, address, port)) for port in ports
        }
    return [port for port, answer in tries.items() if answer.result()]


def _connects(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), _DOUBT_SECONDS).close()
    except OSError:
        return False
    return True


def _remove() -> None:
    for command in (["link", "delete", _DEVICE], ["netns", "delete", _NAME]):
        subprocess.run(["ip", *command], check=False, capture_output=True)
