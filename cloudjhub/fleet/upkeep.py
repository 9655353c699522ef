"""What the fleet tidies by itself: stops that failed, spares nobody took, their blank volumes."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cloudjhub.ec2_values import Volume
from cloudjhub.errors import EC2Error
from cloudjhub.fleet.fleet import Fleet
from cloudjhub.naming import has_owner

log = logging.getLogger(__name__)

_ROUND_SECONDS = 10.0


class Upkeep:
    """Runs beside the view; acts only on what a good listing shows."""

    def __init__(self, fleet: Fleet, spare_seconds: Callable[[], int]):
        self._fleet = fleet
        self._spare_seconds = spare_seconds
        self._to_stop: set[str] = set()
        self._ended: set[str] = set()
        # A hub that died may have left blank volumes behind, so the first round looks once.
        self._volumes_may_be_left = True
        self._task = asyncio.create_task(self._run(), name="cloudjhub-upkeep")

    async def aclose(self) -> None:
        """End after the call under way."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def stop_later(self, instance_id: str) -> None:
        """Have a machine stopped as soon as EC2 lets us, unless it is wanted again before."""
        self._to_stop.add(instance_id)

    def wanted(self, instance_id: str) -> None:
        """Its owner is starting it: it is not to be stopped any more."""
        self._to_stop.discard(instance_id)

    async def _run(self) -> None:
        while True:
            started = time.monotonic()
            await self._fleet.view.changed()
            try:
                if self._fleet.view.age_seconds < _ROUND_SECONDS:
                    with self._left_to_the_next_round():
                        await self.round()
            except Exception:
                log.exception("Upkeep failed and goes on in the next round")
            await asyncio.sleep(max(0.0, _ROUND_SECONDS - (time.monotonic() - started)))

    async def round(self) -> None:
        """One pass over everything; what fails is left to the next pass."""
        view, spares = self._fleet.view, self._fleet.spares
        spares.forget_missing({machine.id for machine in view.all()})
        expired = spares.expired(view.all(), self._spare_seconds())
        await asyncio.gather(
            *(self._stop(instance_id) for instance_id in list(self._to_stop)),
            *(self._remove(spare.id) for spare in expired),
        )
        if self._volumes_may_be_left or self._somebody_ended_ownerless():
            self._volumes_may_be_left = True
            await self._delete_blank_volumes()

    async def _stop(self, instance_id: str) -> None:
        machine = self._fleet.view.get(instance_id)
        if self._fleet.is_being_started(instance_id):
            return
        if machine is None or machine.state not in ("pending", "running"):
            self._to_stop.discard(instance_id)
        elif machine.state == "running":
            with self._left_to_the_next_round():
                await self._fleet.stop(instance_id)
                # Not once more: it may have been started again before the next round.
                self._to_stop.discard(instance_id)
                log.info("Stopped %s, which could not be stopped before", instance_id)

    async def _remove(self, instance_id: str) -> None:
        log.info("Removing spare %s: nobody took it, or it never answered", instance_id)
        try:
            await self._fleet.terminate(instance_id)
        except EC2Error as error:
            self._fleet.spares.keep(instance_id)
            log.warning("Spare %s is removed in a later round: %s", instance_id, error)

    @contextmanager
    def _left_to_the_next_round(self) -> Iterator[None]:
        try:
            yield
        except EC2Error as error:
            log.warning("Upkeep goes on in the next round: %s", error)

    def _somebody_ended_ownerless(self) -> bool:
        """Whether a machine without owner ended since the last round: its home may be left."""
        ended = {
            machine.id
            for machine in self._fleet.view.all()
            if machine.state in ("shutting-down", "terminated") and not has_owner(machine.tags)
        }
        news = bool(ended - self._ended)
        self._ended = ended
        return news

    async def _delete_blank_volumes(self) -> None:
        """Delete home volumes that never had an owner and whose machine is gone.

        Owner tags are written before a notebook can start, so a home without them is blank. What
        was made from a snapshot, as every root disk is, is no blank home.
        """
        ownerless = [
            volume
            for volume in await self._fleet.volumes()
            if not has_owner(volume.tags) and not volume.snapshot_id
        ]
        for volume in ownerless:
            if volume.state == "available" and self._is_old(volume):
                log.info("Deleting %s: it never had an owner and its machine is gone", volume.id)
                with self._left_to_the_next_round():
                    await self._fleet.delete_volume(volume)
        machines = {m.id: m.state for m in self._fleet.view.all()}
        self._volumes_may_be_left = any(
            machines.get(volume.attached_to or "") in (None, "shutting-down", "terminated")
            for volume in ownerless
        )

    def _is_old(self, volume: Volume) -> bool:
        if volume.created_at is None:
            return False
        return time.time() - volume.created_at.timestamp() > self._spare_seconds()
