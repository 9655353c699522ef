"""Which spares let the hub in: asked at their first boot and now and then afterwards.

A spare that never comes up, or that falls silent, is of no use to anybody and holds nobody's
files: it is ended and another takes its place. Not while everybody is silent, which is the
network's fault.
"""

import asyncio
import logging
import math
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from cloudjhub.ec2_values import Instance
from cloudjhub.errors import CloudJHubError, LoginRefused, MachineNotAnswering

log = logging.getLogger(__name__)

AT_ONCE = 32  # machines that are visited at the same time: mostly they are waited for
_REMEMBERED = 20
_ASK_AGAIN_SECONDS = 60.0
_SILENCES = 3
_SILENCES_OF_ONE = 10  # of the only one there is: whether it is the network nobody else can tell


def _never() -> bool:
    return False


@dataclass(frozen=True)
class Questions:
    """What is asked of a machine.

    ``prepare`` logs in and gives the host key's fingerprint, which has to be the one that is
    passed where it is known; it raises MachineError while the machine does not let us in.
    ``answers`` only listens for a word of sshd. ``deaf``: whether the hub hears no machine at all.
    """

    prepare: Callable[[Instance, str | None], Awaitable[str]]
    answers: Callable[[Instance], Awaitable[bool]]
    ready: Callable[[str, bool], None]  # is told who is ready, and who is no longer
    boot_seconds: float = 300.0  # from the first sight of a machine until it counts as dead
    deaf: Callable[[], bool] = _never


@dataclass
class _Known:
    """What this process has seen of one spare since its last boot."""

    since: datetime
    booting: bool  # seen from the beginning of its boot on
    first_asked: datetime | None = None
    asked: datetime | None = None
    ready: bool = False
    silences: int = 0


class Watch:
    """Memory and questions about spares; nothing is lost with it but what can be asked again."""

    def __init__(self, questions: Questions, now: Callable[[], datetime]):
        self._questions = questions
        self._now = now
        self._known: dict[str, _Known] = {}
        self._host_keys: dict[str, str] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._boots: deque[float] = deque(maxlen=_REMEMBERED)
        self.dead_boots = 0  # in a row

    async def aclose(self) -> None:
        """Ask nothing more."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def boot_seconds(self) -> float | None:
        """Median from the first sight of a machine until it let us in; None before the first."""
        return median(self._boots) if self._boots else None

    def host_key(self, instance_id: str) -> str | None:
        """Fingerprint of the key that the spare showed at its first boot, if this hub saw it."""
        return self._host_keys.get(instance_id)

    def look(self, spares: Collection[Instance], all_ids: Collection[str]) -> list[Instance]:
        """Begin the questions that are due; gives the spares that are of no use any more."""
        on = {spare.id: spare for spare in spares if spare.state in ("pending", "running")}
        for gone in self._known.keys() - on.keys():
            self._questions.ready(gone, False)
        self._known = {i: known for i, known in self._known.items() if i in on}
        self._host_keys = {i: key for i, key in self._host_keys.items() if i in all_ids}
        for spare in on.values():
            new = _Known(self._now(), booting=spare.state == "pending")
            self._known.setdefault(spare.id, new)
        useless = [spare for spare in on.values() if self._is_useless(spare.id)]
        self.dead_boots += sum(not self._known[spare.id].ready for spare in useless)
        for spare in on.values():
            if spare not in useless and self._is_due(spare):
                self._ask(spare, self._known[spare.id])
        return useless

    def asking(self) -> list["asyncio.Task[None]"]:
        """Questions that are under way."""
        return list(self._tasks.values())

    def _is_due(self, spare: Instance) -> bool:
        if spare.state != "running" or not spare.private_ip or spare.id in self._tasks:
            return False
        known = self._known[spare.id]
        if known.asked is None or not known.ready:
            return True
        return self._passed(known.asked) >= _ASK_AGAIN_SECONDS

    def _is_useless(self, instance_id: str) -> bool:
        known = self._known[instance_id]
        if known.ready:
            return known.silences >= self._patience() and not self._questions.deaf()
        # Where many come at once, one that waits for its question has had no chance yet.
        began = known.first_asked or known.since
        asking = instance_id in self._tasks
        return not asking and self._passed(began) > self._questions.boot_seconds

    def _patience(self) -> float:
        """Silences until it is the machine's fault; several that are all silent have none."""
        ready = [known for known in self._known.values() if known.ready]
        if not all(known.silences for known in ready):
            return _SILENCES
        return _SILENCES_OF_ONE if len(ready) == 1 else math.inf

    def _passed(self, moment: datetime) -> float:
        return (self._now() - moment).total_seconds()

    def _ask(self, spare: Instance, known: _Known) -> None:
        task = asyncio.ensure_future(self._asked(spare, known))
        self._tasks[spare.id] = task
        task.add_done_callback(lambda _: self._tasks.pop(spare.id, None))

    async def _asked(self, spare: Instance, known: _Known) -> None:
        async with self._slots:
            known.asked = self._now()
            known.first_asked = known.first_asked or known.asked
            if known.ready:
                heard = await self._questions.answers(spare)
                known.silences = 0 if heard else known.silences + 1
                self._questions.ready(spare.id, heard)
            else:
                await self._prepared(spare, known)

    async def _prepared(self, spare: Instance, known: _Known) -> None:
        try:
            key = await self._questions.prepare(spare, self._host_keys.get(spare.id))
        except (MachineNotAnswering, LoginRefused) as error:
            log.debug("Spare %s: %s", spare.id, error)
        except CloudJHubError as error:
            log.warning("Spare %s cannot be prepared: %s", spare.id, error)
        else:
            self._host_keys[spare.id] = key
            if known.booting:
                self._boots.append(self._passed(known.since))
            known.ready, self.dead_boots = True, 0
            self._questions.ready(spare.id, True)
            log.info("Spare %s is ready", spare.id)
