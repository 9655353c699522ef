"""What outlives the process: one file, replaced whole, and the lock on the folder it is in."""

import fcntl
import logging
import os
import pickle
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from cloudjhub.local.machines.disk import write_private
from cloudjhub.local.settings import LocalEC2Error

log = logging.getLogger(__name__)

STATE_FILE = "state.pickle"
LOCK_FILE = "lock"
FORMAT = 1
#: saving may take at most a fifth of one core, however large the state has grown
_REST_PER_SAVE = 4.0
_SHORTEST_REST_SECONDS = 0.05


def lock_folder(state_dir: Path) -> IO[str]:
    """Makes the folder, closed to others, and takes it. LocalEC2Error if it is taken or foreign.

    It is free again when the returned file is closed or this process ends, however it ends.
    """
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not (state_dir / LOCK_FILE).exists() and any(state_dir.iterdir()):
        # Somebody's home, or /tmp: closing that to others would do harm.
        raise LocalEC2Error(
            f"{state_dir} holds other things than a local EC2.", "Name a new or an empty folder."
        )
    state_dir.chmod(0o700)
    lock = (state_dir / LOCK_FILE).open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.seek(0)
        holder = lock.read().strip() or "unknown"
        lock.close()
        raise LocalEC2Error(
            f"Another local EC2 (process {holder}) is using {state_dir}.",
            "Stop it, or name another state folder.",
        ) from error
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def load(state_dir: Path) -> Any:
    """What was saved, or None. What cannot be read is moved aside; machines' folders stay."""
    path = state_dir / STATE_FILE
    if not path.exists():
        return None
    try:
        saved = pickle.loads(path.read_bytes())
        if saved["format"] != FORMAT:
            raise ValueError(f"format {saved['format']} is not {FORMAT}")
        return saved["content"]
    except Exception as error:  # unpickling damaged data may raise anything
        aside = path.with_name(f"{STATE_FILE}.unreadable-{time.strftime('%Y%m%d-%H%M%S')}")
        path.replace(aside)
        log.error(
            "local EC2: cannot read %s (%s: %s). It is now %s, and this EC2 starts empty. "
            "Folders of machines and volumes are untouched.",
            path,
            type(error).__name__,
            error,
            aside.name,
        )
        return None


class Store:
    """Saves in the background, soon after :meth:`changed`, and once more when closed.

    ``freeze`` returns the content's pickle; it takes the locks it needs.
    """

    def __init__(self, state_dir: Path, freeze: Callable[[], bytes]):
        self._path = state_dir / STATE_FILE
        self._freeze = freeze
        self._dirty = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="local-ec2-store", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def changed(self) -> None:
        self._dirty.set()

    def close(self) -> None:
        self._closing.set()
        self._dirty.set()
        if self._thread.is_alive():
            self._thread.join()
        self.save()

    def save(self) -> None:
        write_private(self._path, self._freeze())

    def _run(self) -> None:
        while not self._closing.is_set():
            self._dirty.wait()
            self._dirty.clear()
            started = time.monotonic()
            try:
                self.save()
            except Exception:
                log.exception("local EC2: cannot save %s", self._path)
            rest = _REST_PER_SAVE * (time.monotonic() - started)
            self._closing.wait(max(_SHORTEST_REST_SECONDS, rest))


def content_bytes(content: Any) -> bytes:
    """``content`` as :func:`load` finds it again."""
    return pickle.dumps({"format": FORMAT, "content": content}, pickle.HIGHEST_PROTOCOL)
