"""Session tokens: each is good for one instance and a time, and nothing about it is kept."""

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable

MAX_SECONDS = 21_600


class Tokens:
    """Signed by a key that lives as long as the service."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._key = secrets.token_bytes(32)

    def issue(self, instance_id: str, seconds: int) -> str:
        ends = f"{self._clock() + seconds:.3f}"
        text = f"{ends}.{secrets.token_hex(4)}"
        return base64.urlsafe_b64encode(f"{text}.{self._sign(text, instance_id)}".encode()).decode()

    def seconds_left(self, token: str, instance_id: str) -> float:
        """0 for a token that is foreign, another instance's, or past its time."""
        try:
            text, _, signature = base64.urlsafe_b64decode(token).decode().rpartition(".")
            ends = float(text.rpartition(".")[0])
        except ValueError:
            return 0.0
        if not hmac.compare_digest(signature, self._sign(text, instance_id)):
            return 0.0
        return max(0.0, ends - self._clock())

    def _sign(self, text: str, instance_id: str) -> str:
        message = f"{text}/{instance_id}".encode()
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()


def lifetime(header: str | None) -> int | None:
    """The seconds that a caller asks for; None for anything EC2 would refuse."""
    if header is None or not header.isascii() or not header.isdigit() or len(header) > 5:
        return None
    return int(header) if 1 <= int(header) <= MAX_SECONDS else None
