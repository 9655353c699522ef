"""The home volume: wait for it, format it once in its life, mount it, give it to the account."""

import glob
import os
import shutil
import stat
import time
from contextlib import suppress

from .environment import skeleton_folder
from .machine import Trouble, allowance, disk_trouble, run, under_root

LINK = "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_"
# Machines without NVMe show a volume by the name it was attached as (/dev/sdf), in Xen's spelling.
XEN_DEVICES = ("/dev/xvdf", "/dev/sdf")
VOLUME_WAIT_SECONDS = 30.0
# Formatting, or giving a home to another uid; never both in one start.
LONG_STEP_SECONDS = 60.0
PROBED_BYTES = 1024 * 1024


def ensure_home(account, volume_id):
    """Make the account's home usable.

    Returns "formatted", "mounted", "already" (mounted before) or "root-disk" (no volume).
    A home that is mounted already is left as it is.
    """
    if volume_id is None:
        return _root_disk_home(account)
    if is_mounted(account.home):
        outcome = "already"
    else:
        device = _wait_for_volume(volume_id)
        outcome = "formatted" if _format_if_blank(device, volume_id) else "mounted"
        _mount(device, account.home, volume_id)
    _check_writable(account.home, volume_id)
    if outcome == "formatted":
        _settle(account)
    else:
        _take_over(account, volume_id)
    return outcome


def is_mounted(folder):
    """Whether something is mounted at the folder."""
    return run(["mountpoint", "-q", folder])[0] == 0


def _root_disk_home(account):
    if not os.path.isdir(account.home):
        try:
            os.makedirs(account.home)
        except OSError as error:
            raise disk_trouble(error) from error
        _settle(account)
    return "root-disk"


def _wait_for_volume(volume_id):
    """The device of an attached volume; it appears a moment after EC2 says attached."""
    seconds = allowance.of(VOLUME_WAIT_SECONDS)
    deadline = time.monotonic() + seconds
    while True:
        device = _device_of(volume_id)
        if device is not None:
            return device
        if time.monotonic() >= deadline:
            raise Trouble(
                f"The home volume {volume_id} did not appear on the machine within "
                f"{seconds:.3g} seconds."
            )
        time.sleep(0.05)


def _device_of(volume_id):
    """Where the volume shows; None while it does not.

    The name of a device says nothing of which volume it is. So it counts only on machines
    without NVMe; the others link at least their root volume by its id.
    """
    link = under_root(LINK + volume_id.replace("-", ""))
    if os.path.exists(link):
        return link
    if glob.glob(glob.escape(under_root(LINK)) + "*"):
        return None
    return next(filter(_is_block_device, map(under_root, XEN_DEVICES)), None)


def _is_block_device(path):
    try:
        return stat.S_ISBLK(os.stat(path).st_mode)
    except OSError:
        return False


def _format_if_blank(device, volume_id):
    """Make a file system on a volume that has never held anything; True if it did.

    Whatever blkid knows stays as it is. What blkid does not know is formatted only if it
    starts with zeros, as every new EBS volume does.
    """
    # Without blkid's cache, which for two seconds tells what the device's name stood for before.
    code, kind, words = run(["blkid", "-c", "/dev/null", "-o", "value", "-s", "TYPE", device])
    if code == 0 and kind:
        return False
    if code not in (0, 2) or not _starts_with_zeros(device):
        raise Trouble(
            f"The home volume {volume_id} holds something that is no file system; "
            f"it was not touched. {words}"
        )
    # A volume on which mkfs was cut short is not blank and would never be formatted again.
    allowance.extend(LONG_STEP_SECONDS)
    code, _, words = run(["mkfs.ext4", "-q", "-m", "0", device], LONG_STEP_SECONDS)
    if code != 0:
        raise Trouble(f"The home volume {volume_id} could not be formatted: {words}")
    return True


def _starts_with_zeros(device):
    # Local machines have folders for volumes; there blkid's word is enough.
    if not _is_block_device(device):
        return True
    with open(device, "rb") as file:
        return not any(file.read(PROBED_BYTES))


def _mount(device, folder, volume_id):
    """Mount, whatever the kind of file system.

    Files that the image left in the folder are covered by a real mount; the ``mount`` of
    machines without root takes the place of the folder and insists that it is empty.
    """
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise disk_trouble(error) from error
    code, _, words = run(["mount", device, folder])
    if code != 0:
        raise Trouble(f"The home volume {volume_id} could not be mounted: {words}")


def _check_writable(folder, volume_id):
    if os.statvfs(folder).f_flag & os.ST_RDONLY:
        raise Trouble(
            f"The home volume {volume_id} is mounted read-only; its file system may be damaged."
        )


def _take_over(account, volume_id):
    """See to it that a home that was made earlier belongs to the account.

    It may come from an AMI on which the account had another uid; or from a start that was cut
    off between formatting and the gift of the home, which root still has then.
    """
    top = os.stat(account.home)
    if top.st_uid == account.uid:
        return
    allowance.extend(LONG_STEP_SECONDS)
    _give_all(account, top, volume_id)
    if top.st_uid == 0:
        _settle(account)
    else:
        account.own(account.home)


def _give_all(account, top, volume_id):
    """What the owner of the top folder has in it becomes the account's.

    The top folder itself is left to the caller: it is the last, so that a run that did not
    finish is taken up by the next start.
    """
    deadline = time.monotonic() + allowance.of(LONG_STEP_SECONDS)
    for name, folder in _entries(os.path.realpath(account.home), top.st_dev):
        if time.monotonic() >= deadline:
            raise Trouble(
                f"The files on {volume_id} belong to another uid and are too many to change "
                "that at once; the next start goes on with it."
            )
        with suppress(OSError):  # one damaged or immutable file does not lock out the user
            if os.lstat(name, dir_fd=folder).st_uid == top.st_uid:
                account.own(name, folder)


def _entries(home, device):
    """All that a folder holds on its own device, as (name, descriptor of the folder it is in).

    Links are not followed, nor does a folder count that becomes one meanwhile.
    """
    for path, folders, files, descriptor in os.fwalk(home):
        if path == home and "lost+found" in folders:
            folders.remove("lost+found")  # the file system's own
        folders[:] = [name for name in folders if _is_on(device, name, descriptor)]
        for name in folders:
            yield name, descriptor
        for name in files:
            if _is_on(device, name, descriptor):
                yield name, descriptor


def _is_on(device, name, folder):
    try:
        return os.lstat(name, dir_fd=folder).st_dev == device
    except OSError:
        return False


def _settle(account):
    """A new home: the skeleton's files, and all of it the account's own."""
    if os.path.isdir(skeleton_folder()):
        with suppress(OSError, shutil.Error):  # a home without its skeleton still works
            _copy_skeleton(skeleton_folder(), account)
    account.own(account.home)
    os.chmod(account.home, 0o700)


def _copy_skeleton(source, account):
    for folder, folders, files in os.walk(source):
        target = os.path.normpath(os.path.join(account.home, os.path.relpath(folder, source)))
        for name in folders:
            os.makedirs(os.path.join(target, name), exist_ok=True)
            account.own(os.path.join(target, name))
        for name in files:
            if not os.path.lexists(os.path.join(target, name)):
                shutil.copy2(
                    os.path.join(folder, name),
                    os.path.join(target, name),
                    follow_symlinks=False,
                )
                account.own(os.path.join(target, name))
