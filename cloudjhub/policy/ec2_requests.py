"""The requests that AWS authorizes for the calls of EC2. Pure."""

from collections.abc import Callable, Mapping

from cloudjhub.policy import launch_requests
from cloudjhub.policy.evaluate import Request
from cloudjhub.policy.requests import Call, UnknownCall, request_tags

#: action -> which kinds of existing resources it is on, and what parameters name them
ON_EXISTING: dict[str, dict[str, tuple[str, ...]]] = {
    "AssociateAddress": {
        "elastic-ip": ("AllocationId", "PublicIp"),
        "instance": ("InstanceId",),
        "network-interface": ("NetworkInterfaceId",),
    },
    "AttachVolume": {"volume": ("VolumeId",), "instance": ("InstanceId",)},
    "AuthorizeSecurityGroupEgress": {"security-group": ("GroupId", "GroupName")},
    "AuthorizeSecurityGroupIngress": {"security-group": ("GroupId", "GroupName")},
    "CreateImage": {"instance": ("InstanceId",)},
    "CreateSecurityGroup": {"vpc": ("VpcId",)},
    "CreateSnapshot": {"volume": ("VolumeId",)},
    "CreateVolume": {"snapshot": ("SnapshotId",)},
    "DeleteKeyPair": {"key-pair": ("KeyName", "KeyPairId")},
    "DeleteSecurityGroup": {"security-group": ("GroupId", "GroupName")},
    "DeleteSnapshot": {"snapshot": ("SnapshotId",)},
    "DeleteVolume": {"volume": ("VolumeId",)},
    "DeregisterImage": {"image": ("ImageId",)},
    "DetachVolume": {"volume": ("VolumeId",), "instance": ("InstanceId",)},
    "DisassociateAddress": {
        "elastic-ip": ("AssociationId", "PublicIp"),
        "network-interface": ("AssociationId",),
    },
    "GetConsoleOutput": {"instance": ("InstanceId",)},
    "ModifyInstanceMetadataOptions": {"instance": ("InstanceId",)},
    "ModifyVolume": {"volume": ("VolumeId",)},
    "RebootInstances": {"instance": ("InstanceIds",)},
    "ReleaseAddress": {"elastic-ip": ("AllocationId", "PublicIp")},
    "RevokeSecurityGroupEgress": {"security-group": ("GroupId", "GroupName")},
    "RevokeSecurityGroupIngress": {"security-group": ("GroupId", "GroupName")},
    "StartInstances": {"instance": ("InstanceIds",)},
    "StopInstances": {"instance": ("InstanceIds",)},
    "TerminateInstances": {"instance": ("InstanceIds",)},
}
#: action -> kinds of the resources it makes
MAKING: dict[str, tuple[str, ...]] = {
    "AllocateAddress": ("elastic-ip",),
    "CreateImage": ("image", "snapshot"),
    "CreateKeyPair": ("key-pair",),
    "CreateSecurityGroup": ("security-group",),
    "CreateSnapshot": ("snapshot",),
    "CreateVolume": ("volume",),
    "ImportKeyPair": ("key-pair",),
}
#: what a resource's id begins with -> its kind
KINDS = {
    "ami": "image",
    "eipalloc": "elastic-ip",
    "eni": "network-interface",
    "i": "instance",
    "igw": "internet-gateway",
    "key": "key-pair",
    "nat": "natgateway",
    "rtb": "route-table",
    "sg": "security-group",
    "sgr": "security-group-rule",
    "snap": "snapshot",
    "subnet": "subnet",
    "vol": "volume",
    "vpc": "vpc",
}


def requests(call: Call) -> list[Request]:
    """Everything AWS authorizes for one call of EC2. Raises UnknownCall."""
    if call.action.startswith("Describe") or call.action == "GetEbsDefaultKmsKeyId":
        return [call.request()]
    if special := _SPECIAL.get(call.action):
        return special(call)
    if call.action not in ON_EXISTING and call.action not in MAKING:
        raise UnknownCall(f"What AWS authorizes for ec2:{call.action} is not known here.")
    existing = ON_EXISTING.get(call.action, {})
    found = [r for kind, names in existing.items() for r in call.on_each(kind, *names)]
    return found + _made(call)


def _made(call: Call) -> list[Request]:
    found: list[Request] = []
    for kind in MAKING.get(call.action, ()):
        if kind == "volume":
            found += call.making(kind, [launch_requests.disk_keys(call.parameters)])
        elif kind == "key-pair":
            found += call.making(kind, name=call.one("KeyName", "*"))
        else:
            found += call.making(kind)
    return found


def _rules(call: Call) -> list[Request]:
    """Rules are resources of their own where they are given tags."""
    groups = call.on_each("security-group", "GroupId", "GroupName")
    rules = call.making("security-group-rule") if call.tags("security-group-rule") else []
    return groups + rules


def _tagging(call: Call) -> list[Request]:
    tags = {tag["Key"]: tag.get("Value") for tag in call.listed("Tags")}
    values = {key: value for key, value in tags.items() if value is not None}
    keys = request_tags(values) | ({"aws:TagKeys": tuple(tags)} if tags else {})
    return [call.on(kind_of(name), name, keys) for name in call.listed("Resources")]


def kind_of(resource_id: str) -> str:
    """Raises UnknownCall for an id that begins like none that is known."""
    prefix = resource_id.partition("-")[0]
    if prefix not in KINDS:
        raise UnknownCall(f"What kind of resource {resource_id} is, is not known here.")
    return KINDS[prefix]


def _attribute(call: Call) -> list[Request]:
    """``Attribute`` names one, or it is a parameter of its own, with its value inside.

    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/iam-policy-structure.html#attribute-key
    """
    keys = {
        f"ec2:Attribute/{name}": str(said["Value"])
        for name, said in call.parameters.items()
        if isinstance(said, Mapping) and "Value" in said
    }
    if named := call.one("Attribute"):
        keys["ec2:Attribute"] = str(named)
    return [call.on("instance", name, keys) for name in call.listed("InstanceId")]


def _profile(call: Call) -> list[Request]:
    profile = call.one("IamInstanceProfile.Arn") or call.one("IamInstanceProfile.Name")
    return call.on_each("instance", "InstanceId") + (call.passing(profile) if profile else [])


_SPECIAL: dict[str, Callable[[Call], list[Request]]] = {
    "AssociateIamInstanceProfile": _profile,
    "AuthorizeSecurityGroupEgress": _rules,
    "AuthorizeSecurityGroupIngress": _rules,
    "CreateTags": _tagging,
    "DeleteTags": _tagging,
    "ModifyInstanceAttribute": _attribute,
    "RunInstances": launch_requests.requests,
}
