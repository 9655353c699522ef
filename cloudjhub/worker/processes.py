"""Processes by what they are, not by a number alone: start times, marks, whole families."""

import os
import signal
import time
from contextlib import suppress

TERMINATE_SECONDS = 5.0
KILL_SECONDS = 5.0


def boot_id():
    """Changes with every boot of the kernel, so that start times compare."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def _stat(pid):
    """The fields of /proc/PID/stat after the name: state first, then the parent's pid."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return None


def start_time(pid):
    """When a process started, in clock ticks since boot; None if it is gone or a zombie."""
    fields = _stat(pid)
    if fields is None or fields[0] in (b"Z", b"X"):
        return None
    return int(fields[19])  # field 22 of proc(5)


def family(leader, mark):
    """The living processes of a server, as {pid: start time}: all that descend from the
    leader or carry the mark.

    Kernels and terminals are in sessions of their own, and whatever outlives its parent no
    longer descends from it: the mark in the environment (bytes NAME=VALUE) finds those.
    """
    parents, starts = {}, {}
    for pid in _all_pids():
        fields = _stat(pid)
        if fields is not None and fields[0] not in (b"Z", b"X"):
            parents[pid], starts[pid] = int(fields[1]), int(fields[19])
    members = {pid for pid in parents if pid == leader or mark in _environment(pid)}
    children = members
    while children:
        children = {pid for pid, parent in parents.items() if parent in members} - members
        members = members | children
    return {pid: starts[pid] for pid in members - {os.getpid()}}


def end_family(leader, mark):
    """End a whole family: SIGTERM, then SIGKILL to what is left. True once all are gone."""
    members = family(leader, mark)
    # runuser ends with its child; told to end, it kills the child after 2 s (su-common.c).
    _signal({pid for pid in members if _name(pid) != "runuser"}, signal.SIGTERM)
    if _gone(members, mark, TERMINATE_SECONDS):
        return True
    deadline = time.monotonic() + KILL_SECONDS
    while time.monotonic() < deadline:
        _signal(_alive(members, mark), signal.SIGKILL)
        if _gone(members, mark, 0.2):
            return True
    return False


def _all_pids():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _name(pid):
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read().strip()
    except OSError:
        return ""


def _environment(pid):
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return file.read().split(b"\0")
    except OSError:
        return []


def _alive(members, mark):
    """Those of the members that still run, and any that were born meanwhile."""
    return {pid for pid, start in members.items() if start_time(pid) == start} | set(
        family(None, mark)
    )


def _gone(members, mark, seconds):
    deadline = time.monotonic() + seconds
    while _alive(members, mark):
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.05)
    return True


def _signal(pids, number):
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
