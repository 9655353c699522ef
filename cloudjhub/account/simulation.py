"""What somebody's policies say of calls that are not made: IAM's policy simulator.

https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
"""

from collections.abc import Mapping, Sequence
from typing import Any

from cloudjhub.account.access import Identity
from cloudjhub.aws import Service
from cloudjhub.errors import EC2Error


def refused_actions(
    iam: Service, who: str, actions: Sequence[str], resource: str, context: Mapping[str, str]
) -> list[str]:
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
    return [each["EvalActionName"] for each in results if each["EvalDecision"] != "allowed"]


def source_arn(iam: Service, identity: Identity) -> str:
    """The user or role behind an identity, as the simulator takes it; "" for the root user.

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
