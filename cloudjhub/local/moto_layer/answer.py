"""One EC2 request from its arrival to its answer: faults, limits, the call itself, the count."""

import logging
import re
import time
from typing import TYPE_CHECKING, Any

from werkzeug.wrappers import Response

from cloudjhub.local.identity import access_key_of
from cloudjhub.local.moto_layer import refusals
from cloudjhub.local.moto_layer.addresses import AddressCalls
from cloudjhub.local.moto_layer.attributes import AttributeCalls
from cloudjhub.local.moto_layer.groups import GroupCalls
from cloudjhub.local.moto_layer.images import ImageCalls
from cloudjhub.local.moto_layer.launches import LaunchCalls
from cloudjhub.local.moto_layer.listings import ListingCalls
from cloudjhub.local.moto_layer.power import PowerCalls
from cloudjhub.local.moto_layer.refusals import Refusal
from cloudjhub.local.moto_layer.rendering import COMPARED_ACTIONS
from cloudjhub.local.moto_layer.volumes import VolumeCalls

if TYPE_CHECKING:
    from cloudjhub.local.engine import Engine

log = logging.getLogger(__name__)
_CODE = re.compile(rb"<Code>([^<]+)</Code>")


class LocalResponse(
    LaunchCalls,
    PowerCalls,
    VolumeCalls,
    ListingCalls,
    AttributeCalls,
    AddressCalls,
    ImageCalls,
    GroupCalls,
):
    """moto's EC2 with our calls in front of its own."""

    def __init__(self, engine: "Engine"):
        super().__init__()
        self.engine = engine

    def answer(self, request: Any) -> Response:
        """Answers one request and counts it. ConnectionAbortedError: nobody gets the answer."""
        started = time.monotonic()
        action = "unknown"
        try:
            self.setup_class(request)
            action = self._get_action()
            self._admit(action)
            self._authorize(action, request)
            status, headers, body = self._perform(action)
        except Refusal as refusal:
            status, headers = refusal.status, {}
            body = refusals.error_xml(refusal.code, refusal.message)
        except NotImplementedError as error:
            status, headers = 400, {}
            body = refusals.error_xml("UnsupportedOperation", f"Not in the local EC2: {error}")
        except Exception:
            log.exception("local EC2: %s failed", action)
            status, headers, body = 500, {}, _internal_error()
        return self._answered(action, started, Response(body, status, _plain(headers)))

    def _admit(self, action: str) -> None:
        if self.region != self.engine.settings.region:
            raise Refusal(
                "AuthFailure",
                f"This local EC2 is region {self.engine.settings.region}; the request is for "
                f"{self.region}. Set AWS_DEFAULT_REGION.",
                status=401,
            )
        self.engine.faults.before(action, self.param("InstanceIds", []))
        narrowed = bool(self._filters_from_querystring() or self.param("MaxResults"))
        if not self.engine.faults.admit(action, narrowed=narrowed, instances=self._touched(action)):
            raise refusals.throttled()

    def _authorize(self, action: str, request: Any) -> None:
        with self.engine.lock:
            self.engine.authorization.check(
                "ec2",
                action,
                self.params,
                access_key_id=access_key_of(self.headers.get("Authorization", "")),
                source_ip=request.environ.get("REMOTE_ADDR", ""),
            )

    def _touched(self, action: str) -> int:
        if action == "RunInstances":
            return int(self.param("MaxCount", 1))
        return len(self.param("InstanceIds", [])) if action.endswith("Instances") else 0

    def _perform(self, action: str) -> tuple[int, dict[str, Any], Any]:
        with self.engine.lock:
            try:
                return self.call_action()
            finally:
                if not action.startswith(("Describe", "Get")):
                    self.engine.changed()
                    if action not in COMPARED_ACTIONS:
                        self.engine.pieces.void()

    def _answered(self, action: str, started: float, response: Response) -> Response:
        failed = response.status_code >= 400
        code = _CODE.search(response.get_data()) if failed else None
        text = code.group(1).decode() if code else ""
        outcome = "error" if failed else "ok"
        if text == "RequestLimitExceeded":
            outcome = "throttled"
        seconds = time.monotonic() - started
        self.engine.calls.add(action, outcome, code=text, seconds=seconds)
        if self.engine.faults.loses(action):
            raise ConnectionAbortedError(f"The answer of {action} is lost.")
        return response


def _plain(headers: dict[str, Any]) -> dict[str, str]:
    kept = {name: str(value) for name, value in headers.items() if name.lower() != "status"}
    return {"Content-Type": "text/xml;charset=UTF-8", **kept}


def _internal_error() -> bytes:
    refusal = refusals.internal()
    return refusals.error_xml(refusal.code, refusal.message)
