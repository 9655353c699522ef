"""Which name server the machines' own asks."""

import ipaddress
from collections.abc import Iterable
from pathlib import Path

#: the second holds what systemd-resolved asks when the first only names systemd-resolved
_FILES = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))


def upstream(files: Iterable[Path] = _FILES) -> str | None:
    """The first IPv4 name server that is not this computer itself, or None."""
    for path in files:
        try:
            lines = path.read_text().splitlines()
        except OSError:
            continue
        for words in map(str.split, lines):
            if len(words) > 1 and words[0] == "nameserver" and _is_elsewhere(words[1]):
                return words[1]
    return None


def _is_elsewhere(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return address.version == 4 and not address.is_loopback
