"""The life of images and snapshots: their content is copied while EC2 calls them pending."""

import logging
from typing import TYPE_CHECKING

from cloudjhub.local.machines.booted import kept_images
from cloudjhub.local.moto_layer.models import LocalAmi, LocalInstance, LocalSnapshot
from cloudjhub.local.settings import LocalEC2Error

if TYPE_CHECKING:
    from cloudjhub.local.engine import Engine

#: as Debian names the root device of its own images
BOOTED_ROOT_DEVICE = "/dev/xvda"
log = logging.getLogger(__name__)


class Images:
    """Methods without an underscore are called with the engine's lock held.

    With machines that do not boot images are names, and a snapshot is the copy of a folder.
    """

    def __init__(self, engine: "Engine"):
        self._engine = engine

    def image_made(self, image: LocalAmi, instance: LocalInstance, *, reboot: bool) -> None:
        image.state = "pending"
        image.ebs_snapshot.status = "pending"
        self._engine.scheduler.after(0, self._make_image, image, instance, reboot)

    def snapshot_made(self, snapshot: LocalSnapshot) -> None:
        snapshot.status = "pending"
        self._engine.stages.end("snapshot", self._make_snapshot, snapshot)

    def removed(self) -> None:
        """An image, a snapshot or a root volume is gone: so may be what it lay on."""
        self._engine.scheduler.after(0, self._remove_unused)

    def named(self, name: str) -> LocalAmi | None:
        """The image of this name that can be launched from."""
        images = self._engine.backend.amis.values()
        return next((i for i in images if i.name == name and i.state == "available"), None)

    def adopt(self, name: str, description: str) -> LocalAmi:
        """Makes an image of one that was kept. Takes the locks it needs."""
        disks = self._engine.disks
        assert disks is not None
        with self._engine.lock:
            image = self._engine.backend.register_image(name=name, description=description)
            image.root_device_name = BOOTED_ROOT_DEVICE
            image.state = "pending"
        kept_images.copy(kept_images.folder(name), disks.snapshots / image.ebs_snapshot.id)
        with self._engine.lock:
            image.state = "available"
            self._engine.changed()
        return image

    def keep(self, image: LocalAmi) -> None:
        """Keeps an image for other local EC2s of this computer, by its name."""
        disks = self._engine.disks
        assert disks is not None
        stored = disks.snapshots / image.ebs_snapshot.id
        kept_images.copy(stored, kept_images.folder(image.name))

    def resume(self) -> None:
        """After a restart: what was half copied has failed."""
        for image in self._engine.backend.amis.values():
            if image.state == "pending":
                image.state = "failed"
        for snapshot in self._engine.backend.snapshots.values():
            if snapshot.status == "pending":
                snapshot.status = "error"
        if self._engine.disks:
            self._engine.disks.remove_drafts()
        self.removed()

    # -- what is done meanwhile ----------------------------------------------------------------

    def _make_image(self, image: LocalAmi, instance: LocalInstance, reboot: bool) -> None:
        snapshot = image.ebs_snapshot
        try:
            if self._engine.disks:
                self._copy_root(instance, snapshot.id, reboot)
            state, status = "available", "completed"
        except (LocalEC2Error, OSError):
            log.exception("local EC2: no image %s of %s", image.id, instance.id)
            state, status = "failed", "error"
        with self._engine.lock:
            image.state, snapshot.status = state, status
            self._engine.changed()

    def _copy_root(self, instance: LocalInstance, snapshot_id: str, reboot: bool) -> None:
        root, machine = instance.root_volume_id, self._engine.machines.get(instance.id)
        assert root is not None
        with machine.lock:
            # Hibernated or switched off meanwhile: then there is nothing to boot again.
            again = reboot and instance.booted
            if again:
                machine.power_off()
            try:
                machine.snapshot(root, snapshot_id)
            finally:
                if again:
                    self._engine.lifecycle.power_on(instance, machine)

    def _make_snapshot(self, snapshot: LocalSnapshot) -> None:
        try:
            self._copy_volume(snapshot)
            status = "completed"
        except (LocalEC2Error, OSError):
            log.exception("local EC2: no snapshot %s", snapshot.id)
            status = "error"
        with self._engine.lock:
            snapshot.status = status
            self._engine.changed()

    def _copy_volume(self, snapshot: LocalSnapshot) -> None:
        disks, attachment = self._engine.disks, snapshot.volume.attachment
        if disks is None or attachment is None:
            (disks or self._engine.folders).take(snapshot.volume_id, snapshot.id)
            return
        machine = self._engine.machines.get(attachment.instance.id)
        with machine.lock:
            machine.snapshot(snapshot.volume_id, snapshot.id)

    def _remove_unused(self) -> None:
        with self._engine.lock:
            known = set(self._engine.backend.snapshots)
        (self._engine.disks or self._engine.folders).remove_unused(known)
