"""What the helper would answer on a stand-in. Nothing that is sent there is executed."""

import errno
import hashlib
import json
from typing import TYPE_CHECKING, Any

from cloudjhub.local.machines.standins.records import RunningServer
from cloudjhub.worker.notebook_helper import MARKER

if TYPE_CHECKING:
    from cloudjhub.local.machines.standins.guest import Guest

#: What the helper's command line begins with; see cloudjhub.notebook.command_line.
COMMAND = "sudo -n python3 "
PID = 1000


def answer(guest: "Guest", command: str, stdin: bytes) -> tuple[str, int]:
    """What is printed, and the exit code."""
    if not command.startswith(COMMAND):
        return f"A stand-in knows only the notebook helper, not: {command[:200]}\n", 127
    return f"\n{MARKER}{json.dumps(answer_to(guest, request_of(stdin)))}\n", 0


def request_of(stdin: bytes) -> dict[str, Any]:
    """The request after the helper's sources, which come as "<bytes>\\n<sources>"."""
    size, _, rest = stdin.partition(b"\n")
    return json.loads(rest[int(size) :])


def answer_to(guest: "Guest", request: dict[str, Any]) -> dict[str, Any]:
    """As ``cloudjhub.worker.notebook_helper.answer_to`` has it."""
    verbs = {"start": _start, "status": _status, "stop": _stop}
    return verbs[request["verb"]](guest, request)


def _start(guest: "Guest", request: dict[str, Any]) -> dict[str, Any]:
    environment, volume_id = request["environment"], request.get("home_volume_id")
    user = environment.get("JUPYTERHUB_USER", "")
    guest.stop_server()
    if volume_id is not None and volume_id not in guest.volumes and guest.mounted is None:
        return _failure(f"The home volume {volume_id} did not appear on the machine.")
    home = "root-disk" if volume_id is None else guest.mount(volume_id, user)
    server = RunningServer(
        user=user,
        server=environment.get("JUPYTERHUB_SERVER_NAME", ""),
        token_sha256=hashlib.sha256(
            environment.get("JUPYTERHUB_API_TOKEN", "").encode()
        ).hexdigest(),
        port=request["port"],
        home_volume_id=guest.mounted,
    )
    try:
        guest.start_server(server)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return _failure(f"Port {server.port} of the machine is taken by another program.")
        return _failure(f"The machine refuses an operation: {error.strerror}.")
    return {**_state(guest), "home": home}


def _status(guest: "Guest", request: dict[str, Any]) -> dict[str, Any]:
    return _state(guest)


def _stop(guest: "Guest", request: dict[str, Any]) -> dict[str, Any]:
    guest.stop_server()
    return _state(guest)


def _state(guest: "Guest") -> dict[str, Any]:
    return {
        "ok": True,
        "running": guest.running is not None,
        "pid": PID if guest.running else None,
        "log_tail": "",
        "home": "already" if guest.mounted else "root-disk",
        "seconds": {},
    }


def _failure(sentence: str) -> dict[str, Any]:
    return {"ok": False, "error": sentence, "log_tail": ""}
