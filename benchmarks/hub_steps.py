"""Writes down when the steps of a start begin and end. Loaded by the hub of a benchmark.

Nothing is changed but that a line is written; what a later version calls otherwise is left out.
"""

import functools
import inspect
import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# step -> module, and the function or Class.method in it
STEPS = {
    "answering": ("cloudjhub.machine", "Machine.answering"),
    "login": ("cloudjhub.server_start", "ServerStart._connect"),
    "tags": ("cloudjhub.server_start", "make_mine"),
    "home": ("cloudjhub.server_start", "home_volume_of"),
    "helper": ("cloudjhub.notebook", "start"),
    "waiting": ("cloudjhub.notebook_start", "NotebookStart._until_it_answers"),
    "start": ("cloudjhub.spawner", "InstanceSpawner.start"),
}


def hub_configuration(file: Path) -> str:
    """What goes into a hub's configuration to have its steps written to a file."""
    here = str(Path(__file__).resolve().parent)
    lines = ["import sys", f"sys.path.append({here!r})", "import hub_steps"]
    return "\n".join([*lines, f"hub_steps.record({str(file)!r})", ""])


def read(file: Path, since: float) -> dict[str, tuple[float, float]]:
    """Step -> (began, ended), time.monotonic, of those that began after ``since``."""
    lines = file.read_text().splitlines() if file.exists() else []
    found = [json.loads(line) for line in lines]
    return {step: (began, ended) for step, began, ended in found if began >= since}


def record(file: str) -> None:
    """From now on every step of this process adds ``[step, began, ended]`` to the file."""
    lock = threading.Lock()

    def write(step: str, began: float) -> None:
        with lock, open(file, "a") as lines:
            lines.write(json.dumps([step, began, time.monotonic()]) + "\n")

    for step, (module, name) in STEPS.items():
        __import__(module)
        *classes, last = name.split(".")
        owner = functools.reduce(getattr, classes, sys.modules[module])
        if hasattr(owner, last):
            setattr(owner, last, _timed(getattr(owner, last), functools.partial(write, step)))


def _timed(work: Callable[..., Any], ended: Callable[[float], None]) -> Callable[..., Any]:
    @functools.wraps(work)
    async def timed_async(*args: Any, **options: Any) -> Any:
        began = time.monotonic()
        try:
            return await work(*args, **options)
        finally:
            ended(began)

    @functools.wraps(work)
    def timed(*args: Any, **options: Any) -> Any:
        began = time.monotonic()
        try:
            return work(*args, **options)
        finally:
            ended(began)

    return timed_async if inspect.iscoroutinefunction(work) else timed
