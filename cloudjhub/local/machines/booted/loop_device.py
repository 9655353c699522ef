"""Files as block devices, for as long as this process, or whoever mounted them, needs them."""

import contextlib
import errno
import fcntl
import os
import stat
import struct
from pathlib import Path

from cloudjhub.local.settings import LocalEC2Error

# linux/loop.h
_LOOP_CTL_GET_FREE = 0x4C82
_LOOP_CONFIGURE = 0x4C0A
_LOOP_SET_CAPACITY = 0x4C07
_READ_ONLY = 1
_AUTOCLEAR = 4
_LOOP_MAJOR = 7
# struct loop_config: fd, block_size, loop_info64 with its flags and file name, reserved.
_LAYOUT = "=II 52x I 64s 112x 64x"
_ATTEMPTS = 50


class LoopDevice:
    """A file's device. The kernel gives it up when it is closed and nobody has it mounted.

    So nothing is left behind when this process is killed: the kernel closes it then.
    """

    def __init__(self, file: Path, *, read_only: bool = False):
        self.file = file
        self._descriptor, self.path = _set_up(file, read_only)
        self.number: int = os.stat(self.path).st_rdev

    def resize(self) -> None:
        """The file has grown; so does the device, mounted or not."""
        fcntl.ioctl(self._descriptor, _LOOP_SET_CAPACITY)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _set_up(file: Path, read_only: bool) -> tuple[int, str]:
    mode = os.O_RDONLY if read_only else os.O_RDWR
    backing = os.open(file, mode | os.O_CLOEXEC)
    flags = _AUTOCLEAR | (_READ_ONLY if read_only else 0)
    request = struct.pack(_LAYOUT, backing, 0, flags, str(file)[-63:].encode())
    try:
        for _ in range(_ATTEMPTS):
            descriptor, path = _open_free(mode)
            try:
                fcntl.ioctl(descriptor, _LOOP_CONFIGURE, request)
                return descriptor, path
            except OSError as error:
                os.close(descriptor)
                # Another process was faster with this number.
                if error.errno != errno.EBUSY:
                    raise
    except OSError as error:
        raise LocalEC2Error(
            f"This computer gives no block device for {file}: {error.strerror}.",
            "Booted machines need /dev/loop-control and Linux 5.8 or newer.",
        ) from error
    finally:
        os.close(backing)
    raise LocalEC2Error(f"No loop device was free for {file} after {_ATTEMPTS} attempts.")


def _open_free(mode: int) -> tuple[int, str]:
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        number = fcntl.ioctl(control, _LOOP_CTL_GET_FREE)
    finally:
        os.close(control)
    path = f"/dev/loop{number}"
    if not os.path.exists(path):
        # A /dev that is no devtmpfs, as containers have it, does not fill itself.
        with contextlib.suppress(FileExistsError):
            os.mknod(path, stat.S_IFBLK | 0o660, os.makedev(_LOOP_MAJOR, number))
    return os.open(path, mode | os.O_CLOEXEC), path
