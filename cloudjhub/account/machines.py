"""Instances of the manager and of builders: found by tag, run once, ended."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cloudjhub.account.filters import matching, of_cluster, tag_specification
from cloudjhub.aws import Service
from cloudjhub.ec2_values import Tags, instance_from, tag_list
from cloudjhub.errors import EC2Error, NotPermitted

GONE = frozenset({"shutting-down", "terminated"})


@dataclass(frozen=True)
class Machine:
    """One instance."""

    id: str
    state: str
    instance_type: str
    image_id: str
    private_ip: str
    public_ip: str
    subnet_id: str
    zone: str
    state_reason: str = ""
    tags: Tags = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """One machine to run, in a subnet with public addresses."""

    image_id: str
    instance_type: str
    subnet_id: str
    group_ids: tuple[str, ...]
    key_name: str
    root_device: str
    root_gib: int
    tags: Mapping[str, str]
    disk_tags: Mapping[str, str]
    public_address: bool = False  # one that it loses when it stops
    profile: str = ""  # name of an instance profile
    stays_on_shutdown: bool = True  # False: a shutdown from inside terminates it
    user_data: str = ""  # for cloud-init; nothing secret


def of(ec2: Service, cluster: str, role: str) -> list[Machine]:
    """The cluster's machines of a role that exist, oldest first; those that end are left out."""
    filters = of_cluster(cluster, role)
    pages = ec2.pages("describe_instances", Filters=filters)
    raws = [raw for page in pages for each in page["Reservations"] for raw in each["Instances"]]
    raws.sort(key=lambda raw: (raw["LaunchTime"], raw["InstanceId"]))
    return [machine for raw in raws if (machine := _machine(raw)).state not in GONE]


def machine(ec2: Service, instance_id: str) -> Machine | None:
    """One by id, in any state; None while (or after) EC2 does not list it."""
    pages = ec2.pages("describe_instances", Filters=[matching("instance-id", instance_id)])
    raws = [raw for page in pages for each in page["Reservations"] for raw in each["Instances"]]
    return _machine(raws[0]) if raws else None


def running_types(ec2: Service, without: Tags | None = None) -> list[str]:
    """The type of each instance of the account in this region that uses the vCPU quota.

    ``without``: those that carry all of these tags are left out.
    """
    filters = [matching("instance-state-name", "pending", "running")]
    pages = ec2.pages("describe_instances", Filters=filters)
    return [
        raw["InstanceType"]
        for page in pages
        for each in page["Reservations"]
        for raw in each["Instances"]
        if raw.get("InstanceLifecycle") != "spot" and not _carries(raw, without)
    ]


def _carries(raw: Mapping[str, Any], tags: Tags | None) -> bool:
    return bool(tags) and tags.items() <= instance_from(raw).tags.items()


def run(ec2: Service, request: Request, client_token: str) -> Machine:
    """The machine of this token: a new one, or the one that an earlier call made."""
    answer = ec2.ask("run_instances", **run_arguments(request, client_token))
    return _machine(answer["Instances"][0])


def dry_run(ec2: Service, request: Request) -> EC2Error | None:
    """Whether AWS would run it; None: it would."""
    try:
        ec2.ask("run_instances", **run_arguments(request, ""), DryRun=True)
    except EC2Error as error:
        return None if error.code == "DryRunOperation" else error
    return None


def run_arguments(request: Request, client_token: str) -> dict[str, Any]:
    """RunInstances for one machine. Pure."""
    arguments: dict[str, Any] = {
        "ImageId": request.image_id,
        "InstanceType": request.instance_type,
        "MinCount": 1,
        "MaxCount": 1,
        "KeyName": request.key_name,
        "NetworkInterfaces": [_interface(request)],
        "BlockDeviceMappings": [_root_disk(request)],
        "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
        "InstanceInitiatedShutdownBehavior": "stop" if request.stays_on_shutdown else "terminate",
        "TagSpecifications": [
            tag_specification("instance", dict(request.tags)),
            tag_specification("volume", dict(request.disk_tags)),
            # An Elastic IP is given to the interface, and policies go by its tags too.
            tag_specification("network-interface", dict(request.tags)),
        ],
    }
    if client_token:
        arguments["ClientToken"] = client_token
    if request.user_data:
        arguments["UserData"] = request.user_data
    if request.profile:
        arguments["IamInstanceProfile"] = {"Name": request.profile}
    return arguments


def start(ec2: Service, instance_id: str) -> None:
    """Switch a stopped machine on."""
    ec2.ask("start_instances", InstanceIds=[instance_id])


def stop(ec2: Service, instance_id: str) -> None:
    """Shut a machine down; its disk stays."""
    ec2.ask("stop_instances", InstanceIds=[instance_id])


def terminate(ec2: Service, instance_ids: list[str]) -> None:
    """End machines for ever, with their disks; those that are gone are no error."""
    for instance_id in instance_ids:
        try:
            ec2.ask("terminate_instances", InstanceIds=[instance_id])
        except EC2Error as error:
            # A policy that asks for our tag refuses what has no tags any more.
            withheld = isinstance(error, NotPermitted) and _is_gone(ec2, instance_id)
            if error.code != "InvalidInstanceID.NotFound" and not withheld:
                raise


def _is_gone(ec2: Service, instance_id: str) -> bool:
    found = machine(ec2, instance_id)
    return found is None or found.state in GONE


def tag(ec2: Service, resource_id: str, tags: Mapping[str, str]) -> None:
    """Add tags to a resource that has the cluster's."""
    ec2.ask("create_tags", Resources=[resource_id], Tags=tag_list(tags))


def console(ec2: Service, instance_id: str) -> str:
    """What the machine wrote to its console; "" while EC2 has nothing."""
    try:
        return ec2.ask("get_console_output", InstanceId=instance_id, Latest=True).get("Output", "")
    except EC2Error:  # not on every instance type
        return ec2.ask("get_console_output", InstanceId=instance_id).get("Output", "")


def _interface(request: Request) -> dict[str, Any]:
    return {
        "DeviceIndex": 0,
        "SubnetId": request.subnet_id,
        "Groups": list(request.group_ids),
        "AssociatePublicIpAddress": request.public_address,
        "DeleteOnTermination": True,
    }


def _root_disk(request: Request) -> dict[str, Any]:
    return {
        "DeviceName": request.root_device,
        "Ebs": {
            "VolumeSize": request.root_gib,
            "VolumeType": "gp3",
            "Encrypted": True,
            "DeleteOnTermination": True,
        },
    }


def _machine(raw: Mapping[str, Any]) -> Machine:
    known = instance_from(raw)
    return Machine(
        id=known.id,
        state=known.state,
        instance_type=known.instance_type,
        image_id=known.image_id,
        private_ip=known.private_ip or "",
        public_ip=raw.get("PublicIpAddress") or "",
        subnet_id=raw.get("SubnetId") or "",
        zone=known.zone,
        state_reason=known.state_reason,
        tags=known.tags,
    )
