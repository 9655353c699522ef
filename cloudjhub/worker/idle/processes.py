"""The processes of this machine: processor time, programs in terminals, SSH sessions."""

import os
import re
import time
from collections import namedtuple

# Machines that share a computer and its /proc (plain ones of the local EC2) mark their processes.
MARK = "LOCALEC2_ID"
SHELLS = {"sh", "bash", "dash", "zsh", "fish", "ksh", "mksh", "tcsh", "csh", "ash", "su", "sudo"}
# OpenSSH says who is logged in where in its title: "sshd: ada@pts/0", "sshd-session: ada@notty".
SESSION = re.compile(rb"sshd(?:-session)?: ([^@\s]+)@([^\s\0]+)")
# The hub's own visits, each with one command, do not last as long.
SESSION_SECONDS = 120.0
# Nobody's time: stopped by Ctrl-Z or a debugger, ended and not waited for.
AT_REST = frozenset((b"T", b"t", b"Z", b"X"))

_TICKS = os.sysconf("SC_CLK_TCK")

# state: a letter of proc(5); used: seconds of processor time, with those of children that ended.
Process = namedtuple("Process", "pid parent name state used age")


def parsed(pid, line, uptime):
    """A Process out of /proc/PID/stat (bytes)."""
    head, _, tail = line.rpartition(b")")
    fields = tail.split()
    used = sum(int(field) for field in fields[11:15]) / _TICKS
    age = uptime - int(fields[19]) / _TICKS
    name = head.partition(b"(")[2].decode("utf-8", "replace")
    return Process(pid, int(fields[1]), name, fields[0], used, age)


class Processes:
    """What one walk through /proc after the other says; each ``look`` is a walk."""

    def __init__(self, mark=None, proc="/proc"):
        self._mark = mark.encode() if mark else None
        self._proc = proc
        self._ours = {}
        self._found = {}
        self._children = {}
        self._clock = None
        self._sum = 0.0
        self.cpu_seconds = None

    def look(self):
        """Read the processes anew."""
        uptime = float(self._read("uptime").split()[0])
        pids = {int(name) for name in os.listdir(self._proc) if name.isdigit()}
        self._ours = {pid: ours for pid, ours in self._ours.items() if pid in pids}
        found = {}
        for pid in pids:
            process = self._process(pid, uptime)
            if process is not None:
                found[pid] = process
        self._found = found
        self._add_logins(uptime)
        self._children = {}
        for process in found.values():
            self._children.setdefault(process.parent, []).append(process)
        self._count(sum(process.used for process in found.values()))

    def programs(self, shell):
        """Names of what runs under a terminal's shell, shells that wait for nothing left out."""
        names = []
        waiting = list(self._children.get(shell, ()))
        while waiting:
            process = waiting.pop()
            below = self._children.get(process.pid, ())
            waiting.extend(below)
            if process.state not in AT_REST and process.name not in SHELLS:
                names.append(process.name)
        return names

    def sessions(self, own_account, at_least_seconds=SESSION_SECONDS):
        """Who is logged in by SSH: everybody at a terminal, without one only the own account.

        Sessions that are younger are left out.
        """
        names = []
        for process in self._found.values():
            if not process.name.startswith("sshd") or process.age < at_least_seconds:
                continue
            title = SESSION.match(self._read(f"{process.pid}/cmdline"))
            if title:
                who, where = (word.decode("utf-8", "replace") for word in title.groups())
                if where != "notty" or who == own_account:
                    names.append(who)
        return names

    def _count(self, total):
        """Add to the counter no more than all processors could do since the last look.

        A process that ends between two reads would else be missed once and come back as a leap.
        """
        clock = time.monotonic()
        if self._clock is None:
            self.cpu_seconds = 0.0
        else:
            most = (clock - self._clock) * (os.cpu_count() or 1)
            self.cpu_seconds += min(max(0.0, total - self._sum), most)
        self._clock, self._sum = clock, total

    def _add_logins(self, uptime):
        """sshd writes its title where the mark stood; it is known by what it has started."""
        if self._mark:
            for pid in {each.parent for each in self._found.values()} - set(self._found):
                line = self._read(f"{pid}/stat")
                if line and parsed(pid, line, uptime).name.startswith("sshd"):
                    self._found[pid] = parsed(pid, line, uptime)

    def _process(self, pid, uptime):
        if self._mark and not self._is_ours(pid):
            return None
        line = self._read(f"{pid}/stat")
        return parsed(pid, line, uptime) if line else None

    def _is_ours(self, pid):
        if pid not in self._ours:
            environment = self._read(f"{pid}/environ")
            if not environment:  # of somebody else, or about to become another program
                return False
            self._ours[pid] = self._mark in environment.split(b"\0")
        return self._ours[pid]

    def _read(self, name):
        try:
            with open(os.path.join(self._proc, name), "rb") as file:
                return file.read()
        except OSError:
            return b""


def here():
    """The processes of the machine that this program runs on."""
    shared = os.environ.get("CLOUDJHUB_ROOT") and os.environ.get(MARK)
    return Processes(f"{MARK}={shared}" if shared else None)
