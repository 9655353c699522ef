"""Who asks, what they may do, and the role under which the manager runs."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from cloudjhub.aws import Service
from cloudjhub.ec2_values import tag_list
from cloudjhub.errors import EC2Error, NotPermitted

_ENCODED = re.compile(r"Encoded authorization failure message: ([\w+/=-]+)")


@dataclass(frozen=True)
class Identity:
    """Whose credentials these are."""

    account: str
    arn: str

    @property
    def partition(self) -> str:
        """``aws``, ``aws-us-gov``, ``aws-cn``."""
        return self.arn.split(":")[1]


@dataclass(frozen=True)
class Profile:
    """An instance profile."""

    name: str
    roles: tuple[str, ...]  # none or one
    role_arns: tuple[str, ...] = ()


def identity(sts: Service) -> Identity:
    """Raises NotPermitted where AWS does not accept the credentials."""
    answer = sts.ask("get_caller_identity")
    return Identity(answer["Account"], answer["Arn"])


def refused(service: Service, operation: str, **arguments: Any) -> NotPermitted | None:
    """Whether AWS would forbid a call of EC2; None also where it would fail for another reason."""
    try:
        service.ask(operation, DryRun=True, **arguments)
    except NotPermitted as error:
        return error
    except EC2Error:
        pass
    return None


def refused_resource(sts: Service, error: NotPermitted) -> str:
    """ARN of what a refused call of EC2 was refused on; "" where AWS does not say."""
    found = _ENCODED.search(str(error.__cause__))
    if not found:
        return ""
    try:
        answer = sts.ask("decode_authorization_message", EncodedMessage=found[1])
    except EC2Error:
        return ""
    return str(json.loads(answer["DecodedMessage"]).get("context", {}).get("resource", ""))


def profile(iam: Service, name: str) -> Profile | None:
    """None where there is none."""
    try:
        raw = iam.ask("get_instance_profile", InstanceProfileName=name)["InstanceProfile"]
    except EC2Error as error:
        if error.code == "NoSuchEntity":
            return None
        raise
    return Profile(
        raw["InstanceProfileName"],
        tuple(role["RoleName"] for role in raw["Roles"]),
        tuple(role["Arn"] for role in raw["Roles"]),
    )


def policies(iam: Service, role: str) -> list[dict[str, Any]]:
    """Every policy of a role, inline and attached, as documents."""
    inline = [
        iam.ask("get_role_policy", RoleName=role, PolicyName=name)["PolicyDocument"]
        for page in iam.pages("list_role_policies", RoleName=role)
        for name in page["PolicyNames"]
    ]
    attached = [
        _attached(iam, entry["PolicyArn"])
        for page in iam.pages("list_attached_role_policies", RoleName=role)
        for entry in page["AttachedPolicies"]
    ]
    return [_document(each) for each in inline + attached]


def ensure_role(iam: Service, name: str, trust: Mapping[str, Any], tags: dict[str, str]) -> None:
    """A role that this trust may assume; one that exists is left as it is."""
    _unless_there(
        iam,
        "create_role",
        RoleName=name,
        AssumeRolePolicyDocument=json.dumps(trust),
        Description="The manager of a cloudJHub cluster",
        Tags=tag_list(tags),
    )


def put_policy(iam: Service, role: str, name: str, document: Mapping[str, Any]) -> None:
    """Give the role its inline policy, in place of what the policy said before."""
    text = json.dumps(document, separators=(",", ":"))
    iam.ask("put_role_policy", RoleName=role, PolicyName=name, PolicyDocument=text)


def ensure_profile(iam: Service, name: str, role: str, tags: dict[str, str]) -> None:
    """An instance profile that holds the role."""
    _unless_there(iam, "create_instance_profile", InstanceProfileName=name, Tags=tag_list(tags))
    found = profile(iam, name)
    if found is None or role not in found.roles:
        iam.ask("add_role_to_instance_profile", InstanceProfileName=name, RoleName=role)


def _unless_there(iam: Service, operation: str, **arguments: Any) -> None:
    try:
        iam.ask(operation, **arguments)
    except EC2Error as error:
        if error.code != "EntityAlreadyExists":
            raise


def _attached(iam: Service, arn: str) -> Any:
    version = iam.ask("get_policy", PolicyArn=arn)["Policy"]["DefaultVersionId"]
    answer = iam.ask("get_policy_version", PolicyArn=arn, VersionId=version)
    return answer["PolicyVersion"]["Document"]


def _document(raw: Any) -> dict[str, Any]:
    """boto3 decodes most of these itself, but not all."""
    return json.loads(unquote(raw)) if isinstance(raw, str) else raw
