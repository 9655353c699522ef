"""The address under which this computer reaches the outside."""

import ipaddress
import socket
import urllib.request
from urllib.parse import urlsplit

#: Amazon's own answer to "what is my address"
ASKED = "https://checkip.amazonaws.com"
_TIMEOUT_SECONDS = 10


def find(endpoint_url: str = "") -> str:
    """As a network of one address; "" where it cannot be found out.

    Where AWS's API is not Amazon's own, it is the address from which that API is reached.
    """
    address = _facing(endpoint_url) if endpoint_url else _public()
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return ""
    return f"{found}/{found.max_prefixlen}"


def _public() -> str:
    try:
        with urllib.request.urlopen(ASKED, timeout=_TIMEOUT_SECONDS) as answer:
            return answer.read(64).decode("ascii", "replace").strip()
    except OSError:
        return ""


def _facing(endpoint_url: str) -> str:
    where = urlsplit(endpoint_url)
    try:
        with socket.create_connection(
            (where.hostname or "", where.port or 443), _TIMEOUT_SECONDS
        ) as connection:
            return str(connection.getsockname()[0])
    except OSError:
        return ""
