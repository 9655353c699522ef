"""Measures how late a hub's event loop is, and whose code makes it so. Loaded by the hub itself.

A callback is due every 10 ms and notes how late it comes; every callback of the loop is timed.
While the loop is late by more than 50 ms a thread looks every 10 ms at what the loop's thread is
doing. Once a second everything goes into a file, one JSON object a line; ``meter_file`` reads it.
"""

import asyncio
import gc
import json
import os
import sys
import threading
import time
import traceback
from array import array
from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import cloudjhub

TICK_SECONDS = 0.01
STALL_SECONDS = 0.05
_OURS = str(Path(cloudjhub.__file__).resolve().parent) + os.sep
_WRITE_SECONDS = 1.0
_STALLED_WRITE_SECONDS = 15.0
_PLACES = 4  # of a stack, the innermost that are written down

_run = asyncio.Handle._run
_meter: "Meter | None" = None


def hub_configuration(file: Path) -> str:
    """What goes into a hub's configuration to have its loop measured."""
    here = str(Path(__file__).resolve().parent)
    lines = ["import sys", f"sys.path.append({here!r})", "import hub_meter"]
    return "\n".join([*lines, f"hub_meter.install({str(file)!r})", ""])


def install(file: str) -> None:
    """Measure the running loop, which is the caller's, until the process ends."""
    global _meter
    _meter = Meter(asyncio.get_running_loop(), threading.get_ident(), file)
    asyncio.Handle._run = _run_timed
    _meter.start()


class Meter:
    """The ticks of one loop and the thread that watches them."""

    def __init__(self, loop: asyncio.AbstractEventLoop, thread_id: int, file: str):
        self._loop = loop
        self._thread_id = thread_id
        self._file = file
        self._schedstat = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
        self._due = 0.0
        self._ticks = array("d")  # when one came and how late it was, by turns
        self._stalls: list[dict[str, Any]] = []
        self._before = _Used.now(self._schedstat, 0.0)
        self._steps: list[dict[str, Any]] = []
        self._looks: list[tuple[float, bool, str]] = []  # when, whether our code was found, where
        self._own = 0.0  # CPU of the watching thread
        self._collecting = 0.0
        # When one ended, how long it took, whether the loop's thread did it.
        self._collections: deque[tuple[float, float, bool]] = deque(maxlen=200)
        self._unwritten: list[float] = []

    def start(self) -> None:
        """Begin; called in the loop's thread."""
        gc.callbacks.append(self._collection)
        self._next_tick()
        threading.Thread(target=self._watch, name="benchmark-meter", daemon=True).start()

    # -- in the loop

    def _next_tick(self) -> None:
        self._due = time.monotonic() + TICK_SECONDS
        self._loop.call_at(self._loop.time() + TICK_SECONDS, self._tick)

    def _tick(self) -> None:
        now, used = time.monotonic(), _Used.now(self._schedstat, self._own)
        late = max(0.0, now - self._due)
        self._ticks.extend((now, late))
        if late > STALL_SECONDS:
            self._stalls.append(self._stall(now, late, used))
        self._before = used
        self._next_tick()

    def _stall(self, now: float, late: float, used: "_Used") -> dict[str, Any]:
        """What is known of the time since the last tick."""
        looks, self._looks = self._looks, []
        began = self._due - TICK_SECONDS
        spent = {**used.since(self._before), **self._collected(began, now)}
        return {"at": now, "late": late, **spent, **_found(looks)}

    def step(self, began: float, ended: float, used: float) -> None:
        """A callback was run that kept the loop for long."""
        looks = [look for look in self._looks if began <= look[0] <= ended]
        spent = {"took": ended - began, "loop": used, **self._collected(began, ended)}
        self._steps.append({"at": ended, **spent, **_found(looks)})

    # -- in whatever thread the collector runs

    def _collection(self, phase: str, facts: dict[str, int]) -> None:
        if phase == "start":
            self._collecting = time.monotonic()
            return
        took = time.monotonic() - self._collecting
        if took > TICK_SECONDS:
            by_loop = threading.get_ident() == self._thread_id
            self._collections.append((self._collecting + took, took, by_loop))
            self._unwritten.append(took)

    def _collected(self, began: float, ended: float) -> dict[str, float]:
        """Seconds of garbage collection, during which nothing else of the process can run."""
        found = [entry for entry in list(self._collections) if began <= entry[0] <= ended]
        return {
            "collected": sum(took for _, took, by_loop in found if by_loop),
            "collected_by_threads": sum(took for _, took, by_loop in found if not by_loop),
        }

    # -- in the thread

    def _watch(self) -> None:
        written = time.monotonic()
        while True:
            time.sleep(TICK_SECONDS)
            now = time.monotonic()
            stalled = now - self._due > STALL_SECONDS
            try:
                if stalled:
                    self._look()
                # What is written meanwhile makes a stall longer, so that it has to be a long one.
                if now - written > (_STALLED_WRITE_SECONDS if stalled else _WRITE_SECONDS):
                    written = now
                    self._write(now)
            except Exception:  # the outermost loop: what follows is measured all the same
                traceback.print_exc()
            self._own = time.thread_time()

    def _look(self) -> None:
        frame = sys._current_frames().get(self._thread_id)
        if frame is not None:
            self._looks.append((time.monotonic(), _is_ours(frame), _places(frame)))

    def _write(self, now: float) -> None:
        ticks, self._ticks = self._ticks, array("d")
        stalls, self._stalls = self._stalls, []
        steps, self._steps = self._steps, []
        collections, self._unwritten = self._unwritten, []
        line = {
            "at": now,
            "when": [round(at, 4) for at in ticks[0::2]],
            "late": [round(late, 5) for late in ticks[1::2]],
            "stalls": stalls,
            "steps": steps,
            "collections": collections,
        }
        with open(self._file, "a") as file:
            file.write(json.dumps(line) + "\n")


def _run_timed(handle: asyncio.Handle) -> None:
    """Stands for Handle._run, which the loop calls for each callback."""
    began, used = time.monotonic(), time.thread_time()
    _run(handle)
    ended = time.monotonic()
    if ended - began > STALL_SECONDS and _meter is not None:
        _meter.step(began, ended, time.thread_time() - used)


def _found(looks: Sequence[tuple[float, bool, str]]) -> dict[str, Any]:
    """How often the loop's thread was looked at, found in our code, and found where."""
    stacks = Counter(place for _, _, place in looks)
    ours = sum(is_ours for _, is_ours, _ in looks)
    return {"seen": len(looks), "ours": ours, "stacks": dict(stacks.most_common(3))}


class _Used:
    """CPU of the loop's thread and of the others, and how long the former waited for a core."""

    def __init__(self, loop: float, threads: float, queued: float):
        self._loop = loop
        self._threads = threads
        self._queued = queued

    @classmethod
    def now(cls, schedstat: int, watcher: float) -> "_Used":
        """Called in the loop's thread; the second field is nanoseconds in a core's queue."""
        queued = int(os.pread(schedstat, 80, 0).split()[1]) / 1e9
        loop = time.thread_time()
        return cls(loop, time.process_time() - loop - watcher, queued)

    def since(self, before: "_Used") -> dict[str, float]:
        return {
            "loop": self._loop - before._loop,
            "threads": max(0.0, self._threads - before._threads),
            "queued": self._queued - before._queued,
        }


def _is_ours(frame: FrameType | None) -> bool:
    """Whether code of this project is under way: it runs, or it called what runs."""
    while frame is not None:
        if frame.f_code.co_filename.startswith(_OURS):
            return True
        frame = frame.f_back
    return False


def _places(frame: FrameType | None) -> str:
    """The innermost places of a stack, outermost first, with the innermost of ours.

    Without the lines of source that ``traceback`` looks up: files may change meanwhile.
    """
    stack: list[FrameType] = []
    while frame is not None:
        stack.insert(0, frame)
        frame = frame.f_back
    inner = stack[-_PLACES:]
    ours = [each for each in stack if each.f_code.co_filename.startswith(_OURS)][-1:]
    shown = [*(each for each in ours if each not in inner), *inner]
    return " > ".join(map(_place, shown))


def _place(frame: FrameType) -> str:
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} {frame.f_code.co_name}"
