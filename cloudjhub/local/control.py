"""The control surface over HTTP, beside the API: ``/_local/...``, JSON in and out.

::

    GET    /_local                    which machines, which state folder
    GET    /_local/calls              counts by action
    GET    /_local/calls/log          the latest calls
    GET    /_local/calls/authorized   the latest calls as IAM decided them
    POST   /_local/calls/reset
    GET    /_local/faults             what is ordered
    POST   /_local/faults/NAME        orders one; the body holds the arguments of Faults.NAME
    DELETE /_local/faults             ends all of them
    GET    /_local/servers            of stand-ins: whose server runs on each
"""

import json
from typing import TYPE_CHECKING, Any

from werkzeug.wrappers import Request, Response

if TYPE_CHECKING:
    from cloudjhub.local.engine import Engine

PREFIX = "/_local"
FAULTS = (
    "slow",
    "hold",
    "let_go",
    "lag",
    "profile_lag",
    "hang",
    "release",
    "die",
    "unreachable",
    "throttle",
    "capacity",
    "vcpu_quota",
    "address_quota",
    "refuse",
    "lose",
)


def respond(engine: "Engine", request: Request) -> Response:
    """Answers 200 with JSON, or 400/404 with ``{"error": sentence}``."""
    what = (request.method, request.path.removeprefix(PREFIX).strip("/"))
    try:
        return _json(_perform(engine, request, *what))
    except LookupError as error:
        return _json({"error": f"no such thing: {error}"}, 404)
    except (TypeError, ValueError) as error:
        return _json({"error": str(error)}, 400)


def _perform(engine: "Engine", request: Request, method: str, path: str) -> Any:
    faults = engine.faults
    if (method, path) == ("GET", ""):
        return {"machines": engine.machines.kind.variant, "state_dir": str(engine.state_dir)}
    if (method, path) == ("GET", "calls"):
        return engine.calls.counts()
    if (method, path) == ("GET", "calls/log"):
        return engine.calls.log()
    if (method, path) == ("GET", "calls/authorized"):
        return [call.as_dict() for call in engine.authorization.calls()]
    if (method, path) == ("POST", "calls/reset"):
        engine.authorization.reset()
        return engine.calls.reset()
    if (method, path) == ("GET", "servers") and engine.machines.kind.standins:
        return engine.machines.kind.standins.order("records")
    if (method, path) == ("GET", "faults"):
        return faults.as_dict()
    if (method, path) == ("DELETE", "faults"):
        return faults.clear()
    name = path.removeprefix("faults/")
    if method == "POST" and name in FAULTS:
        arguments = json.loads(request.get_data() or b"{}")
        return getattr(faults, name)(**arguments)
    raise LookupError(f"{method} {PREFIX}/{path}")


def _json(content: Any, status: int = 200) -> Response:
    return Response(json.dumps(content), status, content_type="application/json")
