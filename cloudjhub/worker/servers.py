"""The notebook server as a process: a systemd unit where there is systemd, else in the background.

Both kinds have one shape: ``start(launch)``, ``pid()`` (None = not running), ``stop()`` and
``last_words()``.
"""

import json
import os
import subprocess
import time
import uuid
from collections import namedtuple

from . import processes
from .environment import file_text, unquoted
from .machine import Trouble, make_folder, run, under_root, write_private

RUN = "/run/cloudjhub"
UNIT = "cloudjhub-notebook"
UNIT_STOP_SECONDS = 10
MARK = "CLOUDJHUB_NOTEBOOK_RUN"
LOG_BYTES = 64 * 1024
JOURNAL_LINES = 60

# What is started: command (absolute program first), environment (dict), account (Account).
Launch = namedtuple("Launch", "command environment account")


def path(name):
    """A path under the run folder of this machine."""
    return under_root(RUN + "/" + name)


def make_folders(account):
    """The run folder: readable by root only, except for the account's own runtime folder."""
    make_folder(under_root(RUN), 0o711)  # the account has to pass through to its runtime folder
    make_folder(path("private"), 0o700)
    make_folder(path("runtime"), 0o700)
    account.own(path("runtime"))


def stored_environment():
    """The environment of the last start; empty if there was none."""
    try:
        with open(path("private/notebook.env"), encoding="utf-8") as file:
            return unquoted(file.read())
    except OSError:
        return {}


def here():
    """The kind of server this machine can have."""
    return Systemd() if Systemd.runs_here() else Background()


def _record():
    try:
        with open(path("private/notebook.json"), encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError):
        return {}


class Systemd:
    """A transient unit: survives the SSH session, logs to the journal, ends with its cgroup."""

    STATES = (
        "initializing",
        "starting",
        "running",
        "degraded",
        "maintenance",
        "stopping",
    )

    @classmethod
    def runs_here(cls):
        """Whether systemd is in charge; its exit code says other things too, its word does not."""
        try:
            return run(["systemctl", "is-system-running"])[1] in cls.STATES
        except Trouble:
            return False

    @staticmethod
    def arguments(launch):
        """The systemd-run command line; nothing of the environment is in it."""
        return [
            "systemd-run",
            "--quiet",
            "--no-ask-password",
            "--collect",
            "--unit=" + UNIT,
            "--description=Notebook server of cloudJHub",
            "--service-type=exec",
            "--uid=" + launch.account.name,
            "--property=EnvironmentFile=" + path("private/notebook.env"),
            "--property=WorkingDirectory=" + launch.account.home,
            "--property=KillMode=control-group",
            f"--property=TimeoutStopSec={UNIT_STOP_SECONDS}",
            "--",
        ] + [word.replace("$", "$$") for word in launch.command]  # systemd expands $NAME there

    def start(self, launch):
        write_private(path("private/notebook.env"), file_text(launch.environment))
        write_private(path("private/notebook.json"), json.dumps({"since": int(time.time())}))
        code, out, words = run(self.arguments(launch))
        if code != 0:
            raise Trouble(f"systemd did not start the notebook server: {words or out}")

    def pid(self):
        _, out, _ = run(["systemctl", "show", UNIT, "--property=ActiveState,MainPID"])
        shown = dict(line.split("=", 1) for line in out.splitlines() if "=" in line)
        pid = int(shown.get("MainPID") or 0)
        return pid if pid and shown.get("ActiveState") in ("active", "activating") else None

    def stop(self):
        # Not loaded (exit code 5) is as good as stopped.
        code, _, words = run(["systemctl", "stop", UNIT + ".service"], UNIT_STOP_SECONDS + 20)
        if code not in (0, 5):
            raise Trouble(f"systemd did not stop the notebook server: {words}")
        run(["systemctl", "reset-failed", UNIT + ".service"])

    def last_words(self):
        command = [
            "journalctl",
            "--no-pager",
            "--output=cat",
            f"--lines={JOURNAL_LINES}",
        ]
        since = _record().get("since", 0)
        return run([*command, "--unit=" + UNIT, f"--since=@{since}"])[1]


class Background:
    """A process in a session of its own, known by pid, start time and a mark in its environment."""

    def start(self, launch):
        mark = uuid.uuid4().hex
        environment = dict(launch.environment, **{MARK: mark})
        write_private(path("private/notebook.env"), file_text(environment))
        write_private(path("notebook.log"), "")
        # Grows as long as the server runs: the price of a machine without systemd and its journal.
        with open(path("notebook.log"), "ab") as log:
            process = subprocess.Popen(
                ["runuser", "-u", launch.account.name, "--", *launch.command],
                env=environment,
                cwd=launch.account.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        record = {
            "pid": process.pid,
            "start_time": processes.start_time(process.pid),
            "boot_id": processes.boot_id(),
            "mark": mark,
        }
        write_private(path("private/notebook.json"), json.dumps(record))

    def pid(self):
        """The recorded process, unless its number belongs to another by now."""
        record = _record()
        if record.get("start_time") is None or record.get("boot_id") != processes.boot_id():
            return None
        same = processes.start_time(record["pid"]) == record["start_time"]
        return record["pid"] if same else None

    def stop(self):
        mark = _record().get("mark")
        if mark and not processes.end_family(self.pid(), f"{MARK}={mark}".encode()):
            raise Trouble("The earlier notebook server could not be ended, not even with SIGKILL.")

    def last_words(self):
        try:
            with open(path("notebook.log"), "rb") as log:
                log.seek(0, os.SEEK_END)
                log.seek(max(0, log.tell() - LOG_BYTES))
                return log.read().decode("utf-8", "replace")
        except OSError:
            return ""
