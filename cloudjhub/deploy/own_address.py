"""The address under which this computer reaches the outside."""

import ipaddress
import socket
import urllib.request
from urllib.parse import urlsplit

#: Amazon's own answer to "what is my address"
ASKED = "https://checkip.amazonaws.com"
_TIMEOUT_SECONDS = 10


def find(endpoint_url: str = "", toward: str = "") -> str:
    """As a network of one address; "" where it cannot be found out.

    Where AWS's API is not Amazon's own, no other network lies in between, and it is the address
    from which ``toward`` is reached, or else the API.
    """
    if endpoint_url:
        address = _facing(toward or urlsplit(endpoint_url).hostname or "")
    else:
        address = _public()
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


def _facing(host: str) -> str:
    """The source address of the route there; nothing is sent."""
    try:
        ((family, *_, where), *_) = socket.getaddrinfo(host, 22, type=socket.SOCK_DGRAM)
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(where)
            return str(probe.getsockname()[0])
    except (OSError, ValueError):
        return ""
