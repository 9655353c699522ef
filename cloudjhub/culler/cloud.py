"""What a sweep reads and changes in EC2: short blocking calls, with clients of its own."""

from cloudjhub.account.clients import Clients
from cloudjhub.account.inventory import (
    AddressFound,
    DiskFound,
    Inventory,
    SnapshotFound,
    Thing,
)
from cloudjhub.account.listing import Listing
from cloudjhub.account.removal import Removal
from cloudjhub.aws import Access
from cloudjhub.config import ClusterConfig
from cloudjhub.ec2 import EC2
from cloudjhub.ec2_values import Instance


class Cloud:
    """One cluster's EC2. What cannot be read whole raises EC2Error; nothing is waited for."""

    def __init__(self, config: ClusterConfig):
        self.cluster = config.cluster_name
        self._clients = Clients(Access(config.region, config.ec2_endpoint_url))
        self._ec2 = EC2(
            cluster=self.cluster,
            region=config.region,
            endpoint_url=config.ec2_endpoint_url,
            threads=2,
        )

    def machines(self) -> list[Instance]:
        """Every machine of users and every spare, in any state: one call for each thousand."""
        return self._ec2.instances()

    def wake(self, instance_id: str) -> None:
        """Start a machine that hibernates."""
        self._ec2.start([instance_id])

    def inventory(self) -> Inventory:
        """Everything of the cluster that costs something while nobody uses it: five calls."""
        listing = Listing(self.cluster, self._clients.ec2)
        return Inventory(
            self.cluster,
            machines=listing.machines(),
            disks=listing.disks(),
            images=listing.images(),
            snapshots=listing.snapshots(),
            addresses=listing.addresses(),
        )

    def remove(self, thing: Thing) -> None:
        """Delete or release it, for ever. Of what is gone: done, or NotPermitted, as the role's
        policy goes by tags.

        Raises ValueError for what carries no tag of this cluster, or is no such thing.
        """
        if isinstance(thing, DiskFound):
            self._removal.delete_disk(thing)
        elif isinstance(thing, SnapshotFound):
            self._removal.delete_snapshot(thing)
        elif isinstance(thing, AddressFound):
            self._removal.release(thing)
        else:
            raise ValueError(f"{thing.id} is nothing that a sweep removes")

    @property
    def _removal(self) -> Removal:
        return Removal(self.cluster, self._clients.ec2, self._clients.iam)
