"""The notebook server on a machine that lets us in: woken up or started, until it answers."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from cloudjhub import metrics, notebook
from cloudjhub.cluster import Cluster
from cloudjhub.ec2_values import Instance
from cloudjhub.errors import NotebookError
from cloudjhub.naming import Owner
from cloudjhub.notebook import NotebookPlan
from cloudjhub.probe import Answer, notebook_answers
from cloudjhub.progress import StartReport
from cloudjhub.remote import Session

log = logging.getLogger(__name__)

Result = TypeVar("Result")

_PROBE_SECONDS = 0.1
_LOOK_INTO_SECONDS = 5.0  # how often a notebook that does not answer is asked after over SSH
_WAKE_SECONDS = 30.0  # for a server that woke up with its machine; its memory comes from a disk
_LOST = (
    "Your machine woke up without what ran on it. Your files are there; kernels and their "
    "variables are not."
)


@dataclass(frozen=True)
class Sleeper:
    """A server that was hibernated with its machine and may wake up with it."""

    has_token: Callable[[str], bool]  # whether what the machine shows is this server's token
    is_lost: Callable[[], None]  # called before another server is started in its place


@dataclass(frozen=True)
class Expected:
    """Whose server it is, where it answers, and how long it may take to."""

    owner: Owner
    health_path: str
    seconds: float
    sleeper: Sleeper | None


class NotebookStart:
    """One start of one server on one machine."""

    def __init__(self, cluster: Cluster, instance: Instance, session: Session, expected: Expected):
        self._cluster = cluster
        self._instance = instance
        self._session = session
        self._expected = expected

    async def run(self, plan: NotebookPlan, report: StartReport) -> bool:
        """Until it answers; gives whether it is the one that was hibernated. NotebookError."""
        if self._expected.sleeper is not None:
            if await self._woke(plan, self._expected.sleeper):
                return True
            report.note(_LOST)
        state = await self._in_thread(lambda: notebook.start(self._session, plan))
        if state.log_tail:  # what the server has to do without
            log.warning("%s of %s: %s", self._instance.id, self._expected.owner, state.log_tail)
        await self._until_it_answers(plan.port, self._expected.seconds)
        return False

    async def _woke(self, plan: NotebookPlan, sleeper: Sleeper) -> bool:
        """Whether the server that was hibernated serves again, with kernels and variables."""
        try:
            token = await self._in_thread(lambda: notebook.resume(self._session, plan))
            if token is not None and sleeper.has_token(token):
                await self._until_it_answers(plan.port, _WAKE_SECONDS)
                metrics.wakes.labels("resumed").inc()
                return True
            why = "it does not run" if token is None else "its token is not the one it was given"
        except NotebookError as error:
            why = str(error)
        owner = self._expected.owner
        log.warning("%s woke up without the server of %s: %s", self._instance.id, owner, why)
        metrics.wakes.labels("new").inc()
        sleeper.is_lost()
        return False

    async def _until_it_answers(self, port: int, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        look_into = time.monotonic() + _LOOK_INTO_SECONDS
        host = self._instance.private_ip or ""
        while True:
            await self._cluster.questions.turn()
            if await notebook_answers(host, port, self._expected.health_path) is Answer.ALIVE:
                return
            if time.monotonic() > look_into:
                await self._look_into(seconds if time.monotonic() > deadline else None)
                look_into = time.monotonic() + _LOOK_INTO_SECONDS
            await asyncio.sleep(_PROBE_SECONDS)

    async def _look_into(self, late: float | None) -> None:
        """NotebookError if it does not run, or if it had ``late`` seconds, which are over."""
        state = await self._in_thread(lambda: notebook.status(self._session))
        if not state.running:
            raise NotebookError(
                "The notebook server ended while it started.", log_tail=state.log_tail
            )
        if late is not None:
            raise NotebookError(
                f"The notebook server on {self._instance.id} runs but has not answered in "
                f"{late:.0f} s.",
                log_tail=state.log_tail,
            )

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._cluster.ssh_threads, work)
