"""start, status, resume and stop of the notebook server, as root on the machine.

Reads one JSON request from stdin, writes one line: MARKER and a JSON answer. What login
shells, sudo or profile files print around it does not matter.
"""

import errno
import json
import os
import socket
import sys
import time
import traceback
from contextlib import contextmanager
from urllib.parse import urlsplit

from . import extension, servers, watch_install
from .environment import find_program, notebook_environment, redacted
from .home_disk import ensure_home, is_mounted
from .machine import Account, Trouble, allowance, disk_trouble, lock_now, make_folder, under_root

MARKER = "cloudjhub-answer:"
# What all waits and commands of a request have together; a long step on the home disk adds its
# own (home_disk.LONG_STEP_SECONDS).
REQUEST_SECONDS = {"start": 45.0, "status": 15.0, "resume": 15.0, "stop": 40.0}
TAIL_BYTES = 6000
WATCH_SECONDS = 0.3
LOCK_SECONDS = 30.0
PORT_SECONDS = 1.0


def main():
    """Answer the request on stdin."""
    request = json.loads(sys.stdin.buffer.read().decode("utf-8"))
    answer = answer_to(request)
    text = json.dumps(answer, ensure_ascii=True)
    sys.stdout.write(f"\n{MARKER}{text}\n")
    sys.stdout.flush()


def answer_to(request):
    """The answer as a dict; every failure is an answer too."""
    environment = request.get("environment", {})
    try:
        allowance.begin(REQUEST_SECONDS[request["verb"]])
        with _alone():
            verb = VERBS[request["verb"]]
            return dict(verb(request), ok=True)
    except Trouble as trouble:
        return _failure(str(trouble), environment)
    except OSError as error:
        return _failure(str(disk_trouble(error)), environment)
    except Exception as error:  # the outermost loop; the hub must hear of it
        words = traceback.format_exc()
        return _failure(f"The helper failed: {type(error).__name__}.", environment, words)


def start(request):
    """Home, then an end to any earlier server of ours, then the new one."""
    seconds = {}
    account = Account(request["account"])
    server = servers.here()
    with _measured(seconds, "prepare"):
        servers.make_folders(account)
        environment = notebook_environment(request["environment"], account, servers.path("runtime"))
        command = _command(request["command"], environment["PATH"])
    with _measured(seconds, "stop"):
        server.stop()
    with _measured(seconds, "extension"):
        without = extension.install(request.get("extension"), environment)
    with _measured(seconds, "home"):
        home = ensure_home(account, request.get("home_volume_id"))
    with _measured(seconds, "launch"):
        _check_port(environment, request["port"])
        server.start(servers.Launch(command, environment, account))
        until = time.monotonic() + WATCH_SECONDS
        unwatched = watch_install.ensure(request.get("watch"), server, account)
        pid = _watch(server, until)
    return {
        "running": True,
        "pid": pid,
        "log_tail": "\n".join(filter(None, (without, unwatched))),
        "home": home,
        "seconds": seconds,
    }


def status(request):
    """Whether our server runs, and its last words."""
    server = servers.here()
    pid = server.pid()
    return {
        "running": pid is not None,
        "pid": pid,
        "log_tail": _tail(server, {}),
        "home": _home_now(request),
        "seconds": {},
    }


def resume(request):
    """Whether our server of before runs on in an environment that is good now; then its token."""
    state = status(request)
    before = servers.stored_environment()
    good = all(before.get(name, "") == value for name, value in request["environment"].items())
    if not (state["running"] and good):
        return dict(state, running=False, token="")
    return dict(state, token=before.get("JUPYTERHUB_API_TOKEN", ""))


def stop(request):
    """End our server and all that it started; fine if there is none."""
    servers.here().stop()
    return dict(status(request), running=False, pid=None)


VERBS = {"start": start, "status": status, "resume": resume, "stop": stop}


def _home_now(request):
    account = request.get("account")
    home = under_root("/home/" + account) if account else ""
    return "already" if home and is_mounted(home) else "root-disk"


def _command(words, path):
    return [find_program(words[0], path), *words[1:]]


def _watch(server, deadline):
    """The pid of the new server; Trouble if it dies while we look."""
    while True:
        pid = server.pid()
        if pid is None:
            raise Trouble("The notebook server ended as soon as it was started.")
        if time.monotonic() >= deadline:
            return pid
        time.sleep(0.03)


def _check_port(environment, port):
    """Trouble if something else listens where the server is going to."""
    host = urlsplit(environment.get("JUPYTERHUB_SERVICE_URL", "")).hostname or "0.0.0.0"
    deadline = time.monotonic() + PORT_SECONDS
    while _port_taken(host, port):
        if time.monotonic() >= deadline:
            raise Trouble(f"Port {port} of the machine is taken by another program.")
        time.sleep(0.05)


def _port_taken(host, port):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE  # anything else the server says better
    return False


def _failure(sentence, environment, words=None):
    try:
        tail = _tail(servers.here(), environment) if words is None else words
    except (Trouble, OSError):
        tail = ""
    return {
        "ok": False,
        "error": redacted(sentence, environment),
        "log_tail": redacted(tail, environment),
    }


def _tail(server, environment):
    """The end of the log in whole lines, without secrets."""
    text = redacted(server.last_words(), servers.stored_environment())
    text = redacted(text, environment)
    if len(text) > TAIL_BYTES:
        text = text[-TAIL_BYTES:].partition("\n")[2]
    return text


@contextmanager
def _measured(seconds, name):
    begun = time.monotonic()
    try:
        yield
    finally:
        seconds[name] = round(time.monotonic() - begun, 3)


@contextmanager
def _alone():
    """One helper at a time on a machine, so that two starts do not meet."""
    make_folder(under_root(servers.RUN), 0o711)
    descriptor = os.open(servers.path("lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + allowance.of(LOCK_SECONDS)
        while not lock_now(descriptor):
            if time.monotonic() >= deadline:
                raise Trouble("Another start or stop on this machine does not come to an end.")
            time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)
