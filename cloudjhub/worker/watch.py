"""Powers a machine off that works for nobody and that no hub looks after; runs on it as root.

Looks again and again, and leaves the judgment to ``patience``.
"""

import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import time
import traceback
from urllib.parse import urlsplit

from . import processes, servers
from .idle import processes as machine_processes
from .machine import identity, locked, make_folder, under_root
from .patience import LONGEST_SECONDS, Patience, Seen, Settings, is_number, limit_of, pause_seconds

HUB_SECONDS = 5.0
NOTE_BYTES = 65536
# How long the machine may take to go off before it is told again.
OFF_SECONDS = 120.0
# A helper that looks whether a watch runs has its lock for a moment.
ALONE_SECONDS = 5.0


def main():
    """Watch until the machine is off."""
    folder = os.path.dirname(os.path.abspath(sys.argv[0]))
    with open(os.path.join(folder, "watch.json"), encoding="utf-8") as file:
        asked = json.load(file)
    if asked["machine"] != identity():
        return _say("this machine is a copy of the one that was watched; no hub has started it")
    make_folder(under_root(servers.RUN), 0o711)
    deadline = time.monotonic() + ALONE_SECONDS
    while time.monotonic() < deadline:
        with locked(os.path.join(folder, "lock")) as lock:
            if lock is not None:
                os.ftruncate(lock, 0)
                os.write(lock, str(os.getpid()).encode())
                _say("watches")
                _Watch(asked).go_on()
        time.sleep(0.1)
    return _say("another one watches already")


class _Watch:
    """Looks, has it judged, and acts; again and again."""

    def __init__(self, asked):
        self._settings = Settings(**{name: asked[name] for name in Settings._fields})
        self._poweroff = asked["poweroff"]
        self._looker = Looker(asked["account"])
        self._patience = Patience(_now())

    def go_on(self):
        """Nothing that goes wrong with one look ends it; it is said once."""
        pause, said = LONGEST_SECONDS, ""
        while True:
            try:
                pause = self._turn()
            except Exception:  # the outermost loop
                trouble = traceback.format_exc()
                if trouble != said:
                    _say(trouble)
                said = trouble
            time.sleep(pause)

    def _turn(self):
        """One look and what follows from it; gives the seconds until the next."""
        seen = self._looker.look()
        if self._patience.asks_hub(_now(), self._settings, seen):
            seen = seen._replace(hub_answers=hub_answers(self._settings.hub_url))
        if self._patience.look(_now(), self._settings, seen):
            self._end()
        return pause_seconds(limit_of(self._settings, seen.note))

    def _end(self):
        """Power off, if it still is so once no helper can come in between."""
        with locked(servers.path("lock")) as lock:
            if lock is None:
                return
            why = self._patience.look(_now(), self._settings, self._looker.look(locks=False))
            if not why:
                return
            _say("powers the machine off: " + why)
            code = subprocess.run(
                [self._poweroff], stdin=subprocess.DEVNULL, check=False
            ).returncode
            if code == 0:
                time.sleep(OFF_SECONDS)
        if code != 0:
            # It stays on, so whoever starts a notebook on it meanwhile may.
            time.sleep(OFF_SECONDS)
        _say(f"it is still on; {self._poweroff} ended with code {code}")


def _now():
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Looker:
    """Sees what ``patience`` is told; remembers only what counters need."""

    def __init__(self, account):
        self._account = account
        self._kind = servers.here()
        self._processes = machine_processes.here()

    def look(self, locks=True):
        """A Seen without the hub's answer. Whoever holds the helpers' lock says so (locks)."""
        self._processes.look()
        note = read_note(servers.path("runtime/idle.json"))
        pid = self._kind.pid()
        return Seen(
            helper=locks and _helper_runs(),
            server=pid and (pid, processes.start_time(pid)),
            note=note,
            quiet=is_number(note.get("quiet_until")) and note["quiet_until"] > time.time(),
            sessions=self._processes.sessions(self._account, 0.0),
            cpu_seconds=self._processes.cpu_seconds,
            gpu_percent=_gpu_percent(),
        )


def _helper_runs():
    with locked(servers.path("lock")) as lock:
        return lock is None


def _gpu_percent():
    if shutil.which("nvidia-smi") is None:
        return None
    # Half of this program's memory, which machines without a GPU can save.
    import asyncio

    from .idle import gpu

    return asyncio.run(gpu.percent())


def hub_answers(url):
    """Whether a hub speaks HTTP there. One that is in trouble (5xx) does not count.

    Without http.client, which is half of this program's memory.
    """
    parts = urlsplit(url)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        with socket.create_connection((parts.hostname, port), HUB_SECONDS) as connection:
            connection.settimeout(HUB_SECONDS)
            return _answers(connection, parts)
    except (OSError, ValueError):
        return False


def _answers(connection, parts):
    if parts.scheme == "https":
        # Who takes connections there may want a certificate of ours before it says anything.
        return True
    connection.sendall(f"GET {parts.path} HTTP/1.0\r\nHost: {parts.netloc}\r\n\r\n".encode())
    with connection.makefile("rb") as answer:
        words = answer.readline(NOTE_BYTES).split()
    return len(words) > 1 and words[0].startswith(b"HTTP/") and words[1] < b"5"


def read_note(path):
    """What the notebook server wrote for us, {} if that is nothing sensible: it is the user's."""
    try:
        # Neither a link nor a pipe that nobody writes to may lead us astray.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return {}
            note = json.loads(file.read(NOTE_BYTES).decode("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return note if isinstance(note, dict) else {}


def _say(text):
    print("cloudjhub-watch: " + text, flush=True)
