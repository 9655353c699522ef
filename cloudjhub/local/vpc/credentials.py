"""Temporary keys of roles, as instances find them in their metadata, and whose they are."""

import secrets
import string
import threading
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

from cloudjhub.local.vpc.metadata.tree import RoleKey

LIFETIME = timedelta(hours=6)
#: EC2 has new ones at least five minutes before the old ones end; SDKs ask 15 minutes before
RENEWED_BEFORE = timedelta(minutes=30)
_ALPHABET = string.ascii_uppercase + "234567"


def utc_now() -> datetime:
    return datetime.now(timezone.utc)


class RoleCredentials:
    """Issues keys and knows their owners, in memory only: machines ask again when they boot.

    Keys outlive their instance, as on AWS: nothing but time ends them.
    """

    def __init__(self, now: Callable[[], datetime] = utc_now):
        self._now = now
        self._lock = threading.Lock()
        #: the newest key of an instance and role
        self._newest: dict[tuple[str, str], RoleKey] = {}
        #: access key id -> instance, role and when it ends
        self._owners: dict[str, tuple[str, str, datetime]] = {}

    def issue(self, instance_id: str, role_name: str) -> RoleKey:
        """The same key until shortly before its end."""
        with self._lock:
            now = self._now()
            known = self._newest.get((instance_id, role_name))
            if known and known.expires - now > RENEWED_BEFORE:
                return known
            self._forget_expired(now)
            key = _new_key(now)
            self._newest[instance_id, role_name] = key
            self._owners[key.access_key_id] = (instance_id, role_name, key.expires)
            return key

    def owner_of(self, access_key_id: str) -> tuple[str, str] | None:
        """Instance id and role name; None for keys that were never issued, or have ended."""
        with self._lock:
            instance_id, role_name, expires = self._owners.get(access_key_id, ("", "", None))
            return (instance_id, role_name) if expires and expires > self._now() else None

    def _forget_expired(self, now: datetime) -> None:
        self._owners = {k: v for k, v in self._owners.items() if v[2] > now}


def _new_key(now: datetime) -> RoleKey:
    # The metadata service speaks in whole seconds.
    issued = now.replace(microsecond=0)
    return RoleKey(
        access_key_id="ASIA" + "".join(secrets.choice(_ALPHABET) for _ in range(16)),
        secret_access_key=secrets.token_urlsafe(30),
        token=secrets.token_urlsafe(120),
        issued=issued,
        expires=issued + LIFETIME,
    )
