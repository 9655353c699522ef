"""What the checks look at: the settings and the account, each fact read once."""

from functools import cached_property

from cloudjhub.account import access, groups, images, machines, network, types
from cloudjhub.account.access import Identity
from cloudjhub.account.clients import Clients
from cloudjhub.account.groups import Group
from cloudjhub.account.images import MachineImage
from cloudjhub.account.machines import Machine
from cloudjhub.account.network import Subnet
from cloudjhub.account.types import InstanceType
from cloudjhub.deploy.settings import Settings
from cloudjhub.naming import MANAGER_ROLE, WORKER_ROLE
from cloudjhub.policy.statements import Place


class World:
    """Everything here only reads. A fact that AWS refuses raises EC2Error where it is used."""

    def __init__(self, settings: Settings, clients: Clients):
        self.settings = settings
        self.clients = clients

    @cached_property
    def identity(self) -> Identity:
        return access.identity(self.clients.sts)

    @property
    def place(self) -> Place:
        """Where the cluster is, for policies."""
        me, settings = self.identity, self.settings
        return Place(settings.cluster_name, me.account, settings.region, me.partition)

    @cached_property
    def base_image(self) -> MachineImage | None:
        return images.image(self.clients.ec2, self.settings.base_ami)

    @cached_property
    def custom_image(self) -> MachineImage | None:
        """The class's own worker AMI; None where none is named, or where it does not exist."""
        wanted = self.settings.custom_worker_ami
        return images.image(self.clients.ec2, wanted) if wanted else None

    @cached_property
    def types(self) -> dict[str, InstanceType]:
        return types.instance_types(self.clients.ec2, self._type_names)

    @cached_property
    def offers(self) -> dict[str, set[str]]:
        """Type -> zones."""
        return types.zones_offering(self.clients.ec2, self._type_names)

    @property
    def _type_names(self) -> list[str]:
        return [self.settings.manager_instance_type, *self.settings.worker_instance_types]

    @cached_property
    def subnets(self) -> dict[str, Subnet]:
        wanted = [*self.settings.private_subnet_ids, self.settings.public_subnet_id]
        return network.subnets(self.clients.ec2, wanted)

    @property
    def privates(self) -> list[Subnet]:
        """Those that exist, in the order in which they are tried."""
        wanted = self.settings.private_subnet_ids
        return [self.subnets[each] for each in wanted if each in self.subnets]

    @property
    def public(self) -> Subnet | None:
        return self.subnets.get(self.settings.public_subnet_id)

    @property
    def vpc_id(self) -> str:
        """The VPC of the manager; "" while it is not known."""
        return self.settings.vpc_id or (self.public.vpc_id if self.public else "")

    @cached_property
    def groups(self) -> dict[str, Group]:
        """The cluster's groups that an earlier launch made, by role."""
        return groups.of(self.clients.ec2, self.settings.cluster_name)

    @cached_property
    def workers(self) -> list[Machine]:
        """Users' machines and spares of the cluster, those that are stopped too."""
        return machines.of(self.clients.ec2, self.settings.cluster_name, WORKER_ROLE)

    @cached_property
    def managers(self) -> list[Machine]:
        return machines.of(self.clients.ec2, self.settings.cluster_name, MANAGER_ROLE)
