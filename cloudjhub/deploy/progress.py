"""What a waiting operator sees: a live line on a terminal, plain lines elsewhere; and a log."""

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import TextIO

_REFRESH_SECONDS = 0.5
_CLEAR = "\r\x1b[K"
_WIDTH = 100


class Progress:
    """Prints steps as they begin, go on and end. Safe to use from several threads."""

    def __init__(self, stream: TextIO, *, live: bool | None = None, log: TextIO | None = None):
        self._stream = stream
        self._log = log
        self._live = stream.isatty() if live is None else live
        self._lock = threading.Lock()
        self._shown = ""
        #: what a machine printed last; part of the live line
        self.detail = ""

    @contextmanager
    def step(self, name: str, usual_seconds: float) -> Iterator[None]:
        """Around the work of one step; "done: NAME" is printed at its end, and flushed."""
        began = time.monotonic()
        self.detail = ""
        self._write(f"{name} (usually {duration(usual_seconds)})")
        ticker = _Ticker(self, name, began, usual_seconds) if self._live else None
        try:
            yield
        except BaseException:
            if ticker:
                ticker.end()
            self._write(f"failed: {name}, after {duration(time.monotonic() - began)}")
            raise
        if ticker:
            ticker.end()
        self._write(f"done: {name} ({duration(time.monotonic() - began)})")

    def say(self, text: str) -> None:
        """A line of detail. One that is indented, a machine's own output, only passes by."""
        if text.startswith(" "):
            self.detail = text.strip()
            self._note(text)
        elif text.strip():
            self.detail = ""
            self._write(f"  {text.strip()}")

    def show(self, text: str) -> None:
        """The live line: overwritten by the next, erased by the next written line."""
        with self._lock:
            self._shown = text[: min(_WIDTH, shutil.get_terminal_size().columns - 1)]
            self._stream.write(f"{_CLEAR}{self._shown}")
            self._stream.flush()

    def _write(self, line: str) -> None:
        self._note(line)
        with self._lock:
            before = _CLEAR if self._shown else ""
            self._shown = ""
            self._stream.write(f"{before}{line}\n")
            self._stream.flush()

    def _note(self, line: str) -> None:
        """Everything is in the log, with the time."""
        if self._log:
            now = datetime.now(timezone.utc).strftime("%H:%M:%S")
            with self._lock:
                self._log.write(f"{now} {line.rstrip()}\n")
                self._log.flush()


class _Ticker(threading.Thread):
    """Keeps the live line of one step current."""

    def __init__(self, progress: Progress, name: str, began: float, usual_seconds: float):
        super().__init__(name="cloudjhub-progress", daemon=True)
        self._progress, self._name, self._began = progress, name, began
        self._usual_seconds = usual_seconds
        self._over = threading.Event()
        self.start()

    def run(self) -> None:
        while not self._over.wait(_REFRESH_SECONDS):
            elapsed = duration(time.monotonic() - self._began)
            usual = duration(self._usual_seconds)
            detail = self._progress.detail
            self._progress.show(f"{self._name}: {elapsed} of usually {usual}  {detail}".rstrip())

    def end(self) -> None:
        self._over.set()
        self.join()


def duration(seconds: float) -> str:
    """``7 s``, ``2 min 5 s``."""
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60} s"
