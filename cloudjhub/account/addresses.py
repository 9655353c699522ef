"""Elastic IPs."""

from dataclasses import dataclass

from cloudjhub.account.filters import of_cluster, tag_specification
from cloudjhub.aws import Service


@dataclass(frozen=True)
class Address:
    """One Elastic IP."""

    id: str  # eipalloc-...
    ip: str
    instance_id: str = ""  # "" while nobody has it


def of(ec2: Service, cluster: str, role: str) -> list[Address]:
    """The cluster's addresses of one role."""
    answer = ec2.ask("describe_addresses", Filters=of_cluster(cluster, role))
    found = [
        Address(raw["AllocationId"], raw["PublicIp"], raw.get("InstanceId") or "")
        for raw in answer["Addresses"]
    ]
    return sorted(found, key=lambda address: address.id)


def allocate(ec2: Service, tags: dict[str, str]) -> Address:
    """A new one, attached to nothing yet."""
    answer = ec2.ask(
        "allocate_address",
        Domain="vpc",
        TagSpecifications=[tag_specification("elastic-ip", tags)],
    )
    return Address(answer["AllocationId"], answer["PublicIp"])


def associate(ec2: Service, address: Address, instance_id: str) -> None:
    """Make it the instance's public address; again is fine."""
    ec2.ask(
        "associate_address",
        AllocationId=address.id,
        InstanceId=instance_id,
        AllowReassociation=True,
    )
