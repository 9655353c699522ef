"""Snapshots of volumes that are folders, as all are of machines that do not boot."""

import shutil
from collections.abc import Iterable
from pathlib import Path


class VolumeFolders:
    """One folder for each, by its id, in ``volumes`` and ``snapshots``; a blank one may lack it."""

    def __init__(self, volumes: Path, snapshots: Path):
        self._volumes = volumes
        self._snapshots = snapshots

    def take(self, volume_id: str, snapshot_id: str) -> None:
        """The snapshot is what the volume holds now."""
        _copy(self._volumes / volume_id, self._snapshots / snapshot_id)

    def fill(self, volume_id: str, snapshot_id: str) -> None:
        """A new volume holds what the snapshot does."""
        if not (self._volumes / volume_id).exists():
            _copy(self._snapshots / snapshot_id, self._volumes / volume_id)

    def remove_unused(self, wanted: Iterable[str]) -> None:
        """Removes what is no snapshot any more; volumes made from it have their own copy."""
        known = set(wanted)
        for folder in self._snapshots.glob("*"):
            if folder.name not in known:
                shutil.rmtree(folder, ignore_errors=True)


def _copy(source: Path, target: Path) -> None:
    if not source.is_dir():
        return
    draft = target.with_name(f"{target.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Sockets and pipes cannot be copied, and nothing on a disk that was let go listens to them.
    shutil.copytree(source, draft, symlinks=True, ignore=_not_files)
    draft.rename(target)


def _not_files(folder: str, names: list[str]) -> list[str]:
    paths = [Path(folder, name) for name in names]
    return [
        path.name for path in paths if not (path.is_symlink() or path.is_file() or path.is_dir())
    ]
