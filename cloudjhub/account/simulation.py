"""What somebody's policies say of calls that are not made: IAM's policy simulator.

https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cloudjhub.account.access import Identity
from cloudjhub.aws import Service
from cloudjhub.errors import EC2Error

#: condition keys of another service, which no call to IAM has
_ELSEWHERE = "ec2:"


@dataclass(frozen=True)
class Refusal:
    """An action that is not allowed as far as the simulator knows.

    ``depends_on``: condition keys of somebody's policies, such as aws:MultiFactorAuthPresent, that
    the real call has and nobody told the simulator of.
    """

    action: str
    depends_on: tuple[str, ...] = ()


def refused_actions(
    iam: Service, who: str, actions: Sequence[str], resource: str, context: Mapping[str, str]
) -> list[Refusal]:
    """Those of the actions (``iam:CreateRole``) that ``who``, an ARN of IAM, may not call.

    ``context``: the condition keys of the calls. Raises EC2Error where this may not be asked.
    """
    pages = iam.pages(
        "simulate_principal_policy",
        PolicySourceArn=who,
        ActionNames=list(actions),
        ResourceArns=[resource],
        ContextEntries=[_entry(key, value) for key, value in context.items()],
    )
    results = [result for page in pages for result in page["EvaluationResults"]]
    return [
        Refusal(each["EvalActionName"], _unknown(each))
        for each in results
        if each["EvalDecision"] != "allowed"
    ]


def _unknown(result: Mapping[str, Any]) -> tuple[str, ...]:
    """Where resources are named, AWS has the missing keys with each of them."""
    parts = [result, *result.get("ResourceSpecificResults", ())]
    keys = {key for part in parts for key in part.get("MissingContextValues", ())}
    return tuple(sorted(key for key in keys if not key.lower().startswith(_ELSEWHERE)))


def source_arn(iam: Service, identity: Identity) -> str:
    """The user or role behind an identity, as the simulator takes it; "" where there is none.

    A session's ARN lacks its role's path, which only IAM tells.
    """
    kind, _, rest = identity.arn.split(":", 5)[5].partition("/")
    if kind == "user":
        return identity.arn
    if kind != "assumed-role":
        return ""
    name = rest.partition("/")[0]
    try:
        return str(iam.ask("get_role", RoleName=name)["Role"]["Arn"])
    except EC2Error:
        return f"arn:{identity.partition}:iam::{identity.account}:role/{name}"


def _entry(key: str, value: str) -> dict[str, Any]:
    return {"ContextKeyName": key, "ContextKeyValues": [value], "ContextKeyType": "string"}
