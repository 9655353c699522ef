"""The life of instances: their stages, and the machine that follows them.

::

    pending -> running -> stopping -> stopped -> pending ...
    any of these -> shutting-down -> terminated -> forgotten

An instance's ``generation`` counts changes of course. A stage that was scheduled finds another
generation when its time comes, and does nothing. Methods without an underscore are called with
the engine's lock held; the machines' own work is done on the scheduler's threads without it.
"""

import logging
import subprocess
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from cloudjhub.local.machines.base import Machine
from cloudjhub.local.moto_layer.models import LocalInstance
from cloudjhub.local.settings import LocalEC2Error
from cloudjhub.local.stages import Stage
from cloudjhub.local.volumes import described

if TYPE_CHECKING:
    from cloudjhub.local.engine import Engine

log = logging.getLogger(__name__)

WATCH_SECONDS = 0.2
USER_SHUTDOWN = ("Client.UserInitiatedShutdown", "User initiated shutdown")
USER_HIBERNATE = ("Client.UserInitiatedHibernate", "User initiated hibernate")
OWN_SHUTDOWN = ("Client.InstanceInitiatedShutdown", "Instance initiated shutdown")
NO_BOOT = ("Server.InternalError", "The machine could not be started")
SERVER_STOP = ("Server.ScheduledStop", "Stopped because the local EC2 ended")


class Lifecycle:
    """Moves instances from stage to stage."""

    def __init__(self, engine: "Engine"):
        self._engine = engine

    # -- what calls do -------------------------------------------------------------------------

    def launched(self, instances: Iterable[LocalInstance]) -> None:
        for instance in instances:
            instance.hidden_until = time.time() + self._engine.faults.lag_seconds
            self._begin(instance)

    def start(self, instances: Iterable[LocalInstance]) -> None:
        for instance in instances:
            instance.launch_time = _now()
            for nic in instance.nics.values():
                nic.start()
            self._begin(instance)

    def stop(self, instances: Iterable[LocalInstance], *, hibernate: bool = False) -> None:
        for instance in instances:
            reason = USER_HIBERNATE if hibernate else USER_SHUTDOWN
            self._end(instance, "stopping", reason, hibernate=hibernate)

    def is_young(self, instance: LocalInstance) -> bool:
        """Whether it has not run for long enough to hibernate."""
        ran = (_now() - instance.launch_time).total_seconds()
        return ran < self._engine.settings.hibernate_after_seconds

    def terminate(self, instances: Iterable[LocalInstance]) -> None:
        for instance in instances:
            self._end(instance, "shutting-down", USER_SHUTDOWN)

    def reboot(self, instances: Iterable[LocalInstance]) -> None:
        for instance in instances:
            self._at_once(self._reboot, instance)

    def died(self, instance: LocalInstance, *, terminated: bool = False) -> None:
        """The machine's processes ended although nobody asked EC2 for it."""
        terminated |= instance.instance_initiated_shutdown_behavior == "terminate"
        self._end(instance, "shutting-down" if terminated else "stopping", OWN_SHUTDOWN)

    def resume(self) -> None:
        """After a restart: what ran is stopped, what was ending has ended."""
        for instance in list(self._engine.backend.instances.values()):
            if instance.state in ("pending", "running", "stopping"):
                instance.generation += 1
                instance.set_state("stopped")
                instance.set_reason(*SERVER_STOP, transition=_when("Service initiated"))
                self._release_public_address(instance)
            instance.hibernated = instance.booted = instance.impaired = False
            if instance.state == "shutting-down":
                self._at_once(self._terminated, instance)
            elif instance.state == "terminated":
                self._at_end("terminated", self._forget, instance)

    # -- stages --------------------------------------------------------------------------------

    def _begin(self, instance: LocalInstance) -> None:
        instance.generation += 1
        instance.booted = instance.impaired = False
        instance.set_state("pending")
        instance.set_reason("", "")
        self._at_end("pending", self._running, instance)

    def _running(self, instance: LocalInstance, generation: int) -> None:
        with self._engine.lock:
            if instance.generation != generation:
                return
            instance.set_state("running")
            for volume_id in list(instance.block_device_mapping.values()):
                volume = self._engine.backend.volumes.get(volume_id.volume_id)
                if volume and volume.attachment and volume.attachment.status == "attaching":
                    volume.set_attachment("attached")
            self._engine.changed()
        self._at_end("boot", self._boot, instance)

    def _boot(self, instance: LocalInstance, generation: int) -> None:
        machine = self._engine.machines.get(instance.id)
        with machine.lock:
            if instance.generation != generation:
                return
            if instance.hibernated and machine.is_alive():
                machine.thaw()
            else:
                self.power_on(instance, machine)
            instance.hibernated = False
            instance.booted = machine.is_on()
        self._engine.faults.booted(instance.id)
        with self._engine.lock:
            self._engine.changed()

    def power_on(self, instance: LocalInstance, machine: Machine) -> None:
        """Boots with what EC2 says of it now; a machine that cannot boot at all is stopped.

        Called with the machine's lock held and without the engine's.
        """
        with self._engine.lock:
            machine.spec = self._engine.spec(instance.id)
            volumes = [
                described(self._engine.backend.volumes[volume_id])
                for volume_id in instance.data_volume_ids
            ]
        try:
            machine.power_on(volumes)
        except (LocalEC2Error, OSError, subprocess.SubprocessError):
            log.exception("local EC2: %s cannot boot", instance.id)
            with self._engine.lock:
                self._end(instance, "stopping", NO_BOOT)

    def _end(
        self,
        instance: LocalInstance,
        state: str,
        reason: tuple[str, str],
        *,
        hibernate: bool = False,
    ) -> None:
        instance.generation += 1
        instance.booted = False
        instance.set_state(state)
        instance.set_reason(*reason, transition=_when("User initiated"))
        self._at_once(self._off, instance, hibernate)

    def _off(self, instance: LocalInstance, generation: int, hibernate: bool) -> None:
        machine = self._engine.machines.get(instance.id)
        with machine.lock:
            if instance.generation != generation:
                return
            if hibernate and machine.is_alive():
                machine.freeze()
                instance.hibernated = True
            elif not (instance.state == "stopping" and instance.hibernated):
                machine.power_off()
                instance.hibernated = False
        if instance.state == "stopping":
            self._at_end("stopping", self._stopped, instance)
        else:
            self._at_end("shutting_down", self._terminated, instance)

    def _stopped(self, instance: LocalInstance, generation: int) -> None:
        with self._engine.lock:
            if instance.generation != generation:
                return
            self._release_public_address(instance)
            instance.impaired = False
            instance.set_state("stopped")
            self._engine.changed()

    def _terminated(self, instance: LocalInstance, generation: int) -> None:
        machine = self._engine.machines.get(instance.id)
        with machine.lock:
            if instance.generation != generation:
                return
            machine.destroy()
        with self._engine.lock:
            reason, transition = instance.state_reason, instance._reason
            instance.hidden_until = 0.0
            # moto's: frees the address, detaches volumes, deletes those that go with it.
            instance.terminate()
            instance.nics = {}
            # Its __del__ would free, much later, an address that is another's by then.
            instance._private_ips = set()
            instance.state_reason, instance._reason = reason, transition
            self._engine.changed()
        self._at_end("terminated", self._forget, instance)

    def _forget(self, instance: LocalInstance, generation: int) -> None:
        with self._engine.lock:
            if instance.generation == generation:
                self._engine.machines.forget(instance.id)
                self._engine.backend.forget_instance(instance.id)
                self._engine.changed()

    def _reboot(self, instance: LocalInstance, generation: int) -> None:
        machine = self._engine.machines.get(instance.id)
        with machine.lock:
            if instance.generation == generation and instance.booted:
                machine.power_off()
                self.power_on(instance, machine)
        self._engine.faults.booted(instance.id)

    # -- the machines' own doing ---------------------------------------------------------------

    def watch(self) -> None:
        """Notices machines that ended by themselves; looks again a moment later."""
        for instance_id, machine in self._engine.machines.on():
            if machine.is_alive() or not machine.lock.acquire(blocking=False):
                continue
            try:
                self._look_closer(instance_id)
            finally:
                machine.lock.release()
        self._engine.scheduler.after(WATCH_SECONDS, self.watch)

    def _look_closer(self, instance_id: str) -> None:
        machine = self._engine.machines.get(instance_id)
        if machine.is_alive() or not machine.is_on():
            return
        if machine.wants_reboot():
            instance = self._engine.backend.instances[instance_id]
            self.power_on(instance, machine)
            self._engine.faults.booted(instance_id)
            return
        with self._engine.lock:
            instance = self._engine.backend.instances.get(instance_id)
            if instance is None or not instance.booted:
                return
            log.info("local EC2: %s went off by itself", instance_id)
            self.died(instance, terminated=self._engine.faults.dies_for_good(instance_id))
            self._engine.changed()

    # -- parts ---------------------------------------------------------------------------------

    def _at_once(self, work, instance: LocalInstance, *args) -> None:
        self._engine.scheduler.after(0, work, instance, instance.generation, *args)

    def _at_end(self, stage: Stage, work, instance: LocalInstance) -> None:
        self._engine.stages.end(stage, work, instance, instance.generation)

    def _release_public_address(self, instance: LocalInstance) -> None:
        for nic in instance.nics.values():
            nic.stop()


def _now():
    from moto.core.utils import utcnow

    return utcnow()


def _when(what: str) -> str:
    return f"{what} ({_now().strftime('%Y-%m-%d %H:%M:%S GMT')})"
