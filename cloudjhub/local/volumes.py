"""The life of volumes: creating, attaching, detaching, and the folder that is their content."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from cloudjhub.local.machines.base import AttachedVolume
from cloudjhub.local.moto_layer.models import LocalVolume

if TYPE_CHECKING:
    from cloudjhub.local.engine import Engine

BUSY_SECONDS = 0.2


class Volumes:
    """Called with the engine's lock held. ``folder`` has one folder per volume, by its id."""

    def __init__(self, engine: "Engine", folder: Path):
        self._engine = engine
        self.folder = folder

    def created(self, volume: LocalVolume) -> None:
        volume.creating = True
        self._later(self._available, volume)

    def attach(self, volume: LocalVolume) -> None:
        volume.set_attachment("attaching")
        self._later(self._attached, volume)

    def detach(self, volume: LocalVolume, *, force: bool) -> None:
        """A mounted volume stays "busy" until it is unmounted, as on EC2, unless forced."""
        volume.set_attachment("detaching")
        self._later(self._detached, volume, force)

    def grown(self, volume: LocalVolume) -> None:
        if disks := self._engine.disks:
            self._engine.scheduler.after(0, disks.ensure, described(volume))

    def deleted(self, volume_id: str) -> None:
        self._engine.scheduler.after(0, self._remove, volume_id)

    def resume(self) -> None:
        """After a restart, nothing is half way."""
        for volume in list(self._engine.backend.volumes.values()):
            volume.creating = False
            if volume.attachment is None:
                continue
            if volume.attachment.status in ("detaching", "busy"):
                self._take_off(volume)
            else:
                volume.set_attachment("attached")

    # -- stages --------------------------------------------------------------------------------

    def _available(self, volume: LocalVolume) -> None:
        if disks := self._engine.disks:
            disks.ensure(described(volume))
        elif volume.snapshot_id:
            self._engine.folders.fill(volume.id, volume.snapshot_id)
        with self._engine.lock:
            volume.creating = False
            self._engine.changed()

    def _attached(self, volume: LocalVolume) -> None:
        attachment = volume.attachment
        if attachment is None or attachment.status != "attaching":
            return
        machine = self._engine.machines.get(attachment.instance.id)
        with machine.lock:
            machine.attach(described(volume))
        with self._engine.lock:
            if volume.attachment is attachment and attachment.status == "attaching":
                volume.set_attachment("attached")
                self._engine.changed()

    def _detached(self, volume: LocalVolume, force: bool) -> None:
        attachment = volume.attachment
        if attachment is None or attachment.status not in ("detaching", "busy"):
            return
        machine = self._engine.machines.get(attachment.instance.id)
        with machine.lock:
            busy = not force and machine.is_mounted(volume.id)
            if not busy:
                machine.detach(volume.id)
        with self._engine.lock:
            if volume.attachment is not attachment:
                return
            if busy:
                volume.set_attachment("busy")
                self._engine.scheduler.after(BUSY_SECONDS, self._detached, volume, force)
            else:
                self._take_off(volume)
            self._engine.changed()

    def _remove(self, volume_id: str) -> None:
        shutil.rmtree(self.folder / volume_id, ignore_errors=True)
        self._engine.images.removed()

    def _take_off(self, volume: LocalVolume) -> None:
        attachment = volume.attachment
        assert attachment is not None
        attachment.instance.block_device_mapping.pop(attachment.device, None)
        attachment.status = "detached"
        volume.attachment = None

    def _later(self, stage, volume: LocalVolume, *args) -> None:
        self._engine.stages.end("volume", stage, volume, *args)


def described(volume: LocalVolume) -> AttachedVolume:
    """What a machine needs to know of a volume."""
    device = volume.attachment.device if volume.attachment else ""
    return AttachedVolume(volume.id, device, int(volume.size), volume.snapshot_id or "")
