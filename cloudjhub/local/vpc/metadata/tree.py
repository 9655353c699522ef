"""What the metadata service tells an instance: paths and texts, built from plain values."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Union

#: folder: name -> what is in it
Tree = Mapping[str, Union[str, bytes, "Tree"]]

VERSIONS = (
    "1.0",
    "2007-01-19",
    "2009-04-04",
    "2014-11-05",
    "2016-09-02",
    "2018-09-24",
    "2020-10-27",
    "2021-03-23",
    "2021-07-15",
    "latest",
)
_TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class RoleKey:
    """Temporary credentials of a role. ``expires`` is in UTC."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    token: str = field(repr=False)
    issued: datetime
    expires: datetime


@dataclass(frozen=True)
class Facts:
    """One instance as it is told about itself."""

    instance_id: str
    image_id: str
    instance_type: str
    reservation_id: str
    launch_index: int
    launched: datetime
    architecture: str
    account: str
    region: str
    zone: str
    zone_id: str
    hostname: str
    private_address: str
    mac: str
    interface_id: str
    subnet_id: str
    subnet_cidr: str
    vpc_id: str
    vpc_cidr: str
    groups: tuple[tuple[str, str], ...] = ()
    public_address: str | None = None
    public_hostname: str | None = None
    #: name and public half of the key pair
    key: tuple[str, str] | None = None
    #: short name ("root", "ebs1") -> device
    devices: Mapping[str, str] = field(default_factory=dict)
    user_data: bytes | None = None
    #: None: the instance may not read its tags
    tags: Mapping[str, str] | None = None
    #: ARN and id of the instance profile
    profile: tuple[str, str] | None = None
    role: str | None = None
    role_key: RoleKey | None = None


def tree(facts: Facts) -> Tree:
    """Everything below a version."""
    top: dict[str, str | bytes | Tree] = {
        "dynamic": {"instance-identity": {"document": _identity(facts)}},
        "meta-data": _meta_data(facts),
    }
    if facts.user_data is not None:
        top["user-data"] = facts.user_data
    return top


def find(root: Tree, parts: list[str]) -> str | bytes | None:
    """A text, or the listing of a folder; None where there is nothing."""
    node: str | bytes | Tree = root
    for part in parts:
        if not isinstance(node, Mapping):
            return None
        # The listing of key pairs says "0=name"; the path to one is its number alone.
        name = next((key for key in node if key == part or key.startswith(f"{part}=")), None)
        if name is None:
            return None
        node = node[name]
    return listing(node) if isinstance(node, Mapping) else node


def listing(folder: Tree) -> str:
    return "\n".join(
        f"{name}/" if isinstance(content, Mapping) and "=" not in name else name
        for name, content in folder.items()
    )


def _meta_data(facts: Facts) -> Tree:
    found: dict[str, str | bytes | Tree] = {
        "ami-id": facts.image_id,
        "ami-launch-index": str(facts.launch_index),
        "ami-manifest-path": "(unknown)",
        "block-device-mapping": dict(facts.devices),
        "events": {"maintenance": {"history": "[]", "scheduled": "[]"}},
        "hostname": facts.hostname,
        "instance-action": "none",
        "instance-id": facts.instance_id,
        "instance-life-cycle": "on-demand",
        "instance-type": facts.instance_type,
        "local-hostname": facts.hostname,
        "local-ipv4": facts.private_address,
        "mac": facts.mac,
        "network": {"interfaces": {"macs": {facts.mac: _interface(facts)}}},
        "placement": {
            "availability-zone": facts.zone,
            "availability-zone-id": facts.zone_id,
            "region": facts.region,
        },
        "profile": "default-hvm",
        "reservation-id": facts.reservation_id,
        "security-groups": "\n".join(name for _, name in facts.groups),
        "services": {"domain": "amazonaws.com", "partition": "aws"},
        "system": "nitro",
    }
    return dict(sorted((found | _sometimes(facts)).items()))


def _sometimes(facts: Facts) -> Tree:
    found: dict[str, str | bytes | Tree] = {}
    if facts.profile:
        found["iam"] = _iam(facts)
    if facts.public_address:
        found["public-ipv4"] = facts.public_address
        found["public-hostname"] = facts.public_hostname or ""
    if facts.key:
        name, public = facts.key
        found["public-keys"] = {f"0={name}": {"openssh-key": public}}
    if facts.tags is not None:
        found["tags"] = {"instance": dict(sorted(facts.tags.items()))}
    return found


def _interface(facts: Facts) -> Tree:
    found: dict[str, str | bytes | Tree] = {
        "device-number": "0",
        "interface-id": facts.interface_id,
        "local-hostname": facts.hostname,
        "local-ipv4s": facts.private_address,
        "mac": facts.mac,
        "owner-id": facts.account,
        "security-group-ids": "\n".join(group_id for group_id, _ in facts.groups),
        "security-groups": "\n".join(name for _, name in facts.groups),
        "subnet-id": facts.subnet_id,
        "subnet-ipv4-cidr-block": facts.subnet_cidr,
        "vpc-id": facts.vpc_id,
        "vpc-ipv4-cidr-block": facts.vpc_cidr,
        "vpc-ipv4-cidr-blocks": facts.vpc_cidr,
    }
    if facts.public_address:
        found["public-ipv4s"] = facts.public_address
        found["public-hostname"] = facts.public_hostname or ""
        found["ipv4-associations"] = {facts.public_address: facts.private_address}
    return dict(sorted(found.items()))


def _iam(facts: Facts) -> Tree:
    assert facts.profile is not None
    arn, profile_id = facts.profile
    key = facts.role_key
    information = {
        "Code": "Success",
        "LastUpdated": (key.issued if key else facts.launched).strftime(_TIME),
        "InstanceProfileArn": arn,
        "InstanceProfileId": profile_id,
    }
    found: dict[str, str | bytes | Tree] = {"info": _json(information)}
    if facts.role and key:
        found["security-credentials"] = {facts.role: _json(_credentials(key))}
    return found


def _credentials(key: RoleKey) -> dict[str, str]:
    return {
        "Code": "Success",
        "LastUpdated": key.issued.strftime(_TIME),
        "Type": "AWS-HMAC",
        "AccessKeyId": key.access_key_id,
        "SecretAccessKey": key.secret_access_key,
        "Token": key.token,
        "Expiration": key.expires.strftime(_TIME),
    }


def _identity(facts: Facts) -> str:
    """The identity document; nothing signs it."""
    return _json(
        {
            "accountId": facts.account,
            "architecture": facts.architecture,
            "availabilityZone": facts.zone,
            "billingProducts": None,
            "devpayProductCodes": None,
            "marketplaceProductCodes": None,
            "imageId": facts.image_id,
            "instanceId": facts.instance_id,
            "instanceType": facts.instance_type,
            "kernelId": None,
            "pendingTime": facts.launched.astimezone(timezone.utc).strftime(_TIME),
            "privateIp": facts.private_address,
            "ramdiskId": None,
            "region": facts.region,
            "version": "2017-09-30",
        }
    )


def _json(content: Mapping[str, object]) -> str:
    return json.dumps(content, indent=2)
