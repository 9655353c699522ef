"""How many machines EC2 "has", and how many vCPUs the account may use."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from cloudjhub.local.moto_layer import refusals

if TYPE_CHECKING:
    from cloudjhub.local.engine import Engine
    from cloudjhub.local.moto_layer.models import LocalInstance

#: states in which an instance takes up a machine, and those in which it counts for the quota
_OCCUPYING = ("pending", "running", "stopping", "shutting-down")
_COUNTED = ("pending", "running")
#: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/hibernating-prerequisites.html
_MOST_HIBERNATED_MIB = 150 * 1024


class CapacityLimits:
    """Absent limits are unlimited. Callers hold the engine's lock."""

    def __init__(self, engine: "Engine"):
        self._engine = engine
        self.slots: dict[tuple[str, str], int] = dict(engine.settings.capacity)
        self.vcpu_quota: int | None = engine.settings.vcpu_quota
        self.address_quota: int | None = None

    def vcpus_of(self, instance_type: str) -> int | None:
        """None for a type EC2 does not have."""
        # Imported late: the table is large and belongs to moto.
        from moto.ec2.models.instance_types import INSTANCE_TYPES

        facts = INSTANCE_TYPES.get(instance_type)
        return int(facts["VCpuInfo"]["DefaultVCpus"]) if facts else None

    def memory_mib_of(self, instance_type: str) -> int:
        """0 for a type EC2 does not have."""
        from moto.ec2.models.instance_types import INSTANCE_TYPES

        facts = INSTANCE_TYPES.get(instance_type)
        return int(facts["MemoryInfo"]["SizeInMiB"]) if facts else 0

    def can_hibernate(self, instance_type: str) -> bool:
        """False for a type EC2 does not have."""
        from moto.ec2.models.instance_types import INSTANCE_TYPES

        facts = INSTANCE_TYPES.get(instance_type, {})
        small = self.memory_mib_of(instance_type) < _MOST_HIBERNATED_MIB
        return bool(facts.get("HibernationSupported")) and small

    def free_slots(self, instance_type: str, zone: str) -> float:
        slots = self.slots.get((instance_type, zone))
        if slots is None:
            return math.inf
        taken = sum(
            1
            for i in self._engine.backend.instances.values()
            if i.state in _OCCUPYING
            and i.instance_type == instance_type
            and i.placement.zone == zone
        )
        return max(0, slots - taken)

    def within_quota(self, instance_type: str) -> float:
        """How many more of this type the quota allows."""
        if self.vcpu_quota is None:
            return math.inf
        used = sum(
            self.vcpus_of(i.instance_type) or 0
            for i in self._engine.backend.instances.values()
            if i.state in _COUNTED
        )
        return max(0, self.vcpu_quota - used) // (self.vcpus_of(instance_type) or 1)

    def check_start(self, instances: Iterable["LocalInstance"]) -> None:
        """Refuses a start of all these unless there is room for every one of them."""
        wanted: dict[tuple[str, str], int] = {}
        for instance in instances:
            kind = (instance.instance_type, instance.placement.zone)
            wanted[kind] = wanted.get(kind, 0) + 1
        for (type_, zone), count in wanted.items():
            if self.within_quota(type_) < count:
                raise refusals.vcpu_limit(self.vcpu_quota or 0)
            if self.free_slots(type_, zone) < count:
                raise refusals.no_capacity(type_, zone)
