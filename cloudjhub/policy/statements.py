"""What policies are put together from: where a cluster is, statements, conditions on tags."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cloudjhub.naming import CLUSTER_TAG, ROLE_TAG

VERSION = "2012-10-17"


@dataclass(frozen=True)
class Place:
    """Where a cluster is. ``partition`` is aws, aws-cn or aws-us-gov."""

    cluster: str
    account: str
    region: str
    partition: str = "aws"

    def ec2(self, kind: str, name: str = "*") -> str:
        """ARN of EC2 resources. Images and snapshots have no account in theirs."""
        account = "" if kind in ("image", "snapshot") else self.account
        return f"arn:{self.partition}:ec2:{self.region}:{account}:{kind}/{name}"

    def iam(self, kind: str, name: str) -> str:
        """ARN of an IAM resource; they have no region."""
        return f"arn:{self.partition}:iam::{self.account}:{kind}/{name}"

    @property
    def ec2_service(self) -> str:
        """EC2's name as a principal: who assumes the role."""
        return "ec2.amazonaws.com.cn" if self.partition == "aws-cn" else "ec2.amazonaws.com"


def tagged(key: str, cluster: str, role: str | None = None) -> dict[str, str]:
    """StringEquals on the tags that say whose it is and what it is for."""
    cluster_only = {f"{key}/{CLUSTER_TAG}": cluster}
    return cluster_only | ({f"{key}/{ROLE_TAG}": role} if role else {})


def allow(
    sid: str,
    actions: Iterable[str],
    resources: list[str],
    *,
    service: str = "ec2",
    **condition: Any,
) -> dict[str, Any]:
    """An Allow; every keyword past ``service`` is a condition operator."""
    statement = {
        "Sid": sid,
        "Effect": "Allow",
        "Action": [f"{service}:{action}" for action in actions],
        "Resource": resources,
    }
    return statement | ({"Condition": condition} if condition else {})


def document(statements: list[dict[str, Any]]) -> dict[str, Any]:
    """The policy that these statements make."""
    return {"Version": VERSION, "Statement": statements}
