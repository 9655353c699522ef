"""Client tokens: the same call twice is one call.

https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from cloudjhub.local.moto_layer import refusals
from cloudjhub.local.moto_layer.backend import LocalBackend

#: Not part of what is asked for.
_IGNORED = ("ClientToken", "DryRun")


def key(action: str, token: str | None, zone: str | None) -> str:
    """Tokens are zonal: in another zone the same token is another request."""
    return f"{action}/{zone}/{token}"


def fingerprint(params: Mapping[str, Any]) -> str:
    """Equal for equal parameters. Take it before they are completed with defaults."""
    asked = {name: value for name, value in params.items() if name not in _IGNORED}
    text = json.dumps(asked, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def find(backend: LocalBackend, token_key: str, asked: str) -> str | None:
    """The id of what was made with this token. Refuses another fingerprint than then."""
    made = backend.client_tokens.get(token_key)
    if made is None:
        return None
    if made[0] != asked:
        raise refusals.token_mismatch()
    return made[1]
