"""Looks at the machine every few seconds: is there work, and who is to know of it."""

import asyncio
import json
import os
import random
import time
from contextlib import suppress
from datetime import datetime, timezone
from getpass import getuser
from itertools import count

from . import gpu, processes
from .forecast import forecast
from .work import USUAL, Limits, Seen, Work

KEY = "cloudjhub_last_activity"
LOOK_SECONDS = 10.0
# Every question is one more that a hub with a thousand servers answers.
ASK_SECONDS = 120.0
# After a first question that was not answered; then twice as long each time.
FIRST_ASK_SECONDS = 15.0
GPU_SECONDS = 30.0
STATE_FILE = "idle.json"


class Looker:
    """The machine's work as its notebook server sees it. Runs in the server's loop."""

    def __init__(self, serverapp, hub, reports=None):
        self.hub = hub
        self.work = Work(time.time())
        self._serverapp = serverapp
        self._settings = serverapp.web_app.settings
        self._reports = reports
        self._processes = processes.here()
        self._account = getuser()
        self._gpu_at = self._gpu = None
        self._folder = serverapp.runtime_dir
        self._said = None

    async def look_on(self):
        """Look again and again; nothing that goes wrong ends it."""
        while True:
            try:
                await self.look()
            except Exception as error:  # the outermost loop
                self._see_nothing(error)
            await asyncio.sleep(self.look_seconds())

    async def ask_on(self):
        """Ask the hub again and again what holds for this machine."""
        for times in count():
            await self.ask()
            pause = ASK_SECONDS
            if self.hub.terms is None:
                pause = min(pause, FIRST_ASK_SECONDS * 2.0 ** min(times, 10))
            elif self.hub.terms.timeout_seconds:
                pause = min(pause, self.hub.terms.timeout_seconds / 4)
            # Machines that began together do not go on asking together.
            await asyncio.sleep(pause * random.uniform(0.9, 1.1))

    async def ask(self):
        """Ask the hub now."""
        await self.hub.ask()
        self.work.limits = limits_of(self.hub.terms)

    def look_seconds(self):
        """Seconds between two looks."""
        timeout = self.work.limits.timeout_seconds
        return min(LOOK_SECONDS, max(0.5, timeout / 8)) if timeout else LOOK_SECONDS

    async def look(self):
        """Look once, and tell whoever is to know."""
        seen = await self._seen()
        now = time.time()
        self.work.look(now, seen)
        self._tell(self.work.last_work)
        with suppress(OSError):  # a full disk keeps nobody from working
            self._write(now)

    def forecast(self):
        """What users are shown."""
        started = self._settings["started"].timestamp()
        return forecast(self.work, self.hub.terms, started, time.time())

    def keep(self, seconds):
        """Keep the machine for so long, or as long as is allowed; 0 ends it."""
        most = self.hub.terms.keep_seconds if self.hub.terms else 0
        self.work.keep(time.time() + min(seconds, most) if seconds > 0 else 0.0)

    def _tell(self, last_work):
        self._settings[KEY] = datetime.fromtimestamp(last_work, timezone.utc)
        if self._reports:
            self._reports.begin()

    def _see_nothing(self, error):
        """A machine that cannot be seen into is not to be stopped for that; its log says why."""
        if repr(error) != self._said:
            self._serverapp.log.error("Work cannot be seen here, so it is assumed.", exc_info=True)
        self._said = repr(error)
        self._tell(time.time())

    async def _seen(self):
        self._processes.look()
        return Seen(
            acted=self._serverapp.web_app.last_activity().timestamp(),
            kernels=await self._busy_kernels(),
            terminals=self._programs(),
            sessions=self._processes.sessions(self._account),
            cpu_seconds=self._processes.cpu_seconds,
            gpu_percent=await self._gpu_percent(),
        )

    async def _busy_kernels(self):
        """Where busy kernels belong to: the path of a notebook, else the kernel's kind."""
        kernels = await _done(self._settings["kernel_manager"].list_kernels())
        busy = {each["id"]: each["name"] for each in kernels if each["execution_state"] == "busy"}
        if busy:
            for session in await _done(self._settings["session_manager"].list_sessions()):
                kernel = (session.get("kernel") or {}).get("id")
                if kernel in busy:
                    busy[kernel] = session.get("path") or busy[kernel]
        return list(busy.values())

    def _programs(self):
        manager = self._settings.get("terminal_manager")
        terminals = list(manager.terminals.values()) if manager else []
        shells = [each.ptyproc.pid for each in terminals]
        return [name for shell in shells for name in self._processes.programs(shell)]

    async def _gpu_percent(self):
        now = time.monotonic()
        if self._gpu_at is None or now - self._gpu_at >= GPU_SECONDS:
            self._gpu_at = now
            self._gpu = await gpu.percent()
        return self._gpu

    def _write(self, now):
        """What the watch of the machine reads (cloudjhub.worker.watch)."""
        terms = self.hub.terms
        state = {
            "written": now,
            "last_work": self.work.last_work,
            "hub_heard": self.hub.heard,
            "limit_seconds": terms.timeout_seconds if terms else None,
            "quiet_until": terms.quiet_until if terms else None,
            "signs": [sign._asdict() for sign in self.work.signs],
        }
        path = os.path.join(self._folder, STATE_FILE)
        draft = path + ".new"
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(state, file)
        os.replace(draft, path)


def limits_of(terms):
    """What counts as busy by the hub's terms."""
    if terms is None:
        return USUAL
    return Limits(
        cpu_percent=terms.busy_cpu_percent,
        gpu_percent=terms.busy_gpu_percent,
        busy_seconds=terms.busy_minutes * 60.0,
        timeout_seconds=terms.timeout_seconds,
    )


async def _done(answer):
    """What was returned, or awaited: Jupyter Server's managers come in both kinds."""
    return await answer if hasattr(answer, "__await__") else answer
