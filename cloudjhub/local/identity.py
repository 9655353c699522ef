"""Who calls the local AWS: whose access key it is."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloudjhub.local.engine import Engine

#: opens everything, as an account's root user does
ROOT_KEY = "local"


@dataclass(frozen=True)
class Principal:
    """``arn`` is what a refusal shows; ``policy_arn`` what aws:PrincipalArn holds."""

    kind: str  # Account (its root), User or AssumedRole
    arn: str
    policy_arn: str
    user_id: str
    #: a user's name, or the role's
    name: str = ""
    #: of a role's credentials: the instance they were given to
    instance_id: str = ""

    @property
    def is_root(self) -> bool:
        return self.kind == "Account"


def access_key_of(authorization: str) -> str:
    """From a request's header: ``Credential=KEY/DATE/REGION/SERVICE/aws4_request``."""
    _, _, scope = authorization.partition("Credential=")
    return scope.partition("/")[0]


def principal_of(engine: "Engine", access_key_id: str) -> Principal | None:
    """Whose access key this is; None: nobody's."""
    account = engine.backend.account_id
    if access_key_id == ROOT_KEY:
        root = f"arn:aws:iam::{account}:root"
        return Principal("Account", root, root, account)
    if owner := engine.role_keys.owner_of(access_key_id):
        return _role_session(engine, *owner)
    if user := engine.backend.iam.user_of_key(access_key_id):
        return Principal("User", user.arn, user.arn, user.id, user.name)
    return None


def principal_of_arn(engine: "Engine", arn: str) -> Principal | None:
    """A user or a role as IAM names it; None: there is none."""
    kind, _, path = arn.rpartition(":")[2].partition("/")
    iam, name = engine.backend.iam, path.rpartition("/")[2]
    if kind == "user":
        user = iam.users.get(name)
        found = user and Principal("User", user.arn, user.arn, user.id, user.name)
    else:
        role = iam.role_named(name) if kind == "role" else None
        found = role and Principal("AssumedRole", role.arn, role.arn, role.id, role.name)
    return found if found and found.policy_arn == arn else None


def _role_session(engine: "Engine", instance_id: str, role_name: str) -> Principal | None:
    role = engine.backend.iam.role_named(role_name)
    if role is None:
        return None
    account = engine.backend.account_id
    session = f"arn:aws:sts::{account}:assumed-role/{role_name}/{instance_id}"
    return Principal(
        "AssumedRole", session, role.arn, f"{role.id}:{instance_id}", role_name, instance_id
    )
