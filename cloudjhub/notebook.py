"""Start, look at and stop the notebook server of a machine, over one SSH session.

The helper in ``cloudjhub/worker`` travels with every request; nothing is installed on the
machine and nothing secret stands in a command line.
"""

import base64
import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from cloudjhub.errors import NotebookError
from cloudjhub.remote import Session
from cloudjhub.remote_values import Output
from cloudjhub.watch_archive import watch_archive
from cloudjhub.worker.home_disk import LONG_STEP_SECONDS
from cloudjhub.worker.notebook_helper import MARKER, REQUEST_SECONDS

# The helper keeps its own time and answers when it is up. The hub waits a little longer, for the
# way there and back and for Python's start; that it has to is the sign of a machine that hangs.
MARGIN_SECONDS = 10.0
START_SECONDS = REQUEST_SECONDS["start"] + LONG_STEP_SECONDS + MARGIN_SECONDS
STATUS_SECONDS = REQUEST_SECONDS["status"] + MARGIN_SECONDS
RESUME_SECONDS = REQUEST_SECONDS["resume"] + MARGIN_SECONDS
STOP_SECONDS = REQUEST_SECONDS["stop"] + MARGIN_SECONDS

# The types of an answer's fields, as JSON has them.
_STATE_SHAPE = {
    "running": (bool,),
    "pid": (int, type(None)),
    "log_tail": (str,),
    "home": (str,),
    "seconds": (dict,),
}
_FAILURE_SHAPE = {"error": (str,), "log_tail": (str,)}

# What has changed since a server was started makes it useless if it stands here.
_MUST_BE_AS_BEFORE = (
    "JUPYTERHUB_API_URL",
    "JUPYTERHUB_BASE_URL",
    "JUPYTERHUB_CLIENT_ID",
    "JUPYTERHUB_HOST",
    "JUPYTERHUB_OAUTH_CALLBACK_URL",
    "JUPYTERHUB_PUBLIC_HUB_URL",
    "JUPYTERHUB_PUBLIC_URL",
    "JUPYTERHUB_SERVER_NAME",
    "JUPYTERHUB_SERVICE_PREFIX",
    "JUPYTERHUB_SERVICE_URL",
    "JUPYTERHUB_USER",
)

# In the order of their imports.
HELPER_MODULES = (
    "machine",
    "environment",
    "extension",
    "home_disk",
    "processes",
    "servers",
    "watch_install",
    "notebook_helper",
)

# Reads the helper's modules from stdin as "<bytes>\n{name: source}", makes a package of them
# in memory and leaves the rest of stdin, the request, to it.
BOOTSTRAP = (
    "import sys,json,types;r=sys.stdin.buffer;"
    "s=json.loads(r.read(int(r.readline())));"
    'p="cloudjhub_worker";k=types.ModuleType(p);k.__path__=[];sys.modules[p]=k\n'
    "for n,t in s.items():\n"
    ' m=types.ModuleType(p+"."+n);m.__package__=p;sys.modules[m.__name__]=m;setattr(k,n,m)\n'
    ' exec(compile(t,n+".py","exec"),m.__dict__)\n'
    "m.main()"
)


@dataclass(frozen=True)
class Watch:
    """When a machine that no hub looks after powers itself off; see ``cloudjhub.worker.patience``.

    ``limit_seconds`` 0 is never; ``grace_seconds`` is what a machine has at least.
    """

    limit_seconds: int
    grace_seconds: int
    busy_cpu_percent: int
    busy_gpu_percent: int
    busy_minutes: int


@dataclass(frozen=True)
class NotebookPlan:
    """What is to run.

    ``environment`` comes on top of PATH, language and time zone of the machine; HOME, USER,
    LOGNAME, SHELL and JUPYTER_RUNTIME_DIR are set on the machine. The server is expected to
    listen on ``port`` of the address in JUPYTERHUB_SERVICE_URL. ``home_volume_id`` None =
    the home is on the root disk. ``watch`` None = nothing is changed about the machine's.
    """

    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    account: str
    port: int
    home_volume_id: str | None
    watch: Watch | None = None


@dataclass(frozen=True)
class NotebookState:
    """The server as its machine sees it.

    ``home`` is "mounted", "formatted" (mounted for the first time), "already" (was mounted)
    or "root-disk"; ``seconds`` says where the time of a start went, by step.
    """

    running: bool
    pid: int | None
    log_tail: str
    home: str
    seconds: dict[str, float]


def start(
    session: Session, plan: NotebookPlan, *, timeout_seconds: float = START_SECONDS
) -> NotebookState:
    """Start the server; an earlier one of ours is ended first.

    Returns once the process lives, before it answers HTTP. Raises NotebookError with the
    server's last words, MachineNotAnswering.
    """
    request = {**asdict(plan), "environment": dict(plan.environment), "verb": "start"}
    request["extension"] = extension_files()
    request["watch"] = plan.watch and {
        **asdict(plan.watch),
        "hub_url": plan.environment.get("JUPYTERHUB_API_URL", ""),
        "archive": base64.b64encode(watch_archive()).decode(),
    }
    return _ask(session, request, timeout_seconds)


def status(session: Session, *, account: str | None = None) -> NotebookState:
    """Whether the server runs, and its last words. Without the account ``home`` is not known."""
    return _ask(session, {"verb": "status", "account": account}, STATUS_SECONDS)


def resume(session: Session, plan: NotebookPlan) -> str | None:
    """The token of a server that was started before and serves the plan; None if none does.

    What runs is left alone. A machine may show any token: whose it is must be looked at.
    """
    must_be = {name: plan.environment.get(name, "") for name in _MUST_BE_AS_BEFORE}
    request = {"verb": "resume", "account": plan.account, "environment": must_be}
    try:
        answer = _answer(session, request, RESUME_SECONDS)
    except NotebookError as error:
        # Its own words, which might hold the token, go no further.
        raise NotebookError(error.message) from None
    home_is_there = plan.home_volume_id is None or answer["home"] == "already"
    token = answer.get("token")
    return token if answer["running"] and home_is_there and isinstance(token, str) else None


def stop(session: Session) -> None:
    """End the server and everything it started; fine if there is none."""
    _ask(session, {"verb": "stop"}, STOP_SECONDS)


def command_line() -> str:
    """The one command that is run on the machine, the same for every request and user."""
    return f"sudo -n python3 -I -c {shlex.quote(BOOTSTRAP)}"


@cache
def helper_bytes() -> bytes:
    """The helper as the bootstrap reads it."""
    folder = resources.files("cloudjhub.worker")
    sources = {name: (folder / f"{name}.py").read_text("utf-8") for name in HELPER_MODULES}
    payload = json.dumps(sources).encode()
    return b"%d\n%s" % (len(payload), payload)


@cache
def extension_files() -> dict[str, str]:
    """Our part of the notebook's Jupyter Server, as ``cloudjhub.worker.extension`` takes it."""
    folder = resources.files("cloudjhub.worker.idle")
    python = [each for each in folder.iterdir() if each.name.endswith(".py")]
    pages = ("package.json", "static/remoteEntry.js")
    return {f"python/{each.name}": each.read_text("utf-8") for each in python} | {
        f"page/{name}": (folder / "page" / name).read_text("utf-8") for name in pages
    }


def _ask(session: Session, request: Mapping[str, Any], timeout_seconds: float) -> NotebookState:
    answer = _answer(session, request, timeout_seconds)
    return NotebookState(**{name: answer[name] for name in NotebookState.__dataclass_fields__})


def _answer(session: Session, request: Mapping[str, Any], timeout_seconds: float) -> dict[str, Any]:
    stdin = helper_bytes() + json.dumps(request).encode()
    output = session.run(command_line(), stdin=stdin, timeout_seconds=timeout_seconds)
    answer = parse_answer(output)
    if not answer["ok"]:
        raise NotebookError(answer["error"], log_tail=answer["log_tail"])
    return answer


def parse_answer(output: Output) -> dict[str, Any]:
    """The helper's answer out of everything that was printed.

    Either ``ok`` and the fields of NotebookState, or not ``ok``, ``error`` and ``log_tail``.
    NotebookError if there is no answer of such a shape.
    """
    sentence = None
    for line in reversed(output.text.splitlines()):
        _, marker, rest = line.partition(MARKER)
        if marker:
            try:
                answer = json.JSONDecoder().raw_decode(rest)[0]
            except (ValueError, RecursionError):
                continue
            if _is_well_formed(answer):
                return answer
            sentence = "The helper on the machine gave an answer that makes no sense."
    raise NotebookError(sentence or _why_no_answer(output), log_tail=output.text[-2000:])


def _is_well_formed(answer: Any) -> bool:
    if not isinstance(answer, dict) or not isinstance(answer.get("ok"), bool):
        return False
    shape = _STATE_SHAPE if answer["ok"] else _FAILURE_SHAPE
    return all(name in answer and type(answer[name]) in kinds for name, kinds in shape.items())


def _why_no_answer(output: Output) -> str:
    text = output.text
    if "password is required" in text or "may not run sudo" in text or "sudoers" in text:
        return "The control account of the worker AMI may not use sudo without a password."
    if "python3" in text and "not found" in text:
        return "The worker AMI lacks python3."
    if "sudo" in text and "not found" in text:
        return "The worker AMI lacks sudo."
    return f"The helper on the machine gave no answer (exit code {output.exit_code})."
