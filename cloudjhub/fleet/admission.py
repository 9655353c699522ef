"""Who may have a machine up: MAX_MACHINES and the account's quota, first come, first served.

A place is a machine that is pending or running. The view says how many there are, so a restarted
hub knows them too; what this process has begun and no listing shows yet is counted beside it.
"""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

from cloudjhub import metrics
from cloudjhub.ec2_values import Instance
from cloudjhub.errors import CloudJHubError, ClusterFull, EC2Error, QuotaReached
from cloudjhub.line import Line, Place
from cloudjhub.naming import Owner
from cloudjhub.progress import PLACE, StartReport

if TYPE_CHECKING:
    from cloudjhub.fleet.fleet import Fleet

log = logging.getLogger(__name__)

Result = TypeVar("Result")

_TICK_SECONDS = 1.0  # how soon a freed place, or a changed limit, is noticed
_LOOK_SECONDS = 5.0  # how old the view may become while somebody waits
_HELD_SECONDS = 10.0  # how long a listing may take to show that a machine was started
_ASK_AGAIN_SECONDS = 30.0  # how soon an account that was full is asked for one more machine


@dataclass(frozen=True)
class Limit:
    """MAX_MACHINES (0: no limit) and WHEN_FULL, as of now."""

    machines: int = 0
    when_full: Literal["queue", "refuse"] = "queue"


@dataclass(eq=False)
class _Admitted:
    """A login that was admitted and whose machine is not up yet.

    ``for_spare``: since a spare is there, which it takes or which ends for it.
    """

    owner: Owner
    for_spare: bool


@dataclass
class _AccountFull:
    """With that many machines of ours up, EC2 refused one more."""

    machines: int
    ask_again_at: float
    sentence: str


class _SpareTaken(CloudJHubError):
    """Somebody else got the spare for which a login was admitted; it waits again."""


class Admission:
    """Lets logins power machines on as long as there are places, in the order they came."""

    def __init__(self, fleet: "Fleet", limit: Callable[[], Limit]):
        self._fleet = fleet
        self._limit = limit
        self._line = Line("place")
        self._called: dict[int, tuple[Owner, Place, asyncio.Future[_Admitted]]] = {}
        self._under_way: dict[Owner, _Admitted] = {}
        self._held: dict[Owner, float] = {}
        self._account_full: _AccountFull | None = None
        self.for_pool = 0  # machines that the pool is having launched or started just now
        self._review_due = False
        self._task: asyncio.Task[None] | None = None
        metrics.watch("machines_limit", self, Admission._limit_shown)

    async def aclose(self) -> None:
        """Admit nobody any more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    # -- for the pool

    @property
    def waiting(self) -> int:
        """Logins that wait for a place."""
        return len(self._line)

    def room(self) -> int | None:
        """How many machines nobody waits for may still be powered on; None: any number."""
        most = self._most()
        if most is None:
            return None
        return 0 if self._line else max(0, most - self._taken())

    # -- for logins

    async def run(
        self,
        owner: Owner,
        report: StartReport,
        step: Callable[[], Awaitable[Result]],
        *,
        may_take_spare: bool = False,
    ) -> Result:
        """Do ``step``, which launches or starts one machine, as soon as there is a place for it.

        Where the account turns out to be full the step is done again later. Raises ClusterFull or
        QuotaReached if WHEN_FULL says so, and whatever else the step raises.
        """
        with self._line.joined() as place:
            while True:
                admitted = await self._admitted(owner, place, report)
                try:
                    if admitted.for_spare and not may_take_spare:
                        await self.make_way(owner)
                    with metrics.logins_waiting.labels("ec2").track_inprogress():
                        result = await step()
                    self._came_up(owner)
                    return result
                except QuotaReached as error:
                    if not self._waits_for(error):
                        raise
                    log.warning("%s waits: %s", owner, error)
                except asyncio.CancelledError:
                    self._hold(owner)  # EC2 was asked, and its answer may still be a machine
                    raise
                except _SpareTaken:
                    log.info("%s waits again: somebody else took the spare", owner)
                finally:
                    self._leave(admitted)
                self._line.back(place)

    async def make_way(self, owner: Owner) -> None:
        """End a spare, if the owner was admitted for one and does not take it."""
        admitted = self._under_way.get(owner)
        if admitted is None or not admitted.for_spare:
            return
        spare = next(iter(self._free_spares()), None)
        if spare is None:
            raise _SpareTaken("Somebody else was given the machine.")
        log.info("Spare %s makes way for %s", spare.id, owner)
        self._fleet.spares.condemn(spare.id)
        try:
            await self._fleet.terminate(spare.id)
        except EC2Error as error:
            log.warning("Spare %s is removed later: %s", spare.id, error)
            raise _SpareTaken("The spare could not be removed.") from error
        admitted.for_spare = False

    # -- places

    def _limit_shown(self) -> int | None:
        return self._limit().machines or None

    def _most(self) -> int | None:
        """Machines that may be up at the same time as far as is known; None: any number."""
        full = self._account_full
        limits = [self._limit().machines or None, full.machines if full else None]
        return min((limit for limit in limits if limit is not None), default=None)

    def _taken(self) -> int:
        """Places that are taken, or will be by those who were admitted."""
        begun = sum(not admitted.for_spare for admitted in self._under_way.values())
        unseen = sum(self._is_unseen(owner) for owner in list(self._held))
        return len(self._fleet.view.up()) + begun + unseen + self.for_pool

    def _is_unseen(self, owner: Owner) -> bool:
        """Whether a machine that was powered on for the owner is not shown as up (any more).

        A listing may lag behind what another said, or be older than the start. A machine that
        stops was seen to do so.
        """
        states = {machine.state for machine in self._fleet.owned_by(owner)}
        if "stopping" in states or time.monotonic() > self._held[owner]:
            del self._held[owner]
            return False
        return not states & {"pending", "running"}

    def _free_spares(self) -> list[Instance]:
        view, spares = self._fleet.view, self._fleet.spares
        machines = (view.get(instance_id) for instance_id in sorted(view.up()))
        return [machine for machine in machines if machine and spares.is_free(machine)]

    def _places(self) -> float:
        """How many more logins may power on a machine without anything that makes way."""
        most = self._most()
        return math.inf if most is None else most - self._taken()

    def _spares_to_give(self) -> int:
        """How many more logins may be admitted for a spare that is up."""
        promised = sum(admitted.for_spare for admitted in self._under_way.values())
        return len(self._free_spares()) - promised

    def _enter(self, owner: Owner, *, for_spare: bool) -> _Admitted:
        admitted = _Admitted(owner, for_spare)
        self._held.pop(owner, None)
        self._under_way[owner] = admitted
        return admitted

    def _entered(self, owner: Owner, place: Place) -> _Admitted | None:
        """Whoever is next and finds a place, or had one a moment ago, does not wait."""
        if owner in self._held:
            return self._enter(owner, for_spare=False)
        if place.number > 1:
            return None
        if self._places() > 0:
            return self._enter(owner, for_spare=False)
        return self._enter(owner, for_spare=True) if self._spares_to_give() > 0 else None

    def _leave(self, admitted: _Admitted) -> None:
        if self._under_way.get(admitted.owner) is admitted:
            del self._under_way[admitted.owner]
        if self._called and not self._review_due:
            # Once for all whose call ended in the same turn of the loop.
            self._review_due = True
            asyncio.get_running_loop().call_soon(self._review)

    def _came_up(self, owner: Owner) -> None:
        full = self._account_full
        if full is not None and len(self._fleet.view.up()) > full.machines:
            self._account_full = None
        self._hold(owner)

    def _hold(self, owner: Owner) -> None:
        if self._most() is not None:
            self._held[owner] = time.monotonic() + _HELD_SECONDS

    def _waits_for(self, error: QuotaReached) -> bool:
        """Whether the login waits until the account has room for one more machine again."""
        metrics.limit_refusals.labels("account").inc()
        if not error.is_of_machines or self._limit().when_full == "refuse":
            return False
        up = len(self._fleet.view.up())
        self._account_full = _AccountFull(up, time.monotonic() + _ASK_AGAIN_SECONDS, error.message)
        return True

    # -- the line

    async def _admitted(self, owner: Owner, place: Place, report: StartReport) -> _Admitted:
        admitted = self._entered(owner, place)
        if admitted is not None:
            self._line.serve(place)
            return admitted
        if self._limit().when_full == "refuse":
            raise self._refusal()
        future: asyncio.Future[_Admitted] = asyncio.get_running_loop().create_future()
        self._called[place.serial] = (owner, place, future)
        self._watch()
        with report.phase(PLACE, place):
            try:
                return await future
            except asyncio.CancelledError:
                if future.done() and not future.cancelled() and not future.exception():
                    self._leave(future.result())
                raise
            finally:
                self._called.pop(place.serial, None)

    def _refusal(self) -> ClusterFull:
        metrics.limit_refusals.labels("cluster").inc()
        return ClusterFull(f"All {self._limit().machines} machines of this cluster are in use.")

    def _review(self) -> None:
        """Admit as many of those who wait, the first ones, as there are places."""
        self._review_due = False
        waiting = [self._called[serial] for serial in sorted(self._called)]
        if waiting and self._limit().when_full == "refuse":
            for _, _, future in waiting:
                if not future.done():
                    future.set_exception(self._refusal())
            return
        places, spares = self._places(), self._spares_to_give()
        for owner, place, future in waiting:
            if places <= 0 and spares <= 0:
                return
            if not future.done():
                future.set_result(self._enter(owner, for_spare=places <= 0))
                self._line.serve(place)
                places, spares = (places - 1, spares) if places > 0 else (places, spares - 1)

    def _watch(self) -> None:
        self._line.why = self._why()
        if self._task is None or self._task.done():
            log.warning("Logins wait: %s", self._line.why)
            self._task = asyncio.create_task(self._watch_over(), name="cloudjhub-admission")

    def _why(self) -> str:
        most, full = self._limit().machines, self._account_full
        if full is not None and (not most or full.machines < most):
            return full.sentence[0].lower() + full.sentence.rstrip(".")[1:]
        return f"all {most} machines of this cluster are in use"

    async def _watch_over(self) -> None:
        """As long as somebody waits: see what became free, in EC2 or in server_config.json."""
        while self._called:
            await asyncio.sleep(_TICK_SECONDS)
            try:
                self._ask_the_account_again()
                self._line.why = self._why()
                self._review()
                if self._fleet.view.age_seconds > _LOOK_SECONDS:
                    await self._fleet.view.next_listing()
            except Exception:
                log.exception("The queue for machines failed and goes on")

    def _ask_the_account_again(self) -> None:
        """Let one try, though EC2 refused the last: others than us may have made room."""
        full = self._account_full
        if full is not None and time.monotonic() > full.ask_again_at and not self._under_way:
            full.machines = len(self._fleet.view.up()) + 1
            full.ask_again_at = time.monotonic() + _ASK_AGAIN_SECONDS
