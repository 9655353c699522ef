"""The disks of booted machines: sparse files, their devices, their snapshots.

::

    volumes/vol-0abc/disk.img       a volume, as large as EC2 says
    volumes/vol-0abc/layers         of a root volume: what its file system lies on, nearest first
    snapshots/snap-0abc/disk.img    the volume as it was
    snapshots/snap-0abc/layers      of a root volume's snapshot: what that one lay on

A root volume holds what its machine changed; it lies on the snapshot of the image the machine
was launched from, which lies on others, down to the base image.
"""

import contextlib
import os
import shutil
import threading
from collections.abc import Iterable
from pathlib import Path

from cloudjhub.local.machines.base import AttachedVolume
from cloudjhub.local.machines.booted import base_image, files
from cloudjhub.local.machines.booted.loop_device import LoopDevice
from cloudjhub.local.settings import LocalEC2Error

_GIB = 1 << 30
_BASE = "base:"
#: device, folder to mount it at
_CLEAN = """
mount -t ext4 "$1" "$2" && cd "$2" && rm -rf work &&
if [ -e up/etc/machine-id ]; then : > up/etc/machine-id; fi &&
cd / && umount "$2"
"""


class Disks:
    """All disks of one local EC2. Methods may be called by any thread."""

    def __init__(self, state_dir: Path):
        self.volumes = state_dir / "volumes"
        self.snapshots = state_dir / "snapshots"
        self._lock = threading.RLock()
        self._open: dict[str, LoopDevice] = {}

    # -- volumes -------------------------------------------------------------------------------

    def ensure(self, volume: AttachedVolume) -> None:
        """Makes the volume's file, a copy of its snapshot's if it has one, or lets it grow."""
        with self._lock:
            path = self.volumes / volume.id / "disk.img"
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                source = self.snapshots / (volume.snapshot_id or "none") / "disk.img"
                _make(path, source if volume.snapshot_id and source.exists() else None)
            if path.stat().st_size < volume.gib * _GIB:
                os.truncate(path, volume.gib * _GIB)
                (path.parent / "grown").touch()
                if device := self._open.get(volume.id):
                    device.resize()

    def ensure_root(self, volume: AttachedVolume) -> None:
        """The same for a root volume: an empty file system on the layers of its image."""
        with self._lock:
            folder = self.volumes / volume.id
            if (folder / "layers").exists():
                self.ensure(volume)
                _use_all(folder)
                return
            self.ensure(AttachedVolume(volume.id, volume.device, volume.gib))
            (folder / "grown").unlink(missing_ok=True)
            _make_file_system(folder / "disk.img")
            write_lines(folder / "layers", self._layers_for(volume.snapshot_id))

    def device(self, volume_id: str) -> LoopDevice:
        """The volume's device, opened if need be; :meth:`release` ends it."""
        with self._lock:
            if volume_id not in self._open:
                self._open[volume_id] = LoopDevice(self.volumes / volume_id / "disk.img")
            return self._open[volume_id]

    def release(self, volume_id: str) -> None:
        with self._lock:
            if device := self._open.pop(volume_id, None):
                device.close()

    def layers(self, volume_id: str) -> list[str]:
        """What a root volume lies on: folders, and devices with images. Raises LocalEC2Error."""
        with self._lock:
            return [self._layer(name) for name in read_lines(self.volumes / volume_id / "layers")]

    def close(self) -> None:
        with self._lock:
            for device in self._open.values():
                device.close()
            self._open.clear()

    # -- snapshots -----------------------------------------------------------------------------

    def take(self, volume_id: str, snapshot_id: str) -> None:
        """Copies a volume that nobody writes to; there may be nothing to copy yet."""
        source, target = self.volumes / volume_id, self.snapshots / snapshot_id
        draft = target.with_name(f"{snapshot_id}.draft")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True, mode=0o700)
        if (source / "disk.img").exists():
            _make(draft / "disk.img", source / "disk.img")
        if (source / "layers").exists():
            shutil.copyfile(source / "layers", draft / "layers")
            _clean(draft / "disk.img")
        draft.rename(target)

    def remove_drafts(self) -> None:
        """Removes copies that were cut short by a predecessor's end."""
        for draft in self.snapshots.glob("*.draft"):
            shutil.rmtree(draft, ignore_errors=True)

    def remove_unused(self, wanted: Iterable[str]) -> None:
        """Removes snapshots that neither EC2 knows nor a root volume lies on, at last."""
        with self._lock:
            if not self.snapshots.is_dir():
                return
            needed = set(wanted) | self._lain_on(self.volumes)
            waiting = [name for name in needed if (self.snapshots / name).is_dir()]
            while waiting:
                below = set(read_lines(self.snapshots / waiting.pop() / "layers")) - needed
                needed |= below
                waiting.extend(below)
            for folder in list(self.snapshots.iterdir()):
                if folder.name not in needed and not folder.name.endswith(".draft"):
                    self.release(folder.name)
                    shutil.rmtree(folder, ignore_errors=True)

    # -- parts ---------------------------------------------------------------------------------

    def _lain_on(self, volumes: Path) -> set[str]:
        folders = list(volumes.iterdir()) if volumes.is_dir() else []
        return {name for folder in folders for name in read_lines(folder / "layers")}

    def _layers_for(self, snapshot_id: str) -> list[str]:
        below = self.snapshots / snapshot_id / "layers"
        if snapshot_id and below.exists():
            return [snapshot_id, *read_lines(below)]
        return [f"{_BASE}{base_image.ensure().name}"]

    def _layer(self, name: str) -> str:
        if name.startswith(_BASE):
            tree = base_image.cache_folder() / name.removeprefix(_BASE)
            if not tree.is_dir():
                raise LocalEC2Error(
                    f"{tree}, the image that this machine was made from, is gone.",
                    "Make a new machine, or remove the state folder and begin anew.",
                )
            return str(tree)
        if name not in self._open:
            path = self.snapshots / name / "disk.img"
            if not path.exists():
                raise LocalEC2Error(f"The snapshot {name}, which this machine lies on, is gone.")
            self._open[name] = LoopDevice(path, read_only=True)
        return self._open[name].path


def read_lines(path: Path) -> list[str]:
    """The lines of a file; none if there is none."""
    try:
        return path.read_text().split()
    except OSError:
        return []


def write_lines(path: Path, lines: Iterable[str]) -> None:
    draft = path.with_name(f"{path.name}.draft")
    draft.write_text("".join(f"{line}\n" for line in lines))
    draft.replace(path)


def _make(path: Path, source: Path | None) -> None:
    """An empty file or a copy that is as sparse; whole or not there at all."""
    draft = path.with_name(f"{path.name}.draft")
    with contextlib.suppress(FileNotFoundError):
        draft.unlink()
    if source is None:
        os.close(os.open(draft, os.O_WRONLY | os.O_CREAT, 0o600))
    else:
        files.copy(source, draft)
    draft.replace(path)


def _make_file_system(path: Path) -> None:
    options = ["-q", "-F", "-m", "1", "-L", "cloudimg-rootfs"]
    files.run(
        ["mkfs.ext4", *options, "-E", "lazy_itable_init=1,lazy_journal_init=1", str(path)], path
    )


def _use_all(folder: Path) -> None:
    """A root volume has grown: so does its file system, while it is not mounted."""
    if not (folder / "grown").exists():
        return
    path = folder / "disk.img"
    # Exit code 1: it was not in order, and is now; as after a power cut.
    files.run(["sh", "-c", 'e2fsck -f -p "$1" || test $? -eq 1', "sh", str(path)], path)
    files.run(["resize2fs", str(path)], path)
    (folder / "grown").unlink()


def _clean(path: Path) -> None:
    """Nothing of the machine an image was made of may be another machine's."""
    place = path.with_name("mount")
    place.mkdir()
    device = LoopDevice(path)
    try:
        command = ["unshare", "--mount", "sh", "-c", _CLEAN, "sh", device.path, str(place)]
        files.run(command, path)
    finally:
        device.close()
        place.rmdir()
