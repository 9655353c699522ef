"""Puts the watch on the machine and keeps it running: ``ensure`` costs little where it does.

With systemd it is a unit that is there again after every boot; elsewhere a process in the
background, which each start of a notebook looks after.
"""

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress

from . import servers
from .machine import Trouble, identity, locked, make_folder, root, run, under_root

UNIT = "cloudjhub-watch.service"
UNIT_FOLDER = "/etc/systemd/system"
WANTED_BY = "multi-user.target"
# Outlives a boot, as the unit does. Without systemd nothing starts it then, and on such machines
# of the local EC2 only what is under /run is their own.
KEPT_FOLDER = "/var/lib/cloudjhub/watch"
FOLDER = servers.RUN + "/watch"
PROGRAM = "watch.pyz"
SETTINGS = "watch.json"
END_SECONDS = 5.0
# systemd.service(5). The console is what EC2 shows of a machine that is off.
UNIT_TEXT = """[Unit]
Description=Powers the machine off when nothing works on it and no hub looks after it

[Service]
ExecStart={python} -I {program}
Restart=on-failure
RestartSec=30
OOMScoreAdjust=-900
StandardOutput=journal+console

[Install]
WantedBy={wanted_by}
"""


def ensure(asked, server, account):
    """Have the watch run as asked (``notebook.Watch``, and the program in base64 as "archive").

    Returns why that cannot be, "" if it runs or nothing was asked: no notebook has to wait for it.
    """
    if not asked:
        return ""
    try:
        poweroff = _poweroff()
        if poweroff is None:
            return "Without a watch: the machine lacks the program poweroff."
        systemd = isinstance(server, servers.Systemd)
        folder = under_root(KEPT_FOLDER if systemd else FOLDER)
        settings = dict(asked, account=account.name, poweroff=poweroff, machine=identity())
        archive = base64.b64decode(settings.pop("archive"))
        make_folder(folder, 0o700)
        text = json.dumps(settings, sort_keys=True)
        new = [
            _put(os.path.join(folder, PROGRAM), archive),
            _put(os.path.join(folder, SETTINGS), text.encode()),
        ]
        (_ensure_unit if systemd else _ensure_process)(folder, any(new))
    except Trouble as trouble:
        return f"Without a watch: {trouble}"
    except OSError as error:
        return f"Without a watch: {error}"
    return ""


def _poweroff():
    # Under a root of its own a machine is no computer; the computer's own poweroff is not for it.
    folders = "" if root() else ":/usr/sbin:/sbin"
    return shutil.which("poweroff", path=os.environ.get("PATH", "") + folders)


def _put(path, content):
    """Have a file hold this; whether it did not. A boot in between finds the old or the new one."""
    with suppress(OSError), open(path, "rb") as file:
        if file.read() == content:
            return False
    new = path + ".new"
    with open(new, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)
    return True


def _watcher(folder):
    """The pid of the watch that runs, 0 if it has not written it yet; None if none does."""
    path = os.path.join(folder, "lock")
    with locked(path) as lock:
        if lock is not None:
            return None
    with open(path) as file:
        return int(file.read() or 0)


def _ensure_unit(folder, new):
    program = os.path.join(folder, PROGRAM)
    text = UNIT_TEXT.format(python=sys.executable, program=program, wanted_by=WANTED_BY)
    _enable()
    if _put(f"{UNIT_FOLDER}/{UNIT}", text.encode()):
        _systemctl("daemon-reload")
    elif not new and _watcher(folder) is not None:
        return
    _systemctl("--no-block", "restart", UNIT)


def _enable():
    """As systemctl enable does, which would have systemd read all of its units once more."""
    wants = f"{UNIT_FOLDER}/{WANTED_BY}.wants"
    make_folder(wants, 0o755)
    with suppress(FileExistsError):
        os.symlink(f"{UNIT_FOLDER}/{UNIT}", f"{wants}/{UNIT}")


def _systemctl(*words):
    code, out, said = run(["systemctl", "--quiet", *words])
    if code != 0:
        raise Trouble(f"systemctl {' '.join(words)}: {said or out}")


def _ensure_process(folder, new):
    pid = _watcher(folder)
    if pid is not None and not new:
        return
    deadline = time.monotonic() + END_SECONDS
    while pid == 0:
        # It has just begun, with what was there before; its pid follows at once.
        if time.monotonic() > deadline:
            raise Trouble("The earlier watch does not say which process it is.")
        time.sleep(0.02)
        pid = _watcher(folder)
    if pid is not None:
        os.kill(pid, signal.SIGKILL)
        _wait_for_end(folder)
    with open(os.path.join(folder, "log"), "ab") as log:
        subprocess.Popen(
            [sys.executable, "-I", os.path.join(folder, PROGRAM)],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _wait_for_end(folder):
    deadline = time.monotonic() + END_SECONDS
    while _watcher(folder) is not None:
        if time.monotonic() > deadline:
            raise Trouble("The earlier watch does not end.")
        time.sleep(0.02)
