"""Who may have a machine up: MAX_MACHINES and the account's quota, first come, first served.

A place is a machine that is pending or running. The view says how many there are, so a restarted
hub knows them too. What the account has room for only EC2 knows: whom it refuses waits until a
machine stops, or for a while, and is tried again.
"""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

from cloudjhub import metrics
from cloudjhub.account.quotas import quota_code
from cloudjhub.errors import CloudJHubError, ClusterFull, EC2Error, QuotaReached
from cloudjhub.fleet.places import Begun, Places
from cloudjhub.line import Line, Place
from cloudjhub.naming import Owner
from cloudjhub.progress import PLACE, StartReport

if TYPE_CHECKING:
    from cloudjhub.fleet.fleet import Fleet

log = logging.getLogger(__name__)

Result = TypeVar("Result")

_TICK_SECONDS = 1.0  # how soon a freed place, or a changed limit, is noticed
_LOOK_SECONDS = 5.0  # how old the view may become while somebody waits
_ASK_AGAIN_SECONDS = 30.0  # how soon an account that was full is asked again, as others use it too


@dataclass(frozen=True)
class Limit:
    """MAX_MACHINES (0: no limit) and WHEN_FULL, as of now."""

    machines: int = 0
    when_full: Literal["queue", "refuse"] = "queue"


@dataclass(frozen=True)
class _Refused:
    """EC2 had no room for one more beside ``machines`` of ours that count for the same quota."""

    code: str
    machines: int
    ask_again_at: float
    error: QuotaReached


@dataclass(eq=False)
class _Waiting:
    """Who waits; ``refused`` if it is for the account and not for MAX_MACHINES."""

    owner: Owner
    place: Place
    admitted: "asyncio.Future[Begun]"
    refused: _Refused | None


class _SpareTaken(CloudJHubError):
    """Somebody else got the spare for which a login was admitted; it waits again."""


class Admission:
    """Lets logins power machines on as long as there are places, in the order they came."""

    def __init__(self, fleet: "Fleet", limit: Callable[[], Limit]):
        self._fleet = fleet
        self._limit = limit
        self._line = Line("place")
        self._places = Places(fleet)
        self._waiting: dict[int, _Waiting] = {}
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
        if self._line:
            return 0
        free = self._free()
        return None if free == math.inf else max(0, int(free))

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
        refused = None
        with self._line.joined() as place:
            while True:
                begun = await self._admitted(owner, place, report, refused)
                try:
                    if begun.for_spare and not may_take_spare:
                        await self.make_way(owner)
                    with metrics.logins_waiting.labels("ec2").track_inprogress():
                        result = await step()
                    self._hold(owner)
                    return result
                except QuotaReached as error:
                    self._places.end(begun)
                    refused = self._refused(owner, error)
                    if refused is None:
                        raise
                    log.warning("%s waits: %s", owner, error)
                except asyncio.CancelledError:
                    self._hold(owner)  # EC2 was asked, and its answer may still be a machine
                    raise
                except _SpareTaken:
                    log.info("%s waits again: somebody else took the spare", owner)
                finally:
                    self._places.end(begun)
                    self._review_soon()
                self._line.back(place)

    async def make_way(self, owner: Owner) -> None:
        """End a spare, if the owner was admitted for one and does not take it."""
        begun = self._places.begun(owner)
        if begun is None or not begun.for_spare:
            return
        spare = next(iter(self._places.free_spares()), None)
        if spare is None:
            raise _SpareTaken("Somebody else was given the machine.")
        log.info("Spare %s makes way for %s", spare.id, owner)
        self._fleet.spares.condemn(spare.id)
        try:
            await self._fleet.terminate(spare.id)
        except EC2Error as error:
            log.warning("Spare %s is removed later: %s", spare.id, error)
            raise _SpareTaken("The spare could not be removed.") from error
        begun.for_spare = False

    # -- who may

    def _limit_shown(self) -> int | None:
        return self._limit().machines or None

    def _free(self) -> float:
        """How many more may be powered on without anything that makes way."""
        most = self._limit().machines
        return most - self._places.taken() - self.for_pool if most else math.inf

    def _hold(self, owner: Owner) -> None:
        if self._limit().machines:
            self._places.hold(owner)

    def _entered(self, owner: Owner) -> Begun | None:
        """Whoever finds a place and nobody in front, or had one a moment ago, does not wait."""
        if self._places.is_held(owner):
            return self._places.begin(owner)
        if any(waiting.refused is None for waiting in self._waiting.values()):
            return None
        if self._free() > 0:
            return self._places.begin(owner)
        if self._places.spares_to_give() > 0:
            return self._places.begin(owner, for_spare=True)
        return None

    def _refused(self, owner: Owner, error: QuotaReached) -> _Refused | None:
        """What the login waits for, which EC2 refused; None if it is to be told so at once."""
        metrics.limit_refusals.labels("account").inc()
        own = (machine.instance_type for machine in self._fleet.owned_by(owner))
        code = quota_code(error.instance_type or next(own, ""))
        ours = self._places.up_of(code)
        # Where none of ours counts for that quota, none of ours can make room.
        if not error.is_of_machines or not ours or self._limit().when_full == "refuse":
            return None
        return _Refused(code, ours, time.monotonic() + _ASK_AGAIN_SECONDS, error)

    def _may_ask_again(self, refused: _Refused) -> bool:
        """Whether a machine of ours has stopped since, or enough time has passed."""
        if time.monotonic() > refused.ask_again_at:
            return True
        return self._places.up_of(refused.code) + self._places.under_way() < refused.machines

    # -- the line

    async def _admitted(
        self, owner: Owner, place: Place, report: StartReport, refused: _Refused | None
    ) -> Begun:
        begun = self._entered(owner) if refused is None else None
        if begun is not None:
            self._line.serve(place)
            return begun
        if refused is None and self._limit().when_full == "refuse":
            raise self._refusal()
        future: asyncio.Future[Begun] = asyncio.get_running_loop().create_future()
        place.why = _in_a_sentence(refused.error.message) if refused else ""
        self._waiting[place.serial] = _Waiting(owner, place, future, refused)
        self._watch(place)
        with report.phase(PLACE, place):
            try:
                return await future
            except asyncio.CancelledError:
                if future.done() and not future.cancelled() and not future.exception():
                    self._places.end(future.result())
                    self._review_soon()
                raise
            finally:
                self._waiting.pop(place.serial, None)

    def _refusal(self) -> ClusterFull:
        metrics.limit_refusals.labels("cluster").inc()
        return ClusterFull(f"T{self._why()[1:]}.")

    def _review_soon(self) -> None:
        if self._waiting and not self._review_due:
            # Once for all whose call ended in the same turn of the loop.
            self._review_due = True
            asyncio.get_running_loop().call_soon(self._review)

    def _review(self) -> None:
        """Admit as many of those who wait, the first ones, as there are places."""
        self._review_due = False
        waiting = [self._waiting[serial] for serial in sorted(self._waiting)]
        waiting = [each for each in waiting if not each.admitted.done()]
        if waiting and self._limit().when_full == "refuse":
            for each in waiting:
                told = each.refused.error if each.refused else self._refusal()
                each.admitted.set_exception(told)
            return
        free, spares = self._free(), self._places.spares_to_give()
        for each in waiting:
            if free <= 0 and spares <= 0:
                return
            for_spare = spares > 0 and (free <= 0 or each.refused is not None)
            if each.refused and not for_spare and not self._may_ask_again(each.refused):
                continue
            each.admitted.set_result(self._places.begin(each.owner, for_spare=for_spare))
            self._line.serve(each.place)
            free, spares = (free, spares - 1) if for_spare else (free - 1, spares)

    def _watch(self, place: Place) -> None:
        self._line.why = self._why()
        if self._task is None or self._task.done():
            log.warning("Logins wait: %s", place.why or self._line.why)
            self._task = asyncio.create_task(self._watch_over(), name="cloudjhub-admission")

    def _why(self) -> str:
        return f"this cluster runs as many machines as it may ({self._limit().machines})"

    async def _watch_over(self) -> None:
        """As long as somebody waits: see what became free, in EC2 or in server_config.json."""
        while self._waiting:
            await asyncio.sleep(_TICK_SECONDS)
            try:
                self._line.why = self._why()
                self._review()
                if self._fleet.view.age_seconds > _LOOK_SECONDS:
                    await self._fleet.view.next_listing()
            except Exception:
                log.exception("The queue for machines failed and goes on")


def _in_a_sentence(message: str) -> str:
    return message[:1].lower() + message[1:].rstrip(".")
