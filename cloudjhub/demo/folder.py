"""The demo's folder: what it must find again at its next start, and nothing readable by others."""

import fcntl
import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cloudjhub.errors import CloudJHubError
from cloudjhub.ports import free_port, is_free

USERS = ("ada", "grace", "alan", "edsger", "barbara")
ADMIN = "admin"


class DemoError(CloudJHubError):
    """The demo cannot start, or a part of it did not come up."""

    remedy = ""


@dataclass(frozen=True)
class Secrets:
    """Passwords and tokens of one demo, made once."""

    admin_password: str
    user_password: str
    api_token: str
    proxy_token: str

    @classmethod
    def fresh(cls) -> "Secrets":
        """New ones. JupyterHub wants 32 characters from an admin and 8 from a user."""
        return cls(
            admin_password=secrets.token_hex(16),
            user_password=secrets.token_hex(6),
            api_token=secrets.token_hex(32),
            proxy_token=secrets.token_hex(32),
        )


def default_folder() -> Path:
    """Where the demo keeps its state when nobody says otherwise."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state"
    return Path(base) / "cloudjhub-demo"


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    draft = path.with_name(f".{path.name}.draft")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)


class DemoFolder:
    """One demo's folder. ``claim`` it before anything else."""

    def __init__(self, path: Path):
        self.path = path.absolute()
        self._lock: int | None = None

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def claim(self) -> None:
        """Make the folder and hold it. Raises DemoError when another demo holds it."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.chmod(0o700)
            lock = os.open(self / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise DemoError(
                f"{self.path} cannot be used ({error.strerror}); name another folder with --state."
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise DemoError(
                f"Another demo is using {self.path}; end it, or name another folder with --state."
            ) from None
        self._lock = lock

    def release(self) -> None:
        """Let another demo have the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def secrets(self) -> Secrets:
        """The demo's passwords and tokens; made at the first call, then the same for ever."""
        known = self._read("secrets.json")
        if known is None:
            known = asdict(Secrets.fresh())
            self.write("secrets.json", known)
        return Secrets(**known)

    def ports(self, *names: str) -> dict[str, int]:
        """A free port for each name; the ones of the last time as long as they are free."""
        before = self._read("ports.json") or {}
        chosen: dict[str, int] = {}
        for name in names:
            port, taken = before.get(name, 0), chosen.values()
            chosen[name] = port if port and is_free(port) else free_port(but=taken)
        self.write("ports.json", chosen)
        return chosen

    def write(self, name: str, content: Any) -> None:
        """Write a JSON file, mode 0600."""
        write_private(self / name, json.dumps(content, indent=2) + "\n")

    def _read(self, name: str) -> Any:
        try:
            return json.loads((self / name).read_text())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise DemoError(
                f"{self / name} is damaged ({error}); remove it, or name another folder."
            ) from error
