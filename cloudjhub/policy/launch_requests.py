"""The requests of RunInstances: on all that it makes and on all that it uses. Pure.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ExamplePolicies_EC2.html#iam-example-runinstances
"""

from collections.abc import Mapping
from typing import Any

from cloudjhub.policy.evaluate import Request
from cloudjhub.policy.requests import Call
from cloudjhub.policy.values import Context

DEFAULT_INSTANCE_TYPE = "m1.small"


def requests(call: Call) -> list[Request]:
    """Image, instance, disks, network, groups, key pair, tags at birth, and the role passed."""
    profile = call.one("IamInstanceProfile.Arn") or call.one("IamInstanceProfile.Name")
    return [
        *call.on_each("image", "ImageId"),
        *call.making("instance", [_machine_keys(call, profile)]),
        *call.making("volume", [disk_keys(ebs) for ebs in _disks(call)]),
        *[call.on("snapshot", ebs["SnapshotId"]) for ebs in _disks(call) if ebs.get("SnapshotId")],
        *_network(call),
        *call.on_each("key-pair", "KeyName"),
        *(call.passing(profile) if profile else []),
    ]


def _machine_keys(call: Call, profile: str | None) -> Context:
    keys = {
        "ec2:InstanceType": call.one("InstanceType", DEFAULT_INSTANCE_TYPE),
        "ec2:MetadataHttpTokens": call.one("MetadataOptions.HttpTokens", "optional"),
        "ec2:MetadataHttpEndpoint": call.one("MetadataOptions.HttpEndpoint", "enabled"),
        "ec2:InstanceMarketType": call.one("InstanceMarketOptions.MarketType", "on-demand"),
        "ec2:Tenancy": call.one("Placement.Tenancy", "default"),
        "ec2:RootDeviceType": "ebs",
        "ec2:EbsOptimized": _text(call.one("EbsOptimized", False)),
    }
    if hops := call.one("MetadataOptions.HttpPutResponseHopLimit"):
        keys["ec2:MetadataHttpPutResponseHopLimit"] = str(hops)
    if profile:
        is_arn = profile.startswith("arn:")
        keys["ec2:InstanceProfile"] = (
            profile if is_arn else call.place.iam("instance-profile", profile)
        )
    return keys


def _disks(call: Call) -> list[Mapping[str, Any]]:
    """What is asked of each disk; the root disk is always there."""
    asked = [mapping["Ebs"] for mapping in call.listed("BlockDeviceMappings") if "Ebs" in mapping]
    return asked or [{}]


def disk_keys(ebs: Mapping[str, Any]) -> Context:
    """Condition keys of a new volume, from an Ebs structure or CreateVolume's parameters."""
    given = {
        "ec2:VolumeSize": ebs.get("VolumeSize") or ebs.get("Size"),
        "ec2:VolumeType": ebs.get("VolumeType"),
        "ec2:VolumeIops": ebs.get("Iops"),
        "ec2:VolumeThroughput": ebs.get("Throughput"),
        "ec2:Encrypted": ebs.get("Encrypted", False),
        "ec2:AvailabilityZone": ebs.get("AvailabilityZone"),
    }
    return {key: _text(value) for key, value in given.items() if value is not None}


def _network(call: Call) -> list[Request]:
    interfaces = call.listed("NetworkInterfaces") or [{}]
    found: list[Request] = []
    for nic in interfaces:
        subnet = nic.get("SubnetId") or call.one("SubnetId")
        groups = nic.get("Groups") or call.listed("SecurityGroupIds")
        found += _interface(call, nic, subnet)
        found += [call.on("subnet", subnet)] if subnet else []
        # Without a group it is the default one of the VPC.
        found += [call.on("security-group", group) for group in groups or ["*"]]
    return found


def _interface(call: Call, nic: Mapping[str, Any], subnet: str | None) -> list[Request]:
    if existing := nic.get("NetworkInterfaceId"):
        return [call.on("network-interface", existing)]
    keys: dict[str, str | tuple[str, ...]] = {}
    if subnet:
        keys["ec2:Subnet"] = call.place.ec2("subnet", subnet)
        known = call.lookup.find("subnet", subnet)
        keys |= {key: known.keys[key] for key in ("ec2:Vpc",) if known and key in known.keys}
    public = nic.get("AssociatePublicIpAddress")
    if public is not None:
        keys["ec2:AssociatePublicIpAddress"] = _text(public)
    return call.making("network-interface", [keys])


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
