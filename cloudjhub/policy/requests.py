"""What AWS authorizes when a call arrives: actions on resources, with their condition keys. Pure.

One call can be several requests, and goes through where all of them are allowed: AttachVolume is
one on the volume and one on the instance, a launch with a role is an iam:PassRole as well, and
tags given at birth are an ec2:CreateTags. Resources and keys are those of AWS's reference:
https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html
Of its condition keys, those are filled in that the local EC2 knows the values of.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from cloudjhub.errors import CloudJHubError
from cloudjhub.policy.evaluate import Request
from cloudjhub.policy.statements import Place
from cloudjhub.policy.values import Context

Tags = Mapping[str, str]


class UnknownCall(CloudJHubError):
    """Nobody wrote down what AWS authorizes for this call."""

    remedy = "Add it to cloudjhub.policy.requests from AWS's service authorization reference."


@dataclass(frozen=True)
class Known:
    """A resource that exists: its name in an ARN, its tags, and what is known of it."""

    name: str
    tags: Tags = field(default_factory=dict)
    #: condition keys such as ec2:InstanceType
    keys: Context = field(default_factory=dict)


class Lookup(Protocol):
    """How the requests of a call learn about what exists."""

    def find(self, kind: str, name: str) -> Known | None:
        """A resource by kind (as in ARNs) and by id or name. None: there is none."""
        ...

    def role_of_profile(self, name_or_arn: str) -> str | None:
        """The role in an instance profile."""
        ...


@dataclass(frozen=True)
class Call:
    """``service`` as in policies (ec2, iam), ``parameters`` as boto3 takes them.

    ``caller`` holds the condition keys that every request of this caller has, such as
    aws:PrincipalArn. ``place.cluster`` is not used.
    """

    service: str
    action: str
    parameters: Mapping[str, Any]
    place: Place
    caller: Context
    lookup: Lookup

    # -- parameters

    def listed(self, name: str) -> list[Any]:
        """A parameter that is a list, or one value, or not there; A.B goes into a structure."""
        value: Any = self.parameters
        for part in name.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if value is None or value == "":
            return []
        return list(value) if isinstance(value, list | tuple) else [value]

    def one(self, name: str, default: Any = None) -> Any:
        """A parameter's value."""
        return next(iter(self.listed(name)), default)

    def tags(self, kind: str) -> Tags:
        """The tags that a resource of this kind is to be born with."""
        return {
            tag["Key"]: tag.get("Value", "")
            for specification in self.listed("TagSpecifications")
            if specification.get("ResourceType") == kind
            for tag in specification.get("Tags", [])
        }

    # -- requests

    def request(self, arn: str = "*", *contexts: Context, action: str | None = None) -> Request:
        """One request of this call; ``action`` with its service where it is another's."""
        context: dict[str, str | tuple[str, ...]] = dict(self.caller)
        for more in contexts:
            context |= more
        return Request(action or f"{self.service}:{self.action}", arn, context)

    def on(self, kind: str, name: str, *contexts: Context) -> Request:
        """On an EC2 resource that exists, or is said to."""
        known = self.lookup.find(kind, name) or Known(name)
        arn = self.place.ec2(kind, known.name)
        return self.request(arn, resource_tags(known.tags), known.keys, *contexts)

    def on_each(self, kind: str, *parameters: str) -> list[Request]:
        """On every resource that any of these parameters names."""
        names = [name for parameter in parameters for name in self.listed(parameter)]
        return [self.on(kind, name) for name in dict.fromkeys(names)]

    def making(
        self, kind: str, keys: Iterable[Context] = ({},), *, name: str = "*"
    ) -> list[Request]:
        """On new resources of a kind, one for each of ``keys``; and on their tags, if any."""
        tags = self.tags(kind)
        arn = self.place.ec2(kind, name)
        made = [self.request(arn, request_tags(tags), each) for each in keys]
        if tags and made:
            born = {"ec2:CreateAction": self.action}
            made.append(self.request(arn, request_tags(tags), born, action="ec2:CreateTags"))
        return made

    def passing(self, profile: str) -> list[Request]:
        """iam:PassRole of an instance profile's role to EC2."""
        role = self.lookup.role_of_profile(profile)
        if role is None:
            return []
        known = self.lookup.find("role", role) or Known(role)
        to_ec2 = {
            "iam:PassedToService": self.place.ec2_service,
            "iam:AssociatedResourceArn": self.place.ec2("instance"),
        }
        return [self.request(self.place.iam("role", known.name), to_ec2, action="iam:PassRole")]


def resource_tags(tags: Tags, *, service: str = "ec2") -> dict[str, str]:
    """aws:ResourceTag/... and the service's own spelling of it."""
    return {
        f"{prefix}:ResourceTag/{key}": value
        for prefix in ("aws", service)
        for key, value in tags.items()
    }


def request_tags(tags: Tags) -> dict[str, str | tuple[str, ...]]:
    """aws:RequestTag/... and aws:TagKeys; nothing where a request has no tags."""
    keys: dict[str, str | tuple[str, ...]] = {}
    if tags:
        keys["aws:TagKeys"] = tuple(tags)
    return keys | {f"aws:RequestTag/{key}": value for key, value in tags.items()}
