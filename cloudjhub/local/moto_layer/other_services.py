"""IAM, STS and Service Quotas over HTTP, authorized like EC2."""

import json
import logging
import time
import uuid
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from moto.moto_server.werkzeug_app import BackendRequest
from werkzeug.wrappers import Response

from cloudjhub.local.identity import access_key_of
from cloudjhub.local.moto_layer.iam import IamCalls, QuotaCalls, StsCalls
from cloudjhub.local.moto_layer.refusals import Refusal

if TYPE_CHECKING:
    from cloudjhub.local.engine import Engine

log = logging.getLogger(__name__)

_CLASSES: dict[str, type[Any]] = {"iam": IamCalls, "sts": StsCalls, "servicequotas": QuotaCalls}
SERVICES = frozenset(_CLASSES)
_JSON = "application/x-amz-json-1.1"


def answer(engine: "Engine", service: str, environ: dict[str, Any]) -> Response:
    """Answers one request, counts it and never raises."""
    started = time.monotonic()
    calls = _CLASSES[service]()
    calls.engine = engine
    action, code = "unknown", ""
    try:
        request = BackendRequest(environ)
        calls.setup_class(request)
        action = calls._get_action()
        engine.faults.before(action)
        with engine.lock:
            engine.authorization.check(
                service,
                action,
                _parameters(calls, service),
                access_key_id=access_key_of(environ.get("HTTP_AUTHORIZATION", "")),
                source_ip=environ.get("REMOTE_ADDR", ""),
            )
            status, headers, body = calls.call_action()
            engine.changed()
        response = Response(body, status, content_type=_content_type(service, headers))
    except Refusal as refusal:
        code, response = refusal.code, _refused(service, refusal)
    except Exception:
        log.exception("local AWS: %s %s failed", service, action)
        refusal = Refusal("InternalFailure", "An internal error has occurred", status=500)
        code, response = refusal.code, _refused(service, refusal)
    outcome = "error" if response.status_code >= 400 else "ok"
    engine.calls.add(action, outcome, code=code, seconds=time.monotonic() - started)
    return response


def _parameters(calls: Any, service: str) -> dict[str, Any]:
    return json.loads(calls.body or "{}") if service == "servicequotas" else calls.params


def _content_type(service: str, headers: dict[str, Any]) -> str:
    given = {name.lower(): str(value) for name, value in headers.items()}
    return given.get("content-type", _JSON if service == "servicequotas" else "text/xml")


def _refused(service: str, refusal: Refusal) -> Response:
    if service == "servicequotas":
        text = json.dumps({"__type": _json_code(refusal.code), "message": refusal.message})
        return Response(text, min(refusal.status, 400), content_type=_JSON)
    text = (
        "<ErrorResponse><Error><Type>Sender</Type>"
        f"<Code>{escape(refusal.code)}</Code><Message>{escape(refusal.message)}</Message>"
        f"</Error><RequestId>{uuid.uuid4()}</RequestId></ErrorResponse>"
    )
    return Response(text, refusal.status, content_type="text/xml")


def _json_code(code: str) -> str:
    """Services that speak JSON call these two otherwise."""
    names = {"AccessDenied": "AccessDeniedException"}
    return names.get(code, {"InvalidClientTokenId": "UnrecognizedClientException"}.get(code, code))
