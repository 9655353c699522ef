"""What a cluster costs: now, at rest, and what stays after a teardown. USD, without taxes.

From the price table, so on-demand and without discounts; EBS by the size that is paid for
(https://aws.amazon.com/ebs/pricing/). A snapshot is counted with its volume's size, the most it
can cost. Traffic, NAT gateways and what lies outside the cluster's tag are not in it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from cloudjhub.account.inventory import DiskFound, Inventory, MachineFound, SnapshotFound
from cloudjhub.deploy import prices
from cloudjhub.deploy.prices import HOURS_PER_MONTH

_PAID = ("pending", "running")


@dataclass(frozen=True)
class Sum:
    """An amount, and whether a price in it was not known: then it is at least this."""

    amount: float = 0.0
    partial: bool = False

    def __add__(self, other: "Sum") -> "Sum":
        return Sum(self.amount + other.amount, self.partial or other.partial)

    def times(self, factor: float) -> "Sum":
        """So many times as much."""
        return Sum(self.amount * factor, self.partial)

    def __str__(self) -> str:
        digits = 2 if self.amount >= 0.1 or self.amount == 0 else 4
        return f"{'at least ' if self.partial else ''}${self.amount:.{digits}f}"


@dataclass(frozen=True)
class Costs:
    """Of one region."""

    region: str

    def machine_hour(self, machine: MachineFound) -> Sum:
        """What its type costs now: nothing while it is stopped.

        While its memory is written to the disk it costs what it costs while it runs.
        """
        falls_asleep = machine.state == "stopping" and machine.hibernated
        if machine.state not in _PAID and not falls_asleep:
            return Sum()
        return _sum(prices.hour(machine.instance_type, self.region))

    def disk_month(self, disk: DiskFound) -> Sum:
        """A volume costs the same, whether its machine runs or not."""
        return _sum(prices.disk_gib_month(self.region)).times(disk.size_gib)

    def snapshot_month(self, snapshot: SnapshotFound) -> Sum:
        """At most."""
        return _sum(prices.snapshot_gib_month(self.region)).times(snapshot.size_gib)

    def disks_month(self, disks: Iterable[DiskFound]) -> Sum:
        """All of them."""
        return sum((self.disk_month(disk) for disk in disks), Sum())

    def snapshots_month(self, snapshots: Iterable[SnapshotFound]) -> Sum:
        """All of them, at most."""
        return sum((self.snapshot_month(snapshot) for snapshot in snapshots), Sum())

    def storage_month(self, found: Inventory) -> Sum:
        """Volumes, snapshots and addresses: what is paid for at any hour."""
        address = _sum(prices.address_hour(self.region)).times(HOURS_PER_MONTH)
        addresses = address.times(len(found.addresses))
        return self.disks_month(found.disks) + self.snapshots_month(found.snapshots) + addresses

    def hour_now(self, found: Inventory) -> Sum:
        """Everything as it runs this moment."""
        machines = (self.machine_hour(machine) for machine in found.machines)
        return sum(machines, Sum()) + self.storage_month(found).times(1 / HOURS_PER_MONTH)

    def spare_month(self, instance_type: str, disk_gib: int, *, runs: bool) -> Sum:
        """A machine of the pool that is ready all the time."""
        disks = _sum(prices.disk_gib_month(self.region)).times(disk_gib)
        if not runs:
            return disks
        return disks + _sum(prices.hour(instance_type, self.region)).times(HOURS_PER_MONTH)

    def month_at_rest(self, found: Inventory) -> Sum:
        """With the manager running and everybody's machine stopped, without the pool's machines."""
        manager = self.machine_hour(found.manager) if found.manager else Sum()
        return manager.times(HOURS_PER_MONTH) + self.storage_month(found)


def usd(amount: Sum) -> float | None:
    """For programs; None where a price in it is not known."""
    return None if amount.partial else round(amount.amount, 4)


def _sum(price: float | None) -> Sum:
    return Sum(partial=True) if price is None else Sum(price)
