"""Whether policies allow a request: explicit deny, then allow, else no.

Identity-based policies of one account, which is what roles and users of a cluster have.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements.html
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from cloudjhub.policy.conditions import holds
from cloudjhub.policy.values import (
    Context,
    UnsupportedPolicy,
    condition_key,
    matches_resource,
    matches_wildcards,
    with_variables,
)

Document = Mapping[str, Any]

#: the only version in which ``${...}`` is a variable
VARIABLES_SINCE = "2012-10-17"
_VERSIONS = (VARIABLES_SINCE, "2008-10-17")
_ELEMENTS = {"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"}


@dataclass(frozen=True)
class Request:
    """One thing that is to be authorized: an action on a resource.

    ``resource`` is an ARN, or "*" where the action knows no resources. ``context`` holds the
    condition keys of the request, spelled in any case.
    """

    action: str
    resource: str
    context: Context = field(default_factory=dict)

    def __post_init__(self) -> None:
        lower = {condition_key(name): value for name, value in self.context.items()}
        object.__setattr__(self, "context", lower)


@dataclass(frozen=True)
class Decision:
    """``reason``: allowed, explicit (a Deny matched), implicit (nothing allowed it) or boundary
    (a policy allows it, and the permissions boundary does not)."""

    request: Request
    reason: Literal["allowed", "explicit", "implicit", "boundary"]
    #: Sid, or the number, of the statement that decided
    statement: str = ""

    @property
    def allowed(self) -> bool:
        return self.reason == "allowed"


def decide(policies: Iterable[Document], request: Request) -> Decision:
    """What the policies together say about one request.

    Raises UnsupportedPolicy where any of them cannot be evaluated as a whole.
    """
    matched = {"Allow": "", "Deny": ""}
    for policy in policies:
        variables = _has_variables(policy)
        for number, statement in enumerate(_listed(policy.get("Statement", []))):
            effect = _effect(statement)
            if _applies(statement, request, variables=variables):
                matched[effect] = matched[effect] or statement.get("Sid", f"#{number}")
    if matched["Deny"]:
        return Decision(request, "explicit", matched["Deny"])
    if matched["Allow"]:
        return Decision(request, "allowed", matched["Allow"])
    return Decision(request, "implicit")


def decide_all(policies: Iterable[Document], requests: Iterable[Request]) -> list[Decision]:
    """One decision for each; a call goes through where all are allowed."""
    documents = list(policies)
    return [decide(documents, request) for request in requests]


def within(boundary: Document, decisions: Iterable[Decision]) -> list[Decision]:
    """The decisions as a permissions boundary leaves them; it allows nothing by itself.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_boundaries.html
    """
    bounded = []
    for decision in decisions:
        inside = decide([boundary], decision.request)
        if inside.reason == "explicit":
            decision = inside
        elif decision.allowed and not inside.allowed:
            decision = Decision(decision.request, "boundary")
        bounded.append(decision)
    return bounded


def _has_variables(policy: Document) -> bool:
    version = policy.get("Version", "2008-10-17")
    if version not in _VERSIONS:
        raise UnsupportedPolicy(f"The policy version {version!r} is not known here.")
    return bool(version == VARIABLES_SINCE)


def _effect(statement: Mapping[str, Any]) -> str:
    if unknown := statement.keys() - _ELEMENTS:
        raise UnsupportedPolicy(f"The policy element {min(unknown)} is not known here.")
    effect = statement.get("Effect")
    if effect not in ("Allow", "Deny"):
        raise UnsupportedPolicy(f"A statement's Effect is Allow or Deny, not {effect!r}.")
    return str(effect)


def _applies(statement: Mapping[str, Any], request: Request, *, variables: bool) -> bool:
    # All three are looked at, so that a condition nobody can evaluate never goes unnoticed.
    action = _action_matches(statement, request.action)
    resource = _resource_matches(statement, request, variables=variables)
    condition = holds(statement.get("Condition", {}), request.context, variables=variables)
    return action and resource and condition


def _action_matches(statement: Mapping[str, Any], action: str) -> bool:
    name, patterns = _one_of(statement, "Action", "NotAction")
    found = any(matches_wildcards(p, action, ignore_case=True) for p in patterns)
    return found == (name == "Action")


def _resource_matches(statement: Mapping[str, Any], request: Request, *, variables: bool) -> bool:
    name, patterns = _one_of(statement, "Resource", "NotResource")
    filled = [with_variables(p, request.context) if variables else p for p in patterns]
    found = any(p is not None and matches_resource(p, request.resource) for p in filled)
    return found == (name == "Resource")


def _one_of(statement: Mapping[str, Any], name: str, negated: str) -> tuple[str, list[str]]:
    present = [element for element in (name, negated) if element in statement]
    if len(present) != 1:
        raise UnsupportedPolicy(f"A statement has either {name} or {negated}.")
    return present[0], _listed(statement[present[0]])


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
