"""What Amazon asks for, in US dollars without taxes; None where the table does not say.

On-demand Linux, gp3 volumes, snapshots in the standard tier, public IPv4 addresses. Sources:
https://aws.amazon.com/ec2/pricing/on-demand/, https://aws.amazon.com/ebs/pricing/,
https://aws.amazon.com/vpc/pricing/. A price that is missing here is missing on purpose: a
guess would be believed.
"""

from dataclasses import dataclass, field

#: when these prices were last taken from Amazon's pages
DATED = "2025-06"

HOURS_PER_MONTH = 730

# Within a family the price doubles with the size; t2.small alone does not (0.023).
_SIZES = {"nano": 1, "micro": 2, "small": 4, "medium": 8, "large": 16}
_SIZES |= {"xlarge": 32, "2xlarge": 64, "4xlarge": 128, "8xlarge": 256, "16xlarge": 512}
_EXACT_SIZES = {
    "t2": ("nano", "micro", "medium", "large", "xlarge", "2xlarge"),
    "t3": ("nano", "micro", "small", "medium", "large", "xlarge", "2xlarge"),
}
_EXACT_SIZES |= {"t3a": _EXACT_SIZES["t3"], "t4g": _EXACT_SIZES["t3"]}
_FROM_LARGE = ("large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "16xlarge")
_NO_8_AND_16 = ("large", "xlarge", "2xlarge", "4xlarge")
_EXACT_SIZES |= {"c5": _NO_8_AND_16, "c5a": _FROM_LARGE}


@dataclass(frozen=True)
class _Region:
    """Prices of one region: per hour of a family's ``large``, and of single types."""

    large_hour: dict[str, float]
    disk_gib_month: float
    snapshot_gib_month: float
    hour: dict[str, float] = field(default_factory=dict)


_AMERICA = _Region(
    large_hour={
        "t2": 0.0928,
        "t3": 0.0832,
        "t3a": 0.0752,
        "t4g": 0.0672,
        "m5": 0.096,
        "m5a": 0.086,
        "m6i": 0.096,
        "m6a": 0.0864,
        "m6g": 0.077,
        "m7i": 0.1008,
        "c5": 0.085,
        "c6i": 0.085,
        "r5": 0.126,
        "r6i": 0.126,
    },
    hour={
        "t2.small": 0.023,
        "g4dn.xlarge": 0.526,
        "g4dn.2xlarge": 0.752,
        "g4dn.4xlarge": 1.204,
        "g5.xlarge": 1.006,
        "g5.2xlarge": 1.212,
        "g5.4xlarge": 1.624,
    },
    disk_gib_month=0.08,
    snapshot_gib_month=0.05,
)
_IRELAND = _Region(
    large_hour={"t3": 0.0912, "t3a": 0.0816, "m5": 0.107, "m6i": 0.107, "c5": 0.096, "r5": 0.141},
    disk_gib_month=0.088,
    snapshot_gib_month=0.05,
)
_FRANKFURT = _Region(
    large_hour={"t3": 0.096, "t3a": 0.0864, "m5": 0.115, "m6i": 0.115, "c5": 0.097, "r5": 0.152},
    disk_gib_month=0.0952,
    snapshot_gib_month=0.054,
)
_REGIONS = {
    **dict.fromkeys(("us-east-1", "us-east-2", "us-west-2"), _AMERICA),
    "eu-west-1": _IRELAND,
    "eu-central-1": _FRANKFURT,
}
# The same in every region since February 2024.
_ADDRESS_HOUR = 0.005


def hour(instance_type: str, region: str) -> float | None:
    """An instance that runs for an hour."""
    table = _REGIONS.get(region)
    if table is None:
        return None
    if instance_type in table.hour:
        return table.hour[instance_type]
    family, _, size = instance_type.partition(".")
    large = table.large_hour.get(family)
    if large is None or size not in _EXACT_SIZES.get(family, _FROM_LARGE):
        return None
    return large * _SIZES[size] / _SIZES["large"]


def disk_gib_month(region: str) -> float | None:
    """A GiB of gp3 volume, whether its machine runs or not."""
    return _REGIONS[region].disk_gib_month if region in _REGIONS else None


def snapshot_gib_month(region: str) -> float | None:
    """A GiB that a snapshot holds."""
    return _REGIONS[region].snapshot_gib_month if region in _REGIONS else None


def address_hour(region: str) -> float | None:
    """A public IPv4 address."""
    return _ADDRESS_HOUR if region in _REGIONS else None
