"""Elastic IPs."""

from dataclasses import dataclass

from cloudjhub.account.filters import of_cluster, tag_specification
from cloudjhub.aws import Service
from cloudjhub.errors import EC2Error


@dataclass(frozen=True)
class Address:
    """One Elastic IP."""

    id: str  # eipalloc-...
    ip: str
    instance_id: str = ""  # "" while no instance has it
    association_id: str = ""  # "" while nobody has it


def of(ec2: Service, cluster: str, role: str) -> list[Address]:
    """The cluster's addresses of one role; those that somebody has come first."""
    answer = ec2.ask("describe_addresses", Filters=of_cluster(cluster, role))
    found = [
        Address(
            raw["AllocationId"],
            raw["PublicIp"],
            raw.get("InstanceId") or "",
            raw.get("AssociationId") or "",
        )
        for raw in answer["Addresses"]
    ]
    return sorted(found, key=lambda address: (not address.association_id, address.id))


def count(ec2: Service) -> int:
    """How many the account has in this region, whoever uses them."""
    return len(ec2.ask("describe_addresses")["Addresses"])


def allocate(ec2: Service, tags: dict[str, str]) -> Address:
    """A new one, attached to nothing yet. A call that is repeated makes another."""
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


def release(ec2: Service, address: Address) -> None:
    """Give one back that nobody has; one that is gone is no error."""
    try:
        ec2.ask("release_address", AllocationId=address.id)
    except EC2Error as error:
        if error.code != "InvalidAllocationID.NotFound":
            raise
