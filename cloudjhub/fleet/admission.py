"""Who may have a machine up: MAX_MACHINES and the account's quota, first come, first served.

A place is a machine that is pending or running. The view says how many there are, so a restarted
hub knows them too. What the account has room for only EC2 knows: whom it refuses waits until a
machine stops, or for a while, and is tried again.
"""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

from cloudjhub import metrics
from cloudjhub.account.quotas import quota_code
from cloudjhub.errors import CloudJHubError, ClusterFull, EC2Error, QuotaReached
from cloudjhub.fleet.batch import own_copy
from cloudjhub.fleet.places import Begun, Places
from cloudjhub.fleet.waiting import Behind, Login, Refused, Room, in_front
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


class _SpareTaken(CloudJHubError):
    """Somebody else got the spare for which a login was admitted; it waits again."""


class Admission:
    """Lets logins power machines on as long as there are places, in the order they came."""

    def __init__(self, fleet: "Fleet", limit: Callable[[], Limit]):
        self._fleet = fleet
        self._limit = limit
        self._line = Line("place")
        self._places = Places(fleet)
        self._waiting: dict[int, Login] = {}
        self._held_up: dict[int, Login] = {}  # by the account, until they have their machines
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

    def room(self, types: Sequence[str] = ()) -> int | None:
        """How many machines nobody waits for may still be powered on; None: any number.

        ``types`` says of what kinds; without it they are as those that somebody waits for.
        """
        codes = {quota_code(each) for each in types}
        waiting = [each for each in self._waiting.values() if each.waits]
        for each in waiting:
            if each.refused is None or not codes or each.refused.code in codes:
                return 0
        # Who waits for another quota needs a place as well, once there is room in the account.
        free = self._free() - len(waiting)
        return None if free == math.inf else max(0, int(free))

    @contextmanager
    def pool(self, count: int) -> Iterator[None]:
        """Inside it the pool has so many machines launched or started."""
        self.for_pool += count
        try:
            yield
        finally:
            self.for_pool -= count
            self._review_soon()

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
            login = Login(owner, report, place, self._own_code(owner))
            try:
                while True:
                    begun = await self._admitted(login)
                    try:
                        if begun.for_spare and not may_take_spare:
                            await self.make_way(owner)
                        with metrics.logins_waiting.labels("ec2").track_inprogress():
                            result = await step()
                        self._hold(owner)
                        return result
                    except QuotaReached as error:
                        self._note_refusal(login, begun, error)
                    except asyncio.CancelledError:
                        self._hold(owner)  # EC2 was asked; its answer may still be a machine
                        raise
                    except _SpareTaken:
                        log.info("%s waits again: somebody else took the spare", owner)
                    finally:
                        self._places.end(begun)
                        self._review_soon()
                    self._line.back(place)
            finally:
                self._held_up.pop(place.serial, None)

    async def before_launch(self, owner: Owner, instance_type: str) -> None:
        """Have a spare make way if it has to.

        Raises QuotaReached where somebody in front waits for the quota of that type.
        """
        begun = self._places.begun(owner)
        if begun is not None:
            begun.code = quota_code(instance_type)
            refused = in_front(self._held_up, begun.serial, begun.code)
            if refused is not None:
                raise Behind(refused)
        await self.make_way(owner)

    async def make_way(self, owner: Owner) -> None:
        """End a spare, if the owner was admitted for one and does not take it."""
        begun = self._places.begun(owner)
        if begun is None or not begun.for_spare or begun.ended is not None:
            return
        useful = self._places.free_spares(begun.code if begun.of_quota else None)
        if not useful:
            raise _SpareTaken("Somebody else was given the machine.")
        begun.ended = useful[0].id
        log.info("Spare %s makes way for %s", begun.ended, owner)
        self._fleet.spares.condemn(begun.ended)
        try:
            await self._fleet.terminate(begun.ended)
        except EC2Error as error:
            log.warning("Spare %s is removed later: %s", begun.ended, error)
            raise _SpareTaken("The spare could not be removed.") from error

    # -- who may

    def _limit_shown(self) -> int | None:
        return self._limit().machines or None

    def _own_code(self, owner: Owner) -> str:
        """The quota that the owner's machine counts for; "" if there is none yet."""
        return quota_code(next((m.instance_type for m in self._fleet.owned_by(owner)), ""))

    def _free(self) -> float:
        """How many more may be powered on without anything that makes way."""
        most = self._limit().machines
        return most - self._places.taken() - self.for_pool if most else math.inf

    def _hold(self, owner: Owner) -> None:
        if self._limit().machines:
            self._places.hold(owner)

    def _room(self) -> Room:
        return Room(self._places, self._free())

    def _entered(self, login: Login) -> Begun | None:
        """Whoever finds a place and nobody in front, or had one a moment ago, does not wait."""
        if self._places.is_held(login.owner):
            return self._places.begin(login.begun())
        if any(other.waits and other.refused is None for other in self._waiting.values()):
            return None
        if self._free() > 0:
            return self._places.begin(login.begun())
        if self._room().spares() > 0:
            return self._places.begin(login.begun(for_spare=True))
        return None

    def _note_refusal(self, login: Login, begun: Begun, error: QuotaReached) -> None:
        """Have the login wait for what EC2 refused, or raise the error if it is not to wait."""
        self._places.end(begun)
        if isinstance(error, Behind):
            login.code, login.refused = error.refused.code, error.refused
            return
        metrics.limit_refusals.labels("account").inc()
        code = quota_code(error.instance_type) or self._own_code(login.owner)
        ours = self._places.on()[code]
        # Where none of ours counts for that quota, none of ours can make room.
        if not error.is_of_machines or not ours or self._limit().when_full == "refuse":
            raise error
        ended = begun.ended or (login.refused.ended if login.refused else None)
        again = time.monotonic() + _ASK_AGAIN_SECONDS
        login.code, login.refused = code, Refused(code, ours, again, error, ended)
        log.warning("%s waits: %s", login.owner, error)

    # -- the line

    async def _admitted(self, login: Login) -> Begun:
        refuse = self._limit().when_full == "refuse"
        if login.refused is None and not refuse:
            login.refused = in_front(self._held_up, login.place.serial, login.code)
        if login.refused is None:
            if (begun := self._entered(login)) is not None:
                self._line.serve(login.place)
                return begun
            if refuse and self._is_surely_full(self._room()):
                raise self._refusal()
        else:
            self._held_up[login.place.serial] = login
        return await self._waited(login)

    async def _waited(self, login: Login) -> Begun:
        place, refused = login.place, login.refused
        future: asyncio.Future[Begun] = asyncio.get_running_loop().create_future()
        place.why = _in_a_sentence(refused.error.message) if refused else ""
        login.admitted = future
        self._waiting[place.serial] = login
        self._watch(place)
        with login.report.phase(PLACE, place):
            try:
                return await future
            except asyncio.CancelledError:
                if future.done() and not future.cancelled() and not future.exception():
                    self._places.end(future.result())
                    self._review_soon()
                raise
            finally:
                self._waiting.pop(place.serial, None)

    def _is_surely_full(self, room: Room) -> bool:
        """Whether no machine that comes just now can turn out to be a place."""
        most = self._limit().machines
        return 0 < most <= self._places.surely_taken() and room.spares() <= 0

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
        waiting = [each for each in waiting if each.waits]
        if not waiting:
            return
        room = self._room()
        refuse = self._limit().when_full == "refuse"
        full = False  # and then it stays so
        for each in waiting:
            future = each.admitted
            assert future is not None
            if refuse and each.refused:
                future.set_exception(own_copy(each.refused.error))
            elif begun := room.for_login(each):
                future.set_result(begun)
                self._line.serve(each.place)
            elif refuse and (full := full or self._is_surely_full(room)):
                future.set_exception(self._refusal())

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
