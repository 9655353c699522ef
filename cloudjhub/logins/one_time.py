"""One-time passwords: good for nothing but to choose a password of one's own, once.

They stand hashed in a file of the hub's account, so that an operator on the manager can give one
out whatever the hub's database is, also to somebody who forgot theirs.
"""

import argparse
import fcntl
import hashlib
import hmac
import json
import os
import secrets
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# No letters and digits that look alike; 16 of them are 78 bits, which nobody tries out.
_SIGNS = "abcdefghjkmnpqrstuvwxyz23456789"
_GROUPS, _GROUP_LENGTH = 4, 4
# In the place of a hash: of no password.
_NOBODYS = "not given yet"


class OneTimePasswords:
    """The file. Every method reads it anew; writers take turns."""

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)

    def waits(self, name: str) -> bool:
        """Whether somebody of this name has yet to choose a password."""
        return "hash" in self._read().get(name, {})

    def matches(self, name: str, password: str) -> bool:
        """Whether this is the one-time password of that name, not used yet."""
        entry = self._read().get(name, {})
        found = _hash(entry.get("salt", ""), password)
        return hmac.compare_digest(found, entry.get("hash", "no hash"))

    def use(self, name: str) -> None:
        """It did its work; from now on it opens nothing."""
        with self._changing() as entries:
            entries[name] = {"chosen": True}

    def forget(self, name: str) -> None:
        """As if there had never been one."""
        with self._changing() as entries:
            entries.pop(name, None)

    def keep(self, names: set[str]) -> None:
        """Of others it is not known any more that they have chosen: their accounts are gone."""
        read = self._read()
        lost = {name for name, entry in read.items() if entry.get("chosen")} - names
        if lost:
            with self._changing() as entries:
                for name in lost:
                    entries.pop(name, None)

    def reserve(self, names: Iterable[str]) -> None:
        """Nobody signs up in these names: they wait for a one-time password to be given."""
        read = self._read()
        new = [name for name in names if name not in read]
        if new:
            with self._changing() as entries:
                for name in new:
                    entries.setdefault(name, {"salt": "", "hash": _NOBODYS})

    def give(self, names: Sequence[str], *, again: bool = False) -> dict[str, str]:
        """New one-time passwords for those who have not chosen yet; with ``again`` for all."""
        given: dict[str, str] = {}
        with self._changing() as entries:
            for name in names:
                if entries.get(name, {}).get("chosen") and not again:
                    continue
                salt, given[name] = secrets.token_hex(16), _new_password()
                entries[name] = {"salt": salt, "hash": _hash(salt, given[name])}
        return given

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            return json.loads(self.path.read_text("utf-8"))
        except FileNotFoundError:
            return {}

    @contextmanager
    def _changing(self) -> Iterator[dict[str, dict[str, Any]]]:
        lock = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            entries = self._read()
            yield entries
            new = Path(f"{self.path}.new")
            new.unlink(missing_ok=True)
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "w", encoding="utf-8") as file:
                json.dump(entries, file, indent=2, sort_keys=True)
            new.replace(self.path)
        finally:
            os.close(lock)


def _new_password() -> str:
    groups = ["".join(secrets.choice(_SIGNS) for _ in range(_GROUP_LENGTH)) for _ in range(_GROUPS)]
    return "-".join(groups)


def _hash(salt: str, password: str) -> str:
    return hashlib.sha256(f"{salt}:{password.strip()}".encode()).hexdigest()


def main(arguments: Sequence[str] | None = None) -> None:
    """Give out one-time passwords on the manager."""
    parser = argparse.ArgumentParser(
        prog="cloudjhub-one-time-password",
        description="Give users of this hub a one-time password, with which they choose a new "
        "password at the login page. Their old password is good until then.",
    )
    parser.add_argument("names", nargs="+", metavar="NAME", help="user name in the hub")
    parser.add_argument("--file", required=True, help=argparse.SUPPRESS)
    parser.add_argument(
        "--new-only",
        action="store_true",
        help="leave out who has chosen a password already; answers in JSON",
    )
    options = parser.parse_args(arguments)
    names = [name.lower() for name in options.names]
    given = OneTimePasswords(options.file).give(names, again=not options.new_only)
    if options.new_only:
        json.dump(given, sys.stdout)
        print()
    else:
        print("\n".join(f"{name}: {password}" for name, password in given.items()))


if __name__ == "__main__":
    main()
