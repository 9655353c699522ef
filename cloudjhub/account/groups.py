"""Security groups and their inbound rules."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cloudjhub.account.filters import matching, of_cluster, tag_specification
from cloudjhub.aws import Service
from cloudjhub.ec2_values import tags_from
from cloudjhub.errors import EC2Error
from cloudjhub.naming import ROLE_TAG


@dataclass(frozen=True)
class Rule:
    """Admits TCP to one port from a network (CIDR) or from members of a group."""

    port: int
    source: str  # 192.0.2.7/32, 2001:db8::7/128 or sg-...


@dataclass(frozen=True)
class Group:
    """One security group."""

    id: str
    name: str
    vpc_id: str
    rules: frozenset[Rule]
    tags: dict[str, str] = field(default_factory=dict)
    #: inbound rules of other kinds, such as all traffic or a range of ports, in words
    others: tuple[str, ...] = ()


def of(ec2: Service, cluster: str) -> dict[str, Group]:
    """The cluster's groups, by role."""
    pages = ec2.pages("describe_security_groups", Filters=of_cluster(cluster))
    groups = [_group(raw) for page in pages for raw in page["SecurityGroups"]]
    return {group.tags.get(ROLE_TAG, ""): group for group in groups}


def named(ec2: Service, names: Iterable[str], vpc_id: str) -> list[Group]:
    """Groups of the VPC with one of these names, whoever made them."""
    filters = [matching("group-name", *names), matching("vpc-id", vpc_id)]
    pages = ec2.pages("describe_security_groups", Filters=filters)
    return [_group(raw) for page in pages for raw in page["SecurityGroups"]]


def create(ec2: Service, name: str, description: str, *, vpc_id: str, tags: dict[str, str]) -> str:
    """The new group's id; it admits nobody yet."""
    answer = ec2.ask(
        "create_security_group",
        GroupName=name,
        Description=description,
        VpcId=vpc_id,
        TagSpecifications=[tag_specification("security-group", tags)],
    )
    return answer["GroupId"]


def admit(ec2: Service, group_id: str, rules: Iterable[Rule]) -> None:
    """Add inbound rules; those it already has are left as they are."""
    for rule in rules:
        try:
            ec2.ask(
                "authorize_security_group_ingress",
                GroupId=group_id,
                IpPermissions=[_permission(rule)],
            )
        except EC2Error as error:
            if error.code != "InvalidPermission.Duplicate":
                raise


def refuse(ec2: Service, group_id: str, rules: Iterable[Rule]) -> None:
    """Take inbound rules away."""
    permissions = [_permission(rule) for rule in rules]
    if permissions:
        ec2.ask("revoke_security_group_ingress", GroupId=group_id, IpPermissions=permissions)


def _permission(rule: Rule) -> dict[str, Any]:
    ports = {"IpProtocol": "tcp", "FromPort": rule.port, "ToPort": rule.port}
    if rule.source.startswith("sg-"):
        return {**ports, "UserIdGroupPairs": [{"GroupId": rule.source}]}
    if ":" in rule.source:
        return {**ports, "Ipv6Ranges": [{"CidrIpv6": rule.source}]}
    return {**ports, "IpRanges": [{"CidrIp": rule.source}]}


def _group(raw: Mapping[str, Any]) -> Group:
    rules = {rule for permission in raw.get("IpPermissions", []) for rule in _rules(permission)}
    others = [words for each in raw.get("IpPermissions", []) for words in _others(each)]
    return Group(
        raw["GroupId"],
        raw["GroupName"],
        raw["VpcId"],
        frozenset(rules),
        tags_from(raw),
        tuple(sorted(others)),
    )


def _rules(permission: Mapping[str, Any]) -> list[Rule]:
    """Rules of one TCP port from a network or a group; ours are all of that kind."""
    if not _is_one_port(permission):
        return []
    return [Rule(permission["FromPort"], source) for source in _sources(permission)]


def _sources(permission: Mapping[str, Any]) -> list[str]:
    sources = [entry["CidrIp"] for entry in permission.get("IpRanges", [])]
    sources += [entry["CidrIpv6"] for entry in permission.get("Ipv6Ranges", [])]
    return sources + [entry["GroupId"] for entry in permission.get("UserIdGroupPairs", [])]


def _others(permission: Mapping[str, Any]) -> list[str]:
    """What a permission admits beyond that, in words."""
    lists = [entry["PrefixListId"] for entry in permission.get("PrefixListIds", [])]
    if _is_one_port(permission):
        return [f"{permission['FromPort']}/tcp from {source}" for source in lists]
    protocol = permission["IpProtocol"]
    ports = f"{permission.get('FromPort')}-{permission.get('ToPort')}/{protocol}"
    what = "all traffic" if protocol == "-1" else ports
    return [f"{what} from {source}" for source in [*_sources(permission), *lists]]


def _is_one_port(permission: Mapping[str, Any]) -> bool:
    ports = permission.get("FromPort"), permission.get("ToPort")
    return permission["IpProtocol"] == "tcp" and ports[0] == ports[1] is not None
