"""The policies that IAM holds for somebody: inline, attached, and their groups'."""

import json
from collections.abc import Iterator
from typing import Any

from cloudjhub.local.identity import Principal
from cloudjhub.local.moto_layer.iam import LocalIam


def policies_of(iam: LocalIam, principal: Principal) -> list[dict[str, Any]]:
    """Documents, as they are at this moment; none for somebody who has been deleted."""
    if principal.kind == "User":
        user = iam.users.get(principal.name)
        holders = [user, *iam.get_groups_for_user(principal.name)] if user else []
    else:
        role = iam.role_named(principal.name)
        holders = [role] if role else []
    return [json.loads(text) for holder in holders for text in _texts(holder)]


def boundary_of(iam: LocalIam, principal: Principal) -> dict[str, Any] | None:
    """The permissions boundary of a role; moto keeps none for users."""
    role = iam.role_named(principal.name) if principal.kind == "AssumedRole" else None
    arn = role.permissions_boundary_arn if role else None
    return json.loads(_default(iam.managed_policies[arn])) if arn else None


def _texts(holder: Any) -> Iterator[str]:
    yield from holder.policies.values()
    for policy in holder.managed_policies.values():
        yield _default(policy)


def _default(policy: Any) -> str:
    return next(version.document for version in policy.versions if version.is_default)
