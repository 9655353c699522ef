"""The one view of the cluster's machines that every user's poll reads."""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from cloudjhub.deadlines import timeout
from cloudjhub.ec2_values import Instance
from cloudjhub.errors import CloudJHubError, TimedOut
from cloudjhub.fleet.machine_index import MachineIndex
from cloudjhub.naming import Owner

log = logging.getLogger(__name__)

# How long EC2 may take to show everywhere what one of its answers already said.
# https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html names no bound;
# its advice to repeat a request ends at about two minutes.
SETTLE_SECONDS = 120.0

_LONGEST_LISTING_SECONDS = 5.0

# Listings take at most this share of the time: of a thousand machines one takes the hub a
# noticeable part of a second, and EC2 longer.
_SHARE_OF_TIME = 0.25


@dataclass
class _Told:
    """What an answer of EC2 said, ahead of the listings."""

    instance: Instance
    until: float


class View:
    """What EC2 last said about every machine, how old that is, and what we know ahead of it.

    ``fetch`` lists all machines. It is called every ``busy_seconds`` while someone watches and
    every ``quiet_seconds`` otherwise; less often where a listing itself takes long. A failed
    fetch changes nothing but the age.
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
        self._machines = MachineIndex()
        self._listed: dict[str, Instance] = {}
        self._listed_before: dict[str, Instance] = {}
        self._listed_at: float | None = None
        self._listing_took = 0.0
        self._told: dict[str, _Told] = {}
        self._told_states: dict[str, tuple[float, str]] = {}
        self._told_tags: dict[str, tuple[float, dict[str, str | None]]] = {}
        self._watchers = 0
        self._wake = asyncio.Event()
        self._changed = asyncio.Condition()
        self._next: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._under_way: tuple[float, asyncio.Future[None]] | None = None
        self._failing_since: float | None = None

    # -- reading

    @property
    def age_seconds(self) -> float:
        """Age of the last good listing; infinite before the first."""
        return float("inf") if self._listed_at is None else time.monotonic() - self._listed_at

    def get(self, instance_id: str) -> Instance | None:
        """The machine as last known; None if EC2 does not list it (any more)."""
        return self._machines.get(instance_id)

    def all(self) -> Iterator[Instance]:
        """Every machine as last known. For rounds; a login has no need to walk over all."""
        return iter(self._machines)

    def owned_by(self, owner: Owner) -> list[Instance]:
        """Machines whose tags name the owner, in whatever state."""
        return self._machines.owned_by(owner)

    def set_aside_from(self, owner: Owner) -> list[Instance]:
        """Machines that were the owner's until they were set aside, in whatever state."""
        return self._machines.set_aside_from(owner)

    def up(self) -> set[str]:
        """Ids of machines that run or are about to."""
        return self._machines.in_state("pending") | self._machines.in_state("running")

    def counts(self) -> dict[str, int]:
        """How many machines are in each state that any was in so far."""
        return self._machines.counts()

    def ownerless(self, shape: str) -> set[str]:
        """Ids of machines of the shape that nobody ever had, as far as tags say."""
        return self._machines.ownerless(shape)

    async def refreshed(self) -> None:
        """Return once there is a listing no older than the interval of busy times.

        Raises what the listing raised, so that nobody takes old for new.
        """
        if self.age_seconds <= self._interval():
            return
        with self.watching():
            began, coming = self._under_way or (-math.inf, self._next)
            # A listing shows what was when it began, so one that began a moment ago will do; the
            # one after it may be a long way off.
            if time.monotonic() - began <= self._interval():
                with suppress(CloudJHubError):
                    return await asyncio.shield(coming)
            await asyncio.shield(self._next)

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
            self._settle(instance.id)

    def tell_states(self, states: Mapping[str, str]) -> None:
        """States that a start, stop or terminate just answered; the next listing replaces them."""
        now = time.monotonic()
        for instance_id, state in states.items():
            self._told_states[instance_id] = (now, state)
            if instance_id in self._told:
                told = self._told[instance_id]
                told.instance = replace(told.instance, state=state)
            self._settle(instance_id)

    def tell_tags(self, instance_id: str, changes: Mapping[str, str | None]) -> None:
        """Tags just written (None: removed); they count although listings may still lag."""
        _, known = self._told_tags.get(instance_id, (0.0, {}))
        self._told_tags[instance_id] = (
            time.monotonic() + SETTLE_SECONDS,
            {**known, **changes},
        )
        self._settle(instance_id)

    def _settle(self, instance_id: str) -> None:
        """Have the machine in the index as everything that is known now says."""
        # Two listings in a row must miss a machine: a single one may come from a replica that lags.
        instance = self._listed.get(instance_id) or self._listed_before.get(instance_id)
        if instance is None and instance_id in self._told:
            instance = self._told[instance_id].instance
        if instance is None:
            self._machines.remove(instance_id)
        else:
            self._machines.put(self._with_what_was_told(instance))

    def _with_what_was_told(self, instance: Instance) -> Instance:
        _, state = self._told_states.get(instance.id, (0.0, instance.state))
        if state != instance.state:
            instance = replace(instance, state=state)
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
        self._under_way = (began, coming)
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
            self._listing_took = time.monotonic() - began
            self._accept(listed, began)
        self._under_way = None
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
        # What has not changed stays the same object, and costs nothing more below.
        self._listed = {new.id: _same_or_new(self._listed.get(new.id), new) for new in listed}
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
        for instance_id in {*self._machines.ids(), *self._listed}:
            self._settle(instance_id)

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
        await asyncio.sleep(max(0.0, began + self._interval() - time.monotonic()))

    def _interval(self) -> float:
        """Seconds from one listing's beginning to the next one's while somebody waits."""
        paced = min(self._listing_took / _SHARE_OF_TIME, self._quiet_seconds)
        return max(self._busy_seconds, paced)


def _same_or_new(before: Instance | None, new: Instance) -> Instance:
    return before if before == new and before is not None else new
