"""Ports of this computer's loopback address for services that are started a moment later."""

import random
import socket
from collections.abc import Collection

# Below those that Linux gives to connections and to whoever asks for any port
# (ip_local_port_range begins with 32768), so that nobody gets one meanwhile by chance.
_PORTS = range(20000, 30000)
_MOST_TRIED = 100


def is_free(port: int) -> bool:
    """Whether nobody listens on the port."""
    with socket.socket() as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port(*, but: Collection[int] = ()) -> int:
    """A port that nobody listens on at this moment. Raises OSError if there is none."""
    for port in random.sample(_PORTS, _MOST_TRIED):
        if port not in but and is_free(port):
            return port
    raise OSError(f"Of {_MOST_TRIED} ports of 127.0.0.1 none is free.")
