"""A file system held still for a moment, so that a copy of its device is whole."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

# linux/fs.h
_FIFREEZE = 0xC0045877
_FITHAW = 0xC0045878


@contextlib.contextmanager
def frozen(folder: Path | None) -> Iterator[None]:
    """Writers to the folder's file system wait meanwhile. None: there is nothing to hold."""
    if folder is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.ioctl(descriptor, _FIFREEZE, 0)
        try:
            yield
        finally:
            fcntl.ioctl(descriptor, _FITHAW, 0)
    finally:
        os.close(descriptor)
