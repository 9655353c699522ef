"""IAM as the local AWS enforces it: who calls, what their policies say, and what was asked.

The key "local" is the account's root and may do everything. Keys of a role, which the metadata
service gave to an instance, and of IAM users have the policies that IAM holds at that moment.
"""

import base64
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from cloudjhub.local.identity import Principal, principal_of, principal_of_arn
from cloudjhub.local.moto_layer.lookup import Resources
from cloudjhub.local.moto_layer.policies import boundary_of, policies_of
from cloudjhub.local.moto_layer.refusals import Refusal
from cloudjhub.policy import ec2_requests, iam_requests
from cloudjhub.policy.evaluate import Decision, Request, decide_all, within
from cloudjhub.policy.requests import Call, UnknownCall
from cloudjhub.policy.statements import Place
from cloudjhub.policy.values import UnsupportedPolicy

if TYPE_CHECKING:
    from cloudjhub.local.engine import Engine

LOG_ENTRIES = 20_000
REQUESTS: dict[str, Callable[[Call], list[Request]]] = {
    "ec2": ec2_requests.requests,
    "iam": iam_requests.iam,
    "sts": iam_requests.sts,
    "servicequotas": iam_requests.service_quotas,
}
_WHY = {
    "explicit": "with an explicit deny in an identity-based policy",
    "implicit": "because no identity-based policy allows the {action} action",
    "boundary": "because no permissions boundary allows the {action} action",
}


@dataclass(frozen=True)
class AuthorizedCall:
    """One call as it was decided. Root's are allowed unseen: ``decisions`` is empty."""

    at: float
    service: str
    action: str
    principal: str
    allowed: bool
    decisions: tuple[Decision, ...] = ()

    @property
    def resources(self) -> list[str]:
        """ARNs, each once."""
        return list(dict.fromkeys(decision.request.resource for decision in self.decisions))

    def as_dict(self) -> dict[str, Any]:
        """As JSON knows it; the condition keys of each request are left out."""
        plain = {k: v for k, v in asdict(self).items() if k != "decisions"}
        decided = [
            [decision.request.action, decision.request.resource, decision.reason]
            for decision in self.decisions
        ]
        return {**plain, "decisions": decided}


class Authorization:
    """Safe from any thread; :meth:`check` wants the engine's lock."""

    def __init__(self, engine: "Engine"):
        self._engine = engine
        self._lock = threading.Lock()
        self._calls: deque[AuthorizedCall] = deque(maxlen=LOG_ENTRIES)

    def calls(self) -> list[AuthorizedCall]:
        """The latest calls, oldest first."""
        with self._lock:
            return list(self._calls)

    def reset(self) -> None:
        with self._lock:
            self._calls.clear()

    def principal(self, access_key_id: str, service: str = "sts") -> Principal:
        """Refuses keys that are nobody's, as the service does."""
        found = principal_of(self._engine, access_key_id)
        if found is None:
            raise _unknown_key(service)
        return found

    def check(
        self,
        service: str,
        action: str,
        parameters: Mapping[str, Any],
        *,
        access_key_id: str,
        source_ip: str = "127.0.0.1",
    ) -> None:
        """Refuses a call that the caller's policies do not allow, with AWS's words."""
        principal = self.principal(access_key_id, service)
        if principal.is_root:
            self._record(service, action, principal, [])
            return
        try:
            decisions = self._decide(service, action, parameters, principal, source_ip)
        except (UnknownCall, UnsupportedPolicy) as error:
            raise Refusal("UnsupportedOperation", f"Not in the local AWS: {error}") from error
        self._record(service, action, principal, decisions)
        refused = next((decision for decision in decisions if not decision.allowed), None)
        if refused is not None:
            raise _denied(service, principal, refused)

    def _decide(
        self,
        service: str,
        action: str,
        parameters: Mapping[str, Any],
        principal: Principal,
        source_ip: str,
    ) -> list[Decision]:
        if service not in REQUESTS:
            raise UnknownCall(f"What AWS authorizes for {service}:{action} is not known here.")
        backend = self._engine.backend
        place = Place("", backend.account_id, self._engine.settings.region)
        call = Call(
            service,
            action,
            parameters,
            place,
            self._caller(principal, source_ip),
            Resources(backend, place),
        )
        return self._decided(principal, REQUESTS[service](call))

    def _decided(self, principal: Principal, requests: list[Request]) -> list[Decision]:
        iam = self._engine.backend.iam
        decisions = decide_all(policies_of(iam, principal), requests)
        boundary = boundary_of(iam, principal)
        return within(boundary, decisions) if boundary else decisions

    def simulate(self, arn: str, requests: list[Request]) -> list[Decision]:
        """What a user's or role's policies say of requests that nobody makes."""
        principal = principal_of_arn(self._engine, arn)
        if principal is None:
            raise Refusal("NoSuchEntity", f"The principal {arn} cannot be found.", status=404)
        try:
            return self._decided(principal, requests)
        except UnsupportedPolicy as error:
            raise Refusal("UnsupportedOperation", f"Not in the local AWS: {error}") from error

    def _caller(self, principal: Principal, source_ip: str) -> dict[str, str | tuple[str, ...]]:
        """The condition keys that all requests of this caller have."""
        now = datetime.now(timezone.utc)
        region, account = self._engine.settings.region, self._engine.backend.account_id
        keys: dict[str, str | tuple[str, ...]] = {
            "aws:CurrentTime": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "aws:EpochTime": str(int(now.timestamp())),
            "aws:PrincipalAccount": account,
            "aws:PrincipalArn": principal.policy_arn,
            "aws:PrincipalType": principal.kind,
            "aws:RequestedRegion": region,
            "aws:SecureTransport": "false",
            "aws:SourceIp": source_ip,
            "aws:userid": principal.user_id,
            "ec2:Region": region,
        }
        if principal.kind == "User":
            keys["aws:username"] = principal.name
        if principal.instance_id:
            where = f"arn:aws:ec2:{region}:{account}:instance/{principal.instance_id}"
            keys["ec2:SourceInstanceARN"] = where
        return keys

    def _record(
        self, service: str, action: str, principal: Principal, decisions: list[Decision]
    ) -> None:
        allowed = all(decision.allowed for decision in decisions)
        call = AuthorizedCall(
            time.time(), service, action, principal.arn, allowed, tuple(decisions)
        )
        with self._lock:
            self._calls.append(call)


def _unknown_key(service: str) -> Refusal:
    if service == "ec2":
        return Refusal(
            "AuthFailure",
            "AWS was not able to validate the provided access credentials",
            status=401,
        )
    return Refusal(
        "InvalidClientTokenId",
        "The security token included in the request is invalid.",
        status=403,
    )


def _denied(service: str, principal: Principal, decision: Decision) -> Refusal:
    request = decision.request
    on = "" if request.resource == "*" else f" on resource: {request.resource}"
    why = _WHY[decision.reason].format(action=request.action)
    text = f"User: {principal.arn} is not authorized to perform: {request.action}{on} {why}"
    if service != "ec2":
        return Refusal("AccessDenied", text, status=403)
    return Refusal(
        "UnauthorizedOperation",
        f"You are not authorized to perform this operation. {text}. "
        f"Encoded authorization failure message: {_encoded(principal, decision)}",
        status=403,
    )


def _encoded(principal: Principal, decision: Decision) -> str:
    """What sts:DecodeAuthorizationMessage gives back; AWS's is encrypted, ours only encoded."""
    said = {
        "allowed": False,
        "explicitDeny": decision.reason == "explicit",
        "context": {
            "principal": {"id": principal.user_id, "arn": principal.arn},
            "action": decision.request.action,
            "resource": decision.request.resource,
            "conditions": dict(decision.request.context),
        },
    }
    return base64.urlsafe_b64encode(json.dumps(said).encode()).decode()
