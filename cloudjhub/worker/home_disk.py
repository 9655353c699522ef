"""The home volume: wait for it, format it once in its life, mount it, give it to the account."""

import os
import shutil
import stat
import time
from contextlib import suppress

from .environment import skeleton_folder
from .machine import Trouble, disk_trouble, run, under_root

LINK = "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_"
VOLUME_WAIT_SECONDS = 30.0
FORMAT_SECONDS = 60.0
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
    # An earlier start may have been cut off between formatting and this.
    if outcome == "formatted" or os.stat(account.home).st_uid != account.uid:
        _settle(account)
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
    link = under_root(LINK + volume_id.replace("-", ""))
    deadline = time.monotonic() + VOLUME_WAIT_SECONDS
    while not os.path.exists(link):
        if time.monotonic() >= deadline:
            raise Trouble(
                f"The home volume {volume_id} did not appear on the machine within "
                f"{VOLUME_WAIT_SECONDS:g} seconds."
            )
        time.sleep(0.05)
    return link


def _format_if_blank(device, volume_id):
    """Make a file system on a volume that has never held anything; True if it did.

    Whatever blkid knows stays as it is. What blkid does not know is formatted only if it
    starts with zeros, as every new EBS volume does.
    """
    code, kind, words = run(["blkid", "-o", "value", "-s", "TYPE", device])
    if code == 0 and kind:
        return False
    if code not in (0, 2) or not _starts_with_zeros(device):
        raise Trouble(
            f"The home volume {volume_id} holds something that is no file system; "
            f"it was not touched. {words}"
        )
    code, _, words = run(["mkfs.ext4", "-q", "-m", "0", device], FORMAT_SECONDS)
    if code != 0:
        raise Trouble(f"The home volume {volume_id} could not be formatted: {words}")
    return True


def _starts_with_zeros(device):
    # Local machines have folders for volumes; there blkid's word is enough.
    if not stat.S_ISBLK(os.stat(device).st_mode):
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
