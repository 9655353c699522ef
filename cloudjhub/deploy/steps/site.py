"""Where a launch works: settings, account, and what is there already, read anew each time."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

from cloudjhub.account import addresses, groups, images, machines
from cloudjhub.account.access import Identity
from cloudjhub.account.addresses import Address
from cloudjhub.account.clients import Clients
from cloudjhub.account.groups import Group
from cloudjhub.account.images import MachineImage
from cloudjhub.account.machines import Machine
from cloudjhub.aws import Service
from cloudjhub.deploy.provision.manager import ManagerFacts
from cloudjhub.deploy.settings import Settings
from cloudjhub.errors import CloudJHubError
from cloudjhub.naming import BUILDER_ROLE, MANAGER_ROLE, role_tags
from cloudjhub.policy.statements import Place

_Found = TypeVar("_Found")
_USABLE_IMAGE = ("available", "pending")


@dataclass
class Site:
    """One launch. Only what a step learned over SSH is kept; the rest is asked of AWS."""

    settings: Settings
    clients: Clients
    identity: Identity
    vpc_id: str
    say: Callable[[str], None]
    #: what setting the manager up gave
    facts: ManagerFacts | None = None
    #: the public half of the key that was made on the manager
    worker_public_key: str = field(default="", repr=False)

    @property
    def cluster(self) -> str:
        return self.settings.cluster_name

    @property
    def ec2(self) -> Service:
        return self.clients.ec2

    @property
    def place(self) -> Place:
        me = self.identity
        return Place(self.cluster, me.account, self.settings.region, me.partition)

    def tags(self, role: str) -> dict[str, str]:
        """What a new resource of the role is born with."""
        return role_tags(self.cluster, role, self.settings.server_owner)

    @cached_property
    def base_image(self) -> MachineImage:
        return self._image(self.settings.base_ami)

    @cached_property
    def builder_image(self) -> MachineImage:
        """What a builder runs: the class's own worker AMI where there is one, to be looked at."""
        custom = self.settings.custom_worker_ami
        return self._image(custom) if custom else self.base_image

    def groups(self) -> dict[str, Group]:
        """The cluster's security groups, by role."""
        return groups.of(self.ec2, self.cluster)

    def group_id(self, role: str) -> str:
        """Raises where an earlier step's group is gone."""
        return there(self.groups().get(role), f"security group {role}").id

    def builders(self) -> list[Machine]:
        return machines.of(self.ec2, self.cluster, BUILDER_ROLE)

    def manager(self) -> Machine | None:
        return next(iter(machines.of(self.ec2, self.cluster, MANAGER_ROLE)), None)

    def address(self) -> Address | None:
        return next(iter(addresses.of(self.ec2, self.cluster, MANAGER_ROLE)), None)

    def worker_image(self) -> MachineImage | None:
        """The newest AMI that this cluster's launch made and that is, or gets, usable."""
        found = images.worker_images(self.ec2, self.cluster)
        return next((each for each in found if each.state in _USABLE_IMAGE), None)

    def _image(self, image_id: str) -> MachineImage:
        return there(images.image(self.ec2, image_id), f"AMI {image_id}")


def there(found: _Found | None, what: str) -> _Found:
    """What an earlier step made, or checks saw."""
    if found is None:
        raise CloudJHubError(
            f"The {what} is gone although it was there before.",
            "Run the same command again: it makes what is missing.",
        )
    return found
