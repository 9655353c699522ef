"""The parts of one local EC2 and the lock they share."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from cloudjhub.local import network, persistence
from cloudjhub.local.authorization import Authorization
from cloudjhub.local.calls import CallLog
from cloudjhub.local.capacity import CapacityLimits
from cloudjhub.local.faults import Faults
from cloudjhub.local.folders import VolumeFolders
from cloudjhub.local.images import Images
from cloudjhub.local.lifecycle import Lifecycle
from cloudjhub.local.machines.base import AttachedVolume, Machine, MachineSpec
from cloudjhub.local.machines.disk import hostname_of
from cloudjhub.local.machines.fleet import Kind, Machines
from cloudjhub.local.moto_layer.backend import LocalBackend
from cloudjhub.local.moto_layer.rendering import Pieces
from cloudjhub.local.scheduler import Scheduler
from cloudjhub.local.settings import LocalSettings
from cloudjhub.local.stages import Stages
from cloudjhub.local.volumes import Volumes, described
from cloudjhub.local.vpc.credentials import RoleCredentials

if TYPE_CHECKING:
    from moto.ec2.models.subnets import Subnet

    from cloudjhub.local.vpc.serving import Serving


class Engine:
    """Holds what the API's answers and the machines' stages work on.

    ``lock`` guards the backend and is never held while a machine does something. Whoever needs
    a machine's lock as well takes the machine's first.
    """

    def __init__(self, state_dir: Path, settings: LocalSettings, kind: Kind):
        self.state_dir = state_dir
        self.settings = settings
        self.lock = threading.RLock()
        self.backend: LocalBackend = persistence.load(state_dir) or LocalBackend(settings.region)
        self.scheduler = Scheduler(settings.workers)
        self.stages = Stages(self.scheduler, settings)
        self.calls = CallLog()
        self.authorization = Authorization(self)
        self.pieces = Pieces()
        self.machines = Machines(kind, self.spec)
        #: those of machines that boot; None with machines of other kinds
        self.disks = kind.booted.disks if kind.booted else None
        self.volumes = Volumes(self, state_dir / "volumes")
        self.folders = VolumeFolders(self.volumes.folder, state_dir / "snapshots")
        self.images = Images(self)
        self.capacity = CapacityLimits(self)
        self.faults = Faults(self)
        self.lifecycle = Lifecycle(self)
        self.store = persistence.Store(state_dir, self._frozen)
        self.backend.on_volume_deleted = self.volumes.deleted
        #: keys that machines found in their metadata
        self.role_keys = RoleCredentials()
        #: the network of machines that boot; None with machines of other kinds
        self.network: Serving | None = None

    def start(self) -> None:
        with self.lock:
            if self.network:
                self.network.start()
            self.scheduler.start()
            self.volumes.resume()
            self.images.resume()
            self.lifecycle.resume()
            self.lifecycle.watch()
            self.store.start()

    def close(self) -> None:
        """Powers every machine off and saves. Disks stay."""
        self.scheduler.close()
        with ThreadPoolExecutor(self.settings.workers) as pool:
            list(pool.map(_power_off, [machine for _, machine in self.machines.on()]))
        if self.machines.kind.standins:
            self.machines.kind.standins.close()
        if self.network:
            self.network.stop()
        if self.disks:
            self.disks.close()
        self.store.close()

    def changed(self) -> None:
        """Something that must survive has changed."""
        self.store.changed()
        if self.network:
            self.network.refresh()

    def no_room_in(self, subnet: "Subnet") -> str:
        """Why machines cannot have addresses of this subnet; "" if they can."""
        cidr = subnet.cidr_block
        if self.network:
            return self.network.no_room_in(subnet)
        if self.machines.kind.variant == "standin" or network.is_loopback(cidr):
            return ""
        return f"The local EC2 has machines only in 127.0.0.0/8; subnet {subnet.id} is {cidr}."

    def machine(self, instance_id: str) -> Machine:
        """Raises KeyError for an unknown instance."""
        return self.machines.get(instance_id)

    def console(self, instance_id: str) -> str:
        return self.machines.get(instance_id).console()

    def set_impaired(self, instance_id: str, impaired: bool) -> None:
        with self.lock:
            if instance := self.backend.instances.get(instance_id):
                instance.impaired = impaired

    def spec(self, instance_id: str) -> MachineSpec:
        """What the instance's machine is made from, as EC2 says at this moment."""
        instance = self.backend.instances[instance_id]
        key_pair = self.backend.key_pairs.get(instance.key_name or "")
        address = instance.private_ip or "0.0.0.0"
        return MachineSpec(
            instance_id=instance_id,
            address=address,
            hostname=hostname_of(address),
            authorized_key=key_pair.public_key.strip() if key_pair else "",
            folder=self.state_dir / "machines" / instance_id,
            volumes=self.volumes.folder,
            mac=instance.nics[0].mac_address if instance.nics else "",
            root=described(self.backend.volumes[instance.root_volume_id])
            if instance.root_volume_id
            else AttachedVolume(""),
            memory_mib=self.capacity.memory_mib_of(instance.instance_type),
            vcpus=self.capacity.vcpus_of(instance.instance_type) or 0,
        )

    def _frozen(self) -> bytes:
        with self.lock:
            return persistence.content_bytes(self.backend)


def _power_off(machine: Machine) -> None:
    with machine.lock:
        machine.power_off()
