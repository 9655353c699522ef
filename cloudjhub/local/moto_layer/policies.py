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


def _texts(holder: Any) -> Iterator[str]:
    yield from holder.policies.values()
    for policy in holder.managed_policies.values():
        yield next(version.document for version in policy.versions if version.is_default)
