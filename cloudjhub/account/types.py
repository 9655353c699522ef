"""Instance types: what they are and where they are on offer."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cloudjhub.account.filters import matching
from cloudjhub.aws import Service


@dataclass(frozen=True)
class InstanceType:
    """What of a type decides whether an AMI boots or sleeps on it, and what quota it uses."""

    name: str
    vcpus: int
    architectures: frozenset[str]
    virtualizations: frozenset[str]
    needs_ena: bool
    memory_mib: int = 0
    hibernates: bool = False
    current: bool = True  # False: of a generation that Amazon replaces


def instance_types(ec2: Service, names: Iterable[str]) -> dict[str, InstanceType]:
    """By name; those that do not exist in this region are left out."""
    filters = [matching("instance-type", *sorted(set(names)))]
    pages = ec2.pages("describe_instance_types", Filters=filters)
    found = [_type(raw) for page in pages for raw in page["InstanceTypes"]]
    return {each.name: each for each in found}


def zones_offering(ec2: Service, names: Iterable[str]) -> dict[str, set[str]]:
    """Type -> the zones of the region that offer it."""
    offers: dict[str, set[str]] = {}
    pages = ec2.pages(
        "describe_instance_type_offerings",
        LocationType="availability-zone",
        Filters=[matching("instance-type", *sorted(set(names)))],
    )
    for page in pages:
        for raw in page["InstanceTypeOfferings"]:
            offers.setdefault(raw["InstanceType"], set()).add(raw["Location"])
    return offers


def _type(raw: Mapping[str, Any]) -> InstanceType:
    return InstanceType(
        name=raw["InstanceType"],
        vcpus=raw["VCpuInfo"]["DefaultVCpus"],
        architectures=frozenset(raw["ProcessorInfo"]["SupportedArchitectures"]),
        virtualizations=frozenset(raw.get("SupportedVirtualizationTypes", [])),
        needs_ena=raw.get("NetworkInfo", {}).get("EnaSupport") == "required",
        memory_mib=raw.get("MemoryInfo", {}).get("SizeInMiB", 0),
        hibernates=raw.get("HibernationSupported", False),
        current=raw.get("CurrentGeneration", True),
    )
