"""The machine as the other modules see it: paths under the root, accounts, commands, trouble."""

import errno
import fcntl
import os
import pwd
import subprocess
import time
from contextlib import contextmanager, suppress

# What goes from the SSH session into the notebook's environment; nothing else does.
KEPT_VARIABLES = (
    "PATH",
    "LANG",
    "TZ",
    "JUPYTER_CONFIG_PATH",
    "LOCALEC2_ID",
    "CLOUDJHUB_ROOT",
)

# Where AMIs keep jupyterhub-singleuser, after the PATH that sudo leaves.
PROGRAM_FOLDERS = (
    "/opt/cloudjhub/bin",
    "/usr/local/bin",
    "/opt/conda/bin",
    "/opt/tljh/user/bin",
    "/opt/jupyterhub/bin",
    "/usr/bin",
    "/bin",
)


class Trouble(Exception):
    """The notebook cannot run; the text is a sentence for whoever waits for it."""


def root():
    """What stands before every path of this machine: "" on a real one."""
    return os.environ.get("CLOUDJHUB_ROOT", "").rstrip("/")


def under_root(path):
    """An absolute path of the machine as this process must open it."""
    return root() + path


class Allowance:
    """How long one request may take; every wait and every command of it ends in time."""

    def __init__(self):
        self._deadline = None

    def begin(self, seconds):
        """All that follows has so many seconds together."""
        self._deadline = time.monotonic() + seconds

    def extend(self, seconds):
        """A step that may take long and must not be cut short brings its own time."""
        if self._deadline is not None:
            self._deadline += seconds

    def of(self, seconds):
        """What a step that wants so many seconds gets; a second even when time is up."""
        if self._deadline is None:
            return seconds
        return min(seconds, max(1.0, self._deadline - time.monotonic()))


allowance = Allowance()


class Account:
    """The notebook account: ids, home and shell.

    Under a CLOUDJHUB_ROOT all accounts are one uid, so an unknown name is this very user.
    """

    def __init__(self, name):
        self.name = name
        self.home = under_root("/home/" + name)
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            if not root():
                raise Trouble(f"The worker AMI has no account named {name}.") from None
            entry = pwd.getpwuid(os.getuid())
        self.uid, self.gid, self.shell = (
            entry.pw_uid,
            entry.pw_gid,
            entry.pw_shell or "/bin/sh",
        )

    def own(self, path, folder=None):
        """Give a file or folder to the account (a no-op where only one uid exists).

        ``folder`` is the descriptor of an open folder that the path starts from.
        """
        try:
            os.chown(path, self.uid, self.gid, dir_fd=folder, follow_symlinks=False)
        except OSError:
            # In a user namespace with one mapped uid everything belongs to it already.
            if os.lstat(path, dir_fd=folder).st_uid != os.getuid():
                raise


def run(command, timeout_seconds=30.0):
    """Run a system command; returns (exit code, stdout, stderr).

    Trouble if the program is missing or does not end.
    """
    timeout_seconds = allowance.of(timeout_seconds)
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_seconds,
            check=False,
        )
    except FileNotFoundError:
        raise Trouble(f"The worker AMI lacks the program {command[0]}.") from None
    except subprocess.TimeoutExpired:
        raise Trouble(
            f"{command[0]} did not finish within {timeout_seconds:.3g} seconds."
        ) from None
    return (
        done.returncode,
        done.stdout.decode("utf-8", "replace").strip(),
        done.stderr.decode("utf-8", "replace").strip(),
    )


def disk_trouble(error):
    """Trouble for an OSError of the machine's own disk; says full and read-only plainly."""
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Trouble(f"The machine's root disk is full{where}.")
    if error.errno == errno.EROFS:
        return Trouble(f"The machine's root disk is read-only{where}.")
    return Trouble(f"The machine refuses an operation{where}: {error.strerror or error}.")


def make_folder(path, mode):
    """A folder with exactly this mode, made if need be."""
    os.makedirs(path, exist_ok=True)
    os.chmod(path, mode)


def write_private(path, text):
    """Write a file anew as 0600; never into a file or link that somebody else put there."""
    with suppress(FileNotFoundError):
        os.unlink(path)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


@contextmanager
def locked(path):
    """The descriptor of the file, locked; None while another has it locked. It is made if need be.

    The kernel unlocks what ended.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield descriptor if lock_now(descriptor) else None
    finally:
        os.close(descriptor)


def lock_now(descriptor):
    """Lock an open file; False if another has it locked."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def identity():
    """What tells this machine from those that are started from a copy of its disk."""
    return [_first_line(path) for path in ("/etc/machine-id", "/sys/class/dmi/id/product_uuid")]


def _first_line(path):
    try:
        with open(path) as file:
            return file.readline().strip()
    except OSError:
        return ""
