"""The one view of the cluster's machines that every user's poll reads."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from cloudjhub.deadlines import timeout
from cloudjhub.ec2_values import Instance
from cloudjhub.errors import CloudJHubError, TimedOut

log = logging.getLogger(__name__)

# How long EC2 may take to show everywhere what one of its answers already said.
# https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html names no bound;
# its advice to repeat a request ends at about two minutes.
SETTLE_SECONDS = 120.0

_LONGEST_LISTING_SECONDS = 5.0


@dataclass
class _Told:
    """What an answer of EC2 said, ahead of the listings."""

    instance: Instance
    until: float


class View:
    """What EC2 last said about every machine, how old that is, and what we know ahead of it.

    ``fetch`` lists all machines. It is called every ``busy_seconds`` while someone watches and
    every ``quiet_seconds`` otherwise. A failed fetch changes nothing but the age.
    """

    def __init__(
        self,
        fetch: Callable[[], Awaitable[list[Instance]]],
        *,
        busy_seconds: float,
        quiet_seconds: float,
    ):
        self._fetch = fetch
        self._busy_seconds = busy_seconds
        self._quiet_seconds = quiet_seconds
        self._listed: dict[str, Instance] = {}
        self._listed_before: dict[str, Instance] = {}
        self._listed_at: float | None = None
        self._told: dict[str, _Told] = {}
        self._told_states: dict[str, tuple[float, str]] = {}
        self._told_tags: dict[str, tuple[float, dict[str, str | None]]] = {}
        self._watchers = 0
        self._wake = asyncio.Event()
        self._changed = asyncio.Condition()
        self._next: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._failing_since: float | None = None

    # -- reading

    @property
    def age_seconds(self) -> float:
        """Age of the last good listing; infinite before the first."""
        return float("inf") if self._listed_at is None else time.monotonic() - self._listed_at

    def get(self, instance_id: str) -> Instance | None:
        """The machine as last known; None if EC2 does not list it (any more)."""
        # Two listings in a row must miss a machine: a single one may come from a replica that lags.
        instance = self._listed.get(instance_id) or self._listed_before.get(instance_id)
        told = self._told.get(instance_id)
        if instance is None and told is not None:
            instance = told.instance
        return self._with_what_was_told(instance) if instance else None

    def all(self) -> Iterator[Instance]:
        """Every machine as last known."""
        for instance_id in {**self._listed, **self._listed_before, **self._told}:
            if (instance := self.get(instance_id)) is not None:
                yield instance

    async def refreshed(self) -> None:
        """Return once there is a listing no older than the busy interval.

        Raises what the listing raised, so that nobody takes old for new.
        """
        if self.age_seconds <= self._busy_seconds:
            return
        coming = self._next
        with self.watching():
            await asyncio.shield(coming)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Inside it the view is kept fresh for someone who waits."""
        self._watchers += 1
        self._wake.set()
        try:
            yield
        finally:
            self._watchers -= 1

    async def changed(self) -> None:
        """Return after the next listing, good or failed."""
        async with self._changed:
            await self._changed.wait()

    async def next_listing(self) -> None:
        """Return after the next listing, good or failed, asked for soon since someone waits."""
        with self.watching(), suppress(asyncio.TimeoutError):
            async with timeout(_LONGEST_LISTING_SECONDS):
                await self.changed()

    async def until(
        self,
        instance_id: str,
        holds: Callable[[Instance | None], bool],
        *,
        what: str,
        seconds: float,
    ) -> None:
        """Wait until ``holds`` is true of the machine (None: EC2 lists it no more).

        Raises TimedOut, naming ``what`` was waited for.
        """
        deadline = time.monotonic() + seconds
        while not holds(self.get(instance_id)):
            if time.monotonic() > deadline:
                raise TimedOut(f"Waited {seconds:.0f} s in vain for {what}.")
            await self.next_listing()

    # -- what answers of EC2 said ahead of the listings

    def tell(self, instances: Iterable[Instance]) -> None:
        """Machines that a launch just returned; they count although no listing shows them."""
        until = time.monotonic() + SETTLE_SECONDS
        for instance in instances:
            self._told[instance.id] = _Told(instance, until)

    def tell_states(self, states: Mapping[str, str]) -> None:
        """States that a start, stop or terminate just answered; the next listing replaces them."""
        now = time.monotonic()
        for instance_id, state in states.items():
            self._told_states[instance_id] = (now, state)
            if instance_id in self._told:
                told = self._told[instance_id]
                told.instance = replace(told.instance, state=state)

    def tell_tags(self, instance_id: str, changes: Mapping[str, str | None]) -> None:
        """Tags just written (None: removed); they count although listings may still lag."""
        _, known = self._told_tags.get(instance_id, (0.0, {}))
        self._told_tags[instance_id] = (
            time.monotonic() + SETTLE_SECONDS,
            {**known, **changes},
        )

    def _with_what_was_told(self, instance: Instance) -> Instance:
        if instance.id in self._told_states:
            instance = replace(instance, state=self._told_states[instance.id][1])
        _, changes = self._told_tags.get(instance.id, (0.0, {}))
        return instance.with_tags(changes) if changes else instance

    # -- the loop

    async def run(self) -> None:
        """Keep the view fresh until cancelled; comes back by itself from whatever fails."""
        try:
            while True:
                began = time.monotonic()
                await self._fetch_once()
                await self._pause(began)
        finally:
            self._next.cancel()

    async def _fetch_once(self) -> None:
        coming, self._next = self._next, asyncio.get_running_loop().create_future()
        error: Exception | None = None
        began = time.monotonic()
        try:
            listed = await self._fetch()
        except asyncio.CancelledError:
            coming.cancel()
            raise
        except CloudJHubError as failure:
            error = failure
            self._complain("EC2 listing failed: %s", failure)
        except Exception as failure:
            error = failure
            log.exception("The shared view failed and starts again")
        else:
            self._accept(listed, began)
        if not coming.done():
            coming.set_exception(error) if error else coming.set_result(None)
            if error:
                coming.exception()  # nobody may be waiting for it; that is no fault
        async with self._changed:
            self._changed.notify_all()

    def _accept(self, listed: list[Instance], began: float) -> None:
        if self._failing_since is not None:
            log.warning("EC2 answers again after %.0f s", time.monotonic() - self._failing_since)
            self._failing_since = None
        self._listed_before = self._listed
        self._listed = {instance.id: instance for instance in listed}
        self._listed_at = began
        now = time.monotonic()
        self._told = {
            instance_id: told for instance_id, told in self._told.items() if told.until > now
        }
        self._told_states = {
            instance_id: (at, state)
            for instance_id, (at, state) in self._told_states.items()
            if at > began
        }
        self._told_tags = {
            instance_id: (until, changes)
            for instance_id, (until, changes) in self._told_tags.items()
            if until > now
        }

    def _complain(self, message: str, error: Exception) -> None:
        if self._failing_since is None:
            self._failing_since = time.monotonic()
            log.warning(message + "; the last known state stays in force", error)

    async def _pause(self, began: float) -> None:
        if not self._watchers:
            self._wake.clear()
            with suppress(asyncio.TimeoutError):
                async with timeout(self._quiet_seconds):
                    await self._wake.wait()
        await asyncio.sleep(max(0.0, began + self._busy_seconds - time.monotonic()))
