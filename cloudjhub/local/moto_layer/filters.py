"""DescribeInstances' and DescribeVolumes' filters, wildcards included.

https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstances.html
"""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

from cloudjhub.local.moto_layer.refusals import Refusal

Getter = Callable[[Any], Iterable[Any]]
MAX_VALUES = 200


def _one(name: str) -> Getter:
    """The attribute at a dotted path, or nothing."""

    def values(resource: Any) -> list[Any]:
        for part in name.split("."):
            resource = getattr(resource, part, None)
        return [] if resource is None else [resource]

    return values


INSTANCE_FILTERS: dict[str, Getter] = {
    "architecture": _one("architecture"),
    "availability-zone": _one("placement.zone"),
    "block-device-mapping.device-name": lambda i: list(i.block_device_mapping),
    "block-device-mapping.volume-id": lambda i: [
        block.volume_id for block in list(i.block_device_mapping.values())
    ],
    "client-token": _one("client_token"),
    "dns-name": _one("public_dns_name"),
    "group-id": lambda i: [group.id for group in i.security_groups],
    "hibernation-options.configured": _one("hibernation_configured"),
    "image-id": _one("image_id"),
    "instance-id": _one("id"),
    "instance-lifecycle": _one("lifecycle"),
    "instance-state-code": _one("state_code"),
    "instance-state-name": _one("state"),
    "instance-type": _one("instance_type"),
    "instance.group-id": lambda i: [group.id for group in i.security_groups],
    "instance.group-name": lambda i: [group.name for group in i.security_groups],
    "ip-address": _one("public_ip"),
    "key-name": _one("key_name"),
    "launch-time": lambda i: [i.launch_time.strftime("%Y-%m-%dT%H:%M:%S.000Z")],
    "network-interface.private-dns-name": _one("private_dns_name"),
    "owner-id": _one("owner_id"),
    "private-dns-name": _one("private_dns_name"),
    "private-ip-address": _one("private_ip"),
    "root-device-name": _one("root_device_name"),
    "source-dest-check": _one("source_dest_check"),
    "state-reason-code": _one("state_reason.code"),
    "subnet-id": _one("subnet_id"),
    "vpc-id": _one("vpc_id"),
}


def _attached(name: str) -> Getter:
    return lambda volume: _one(name)(volume.attachment) if volume.attachment else []


VOLUME_FILTERS: dict[str, Getter] = {
    "attachment.delete-on-termination": _attached("delete_on_termination"),
    "attachment.device": _attached("device"),
    "attachment.instance-id": _attached("instance.id"),
    "attachment.status": _attached("status"),
    "availability-zone": _one("zone.name"),
    "encrypted": _one("encrypted"),
    "size": _one("size"),
    "snapshot-id": _one("snapshot_id"),
    "status": _one("status"),
    "volume-id": _one("id"),
    "volume-type": _one("volume_type"),
}


def select(
    resources: Iterable[Any], filters: Mapping[str, list[str]], known: Mapping[str, Getter]
) -> list[Any]:
    """Resources that pass every filter. Refuses a filter EC2 does not have."""
    tests = [(_getter(name, known), _patterns(name, values)) for name, values in filters.items()]
    return [
        resource
        for resource in resources
        if all(_any_matches(getter(resource), patterns) for getter, patterns in tests)
    ]


def _getter(name: str, known: Mapping[str, Getter]) -> Getter:
    if name.startswith("tag:"):
        key = name[4:]
        return lambda r: [v for k, v in list(_tags(r).items()) if k == key]
    if name == "tag-key":
        return lambda r: list(_tags(r))
    if name == "tag-value":
        return lambda r: list(_tags(r).values())
    if name not in known:
        raise Refusal("InvalidParameterValue", f"The filter '{name}' is invalid")
    return known[name]


def _tags(resource: Any) -> dict[str, str]:
    return resource.ec2_backend.tags.get(resource.id, {})


def _patterns(name: str, values: list[str]) -> list[re.Pattern[str]]:
    if len(values) > MAX_VALUES:
        raise Refusal(
            "FilterLimitExceeded", f"The maximum number of filter values is {MAX_VALUES}: {name}"
        )
    return [_pattern(str(value)) for value in values]


@lru_cache(maxsize=4096)
def _pattern(value: str) -> re.Pattern[str]:
    """EC2 knows ``*`` and ``?``, and a backslash before what is meant literally."""
    wild = {"*": ".*", "?": "."}
    pieces = re.findall(r"\\.|.", value, re.DOTALL)
    return re.compile(
        "".join(wild.get(p) or re.escape(p[1:] if len(p) == 2 else p) for p in pieces), re.DOTALL
    )


def _any_matches(values: Iterable[Any], patterns: list[re.Pattern[str]]) -> bool:
    for value in values:
        text = str(value).lower() if isinstance(value, bool) else str(value)
        if any(pattern.fullmatch(text) for pattern in patterns):
            return True
    return False
