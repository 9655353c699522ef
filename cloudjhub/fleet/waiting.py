"""Who waits for a place and what each of them may have at one moment."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, replace

from cloudjhub.account.quotas import quota_code
from cloudjhub.errors import QuotaReached
from cloudjhub.fleet.places import Begun, Places
from cloudjhub.line import Place
from cloudjhub.naming import Owner
from cloudjhub.progress import StartReport


@dataclass(frozen=True)
class Refused:
    """EC2 had no room for one more beside ``machines`` of ours that count for the same quota.

    ``ended``: the spare that made way for it, in vain so far.
    """

    code: str
    machines: int
    ask_again_at: float
    error: QuotaReached
    ended: str | None = None


@dataclass(eq=False)
class Login:
    """Who wants a place; ``refused`` if it waits for the account and not for MAX_MACHINES."""

    owner: Owner
    report: StartReport
    place: Place
    code: str
    refused: Refused | None = None
    admitted: "asyncio.Future[Begun] | None" = None

    @property
    def waits(self) -> bool:
        """Whether nobody let it in yet."""
        return self.admitted is not None and not self.admitted.done()

    def begun(self, *, for_spare: bool = False, of_quota: bool = False) -> Begun:
        """Its turn."""
        return Begun(self.owner, self.place.serial, self.code, for_spare, of_quota)


class Behind(QuotaReached):
    """EC2 is not even asked: somebody who came before waits for the same quota."""

    def __init__(self, refused: Refused):
        error = refused.error
        super().__init__(error.message, action=error.action, code=error.code)
        self.refused = refused


def in_front(held_up: dict[int, Login], serial: int, code: str) -> Refused | None:
    """Why somebody waits who came before that one, for the same quota; None if nobody does."""
    if not code or serial in held_up:
        return None
    for other in reversed(held_up.values()):
        if other.place.serial < serial and other.code == code and other.refused is not None:
            return replace(other.refused, ended=None)
    return None


class Room:
    """What there is to give at one moment, counted once for all who wait."""

    def __init__(self, places: Places, free: float):
        self.free = free
        self._places = places
        self._on = places.on()
        self._held_up: set[str] = set()  # quotas that somebody in front waits for
        self._spares = Counter(quota_code(spare.instance_type) for spare in places.free_spares())
        self._promised = places.promised()

    def spares(self, code: str | None = None) -> int:
        """How many more logins may have a spare; of one quota if it is named."""
        if code == "":
            return 0
        return (self._spares.total() if code is None else self._spares[code]) - self._promised

    def for_login(self, login: Login) -> Begun | None:
        """What the login may have; None: it waits. To be asked in the order in which they came."""
        if login.refused is not None:
            return self._for_refused(login, login.refused)
        if self.free <= 0 and self.spares() <= 0:
            return None
        return self._given(login.begun(for_spare=self.free <= 0))

    def _for_refused(self, login: Login, refused: Refused) -> Begun | None:
        code = refused.code
        if code not in self._held_up and self.free > 0 and self._may_ask_again(refused):
            return self._given(login.begun())
        # One after another, as EC2 may count a spare until it has ended.
        if self.spares(code) > 0 and not self._goes(refused.ended):
            return self._given(login.begun(for_spare=True, of_quota=True))
        self._held_up.add(code)
        return None

    def _may_ask_again(self, refused: Refused) -> bool:
        """Whether a machine of ours has gone off since, or enough time has passed."""
        if time.monotonic() > refused.ask_again_at:
            return True
        return self._on[refused.code] + self._places.under_way(refused.code) < refused.machines

    def _goes(self, instance_id: str | None) -> bool:
        """Whether the spare that was ended has not ended yet, so that EC2 may still count it."""
        return instance_id is not None and self._places.is_on(instance_id)

    def _given(self, begun: Begun) -> Begun:
        if begun.for_spare:
            self._promised += 1
        else:
            self.free -= 1
        return self._places.begin(begun)
