"""Images that took minutes to make, kept beside the base image for the next local EC2."""

import shutil
from pathlib import Path

from cloudjhub.local.machines.booted import base_image, files

_FOLDER = "made"


def folder(name: str) -> Path:
    """Where an image of this name is, or would be, kept."""
    return base_image.cache_folder() / _FOLDER / name


def lock_path(name: str) -> Path:
    """Held by whoever makes the image; others wait for it and find it kept."""
    path = folder(f"{name}.lock")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def copy(source: Path, target: Path) -> None:
    """A snapshot's folder, whole or not there at all; the copy is as sparse."""
    draft = target.with_name(f"{target.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True, mode=0o700)
    for path in source.iterdir():
        files.copy(path, draft / path.name)
    draft.rename(target)
