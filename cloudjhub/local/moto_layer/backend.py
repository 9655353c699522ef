"""One region of one account, as moto keeps it, plus what EC2 remembers and moto does not."""

import re
import time
from collections.abc import Callable, Iterable
from typing import Any

from moto.ec2.models.instances import Reservation

from cloudjhub.local.moto_layer import refusals
from cloudjhub.local.moto_layer.iam import LocalIam
from cloudjhub.local.moto_layer.interfaces import AddressBackend
from cloudjhub.local.moto_layer.models import (
    LocalInstance,
    LocalSnapshot,
    LocalVolume,
    adopt_image,
    adopt_instance,
    adopt_snapshot,
    adopt_volume,
)

ACCOUNT_ID = "123456789012"
#: size of the root volume of images that nobody gave another
IMAGE_GIB = 8
_INSTANCE_ID = re.compile(r"i-[0-9a-f]{8,17}")
_VOLUME_ID = re.compile(r"vol-[0-9a-f]{8,17}")


class LocalBackend(AddressBackend):
    """Everything the local EC2 must not forget; the whole object is what is stored.

    An account without a default VPC: there, addresses would not be this computer's.
    """

    #: what new volumes are encrypted with: Amazon's own key, or one of the account's
    ebs_default_key = "alias/aws/ebs"

    def __init__(self, region_name: str, account_id: str = ACCOUNT_ID):
        super().__init__(region_name, account_id)
        #: "<action>/<token>" -> (fingerprint of the parameters, id of what was made)
        self.client_tokens: dict[str, tuple[str, str]] = {}
        #: ids of what seed() made, by what it is
        self.seeded: dict[str, str] = {}
        self.instances: dict[str, LocalInstance] = {}
        self.iam = LocalIam(account_id)
        self.on_volume_deleted: Callable[[str], None] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"on_volume_deleted": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if "iam" not in state:
            # Saved before IAM was kept.
            self.iam = LocalIam(self.account_id)

    def create_default_vpc(self) -> Any:
        return None

    def _load_amis(self) -> None:
        """No images but those made here: moto's thousand would be launched and not boot."""

    # -- instances -----------------------------------------------------------------------------

    def run_instances(self, *args: Any, **kwargs: Any) -> Reservation:
        reservation = super().run_instances(*args, **kwargs)
        for instance in reservation.instances:
            instance.set_state("pending")
        return reservation

    def get_instance(self, instance_id: str) -> LocalInstance:
        """Refuses unknown ones, and those the listings do not know yet."""
        return self.known_instances([instance_id])[0]

    def known_instances(self, instance_ids: Iterable[str]) -> list[LocalInstance]:
        """Instances by id, each once; all of them or a refusal."""
        wanted = list(dict.fromkeys(instance_ids))
        for instance_id in wanted:
            if not _INSTANCE_ID.fullmatch(instance_id):
                raise refusals.malformed_instance(instance_id)
        now = time.time()
        found = {
            key: instance
            for key in wanted
            if (instance := self.instances.get(key)) and instance.hidden_until <= now
        }
        if unknown := [key for key in wanted if key not in found]:
            raise refusals.unknown_instances(unknown)
        return list(found.values())

    def listed_instances(self) -> list[LocalInstance]:
        """All that listings show, oldest first."""
        now = time.time()
        return [i for i in list(self.instances.values()) if i.hidden_until <= now]

    def show_all(self) -> None:
        """Listings know every instance from now on."""
        for instance in list(self.instances.values()):
            instance.hidden_until = 0.0

    def all_reservations(self, filters: Any = None) -> list[Reservation]:
        now = time.time()
        shown = []
        for reservation in super().all_reservations(filters):
            reservation.instances = [i for i in reservation.instances if i.hidden_until <= now]
            if reservation.instances:
                shown.append(reservation)
        return shown

    def forget_instance(self, instance_id: str) -> None:
        """Takes a terminated instance out of all listings."""
        instance = self.instances.pop(instance_id)
        self.tags.pop(instance_id, None)
        for key, reservation in list(self.reservations.items()):
            if instance in reservation.instances:
                reservation.instances.remove(instance)
                if not reservation.instances:
                    del self.reservations[key]

    # -- volumes -------------------------------------------------------------------------------

    def create_volume(self, *args: Any, **kwargs: Any) -> LocalVolume:
        return adopt_volume(super().create_volume(*args, **kwargs))

    def get_volume(self, volume_id: str) -> LocalVolume:
        if not _VOLUME_ID.fullmatch(volume_id or ""):
            raise refusals.malformed_volume(volume_id)
        if volume_id not in self.volumes:
            raise refusals.unknown_volume(volume_id)
        return self.volumes[volume_id]

    def attach_volume(self, volume_id: str, instance_id: str, *args: Any, **kwargs: Any) -> Any:
        if instance_id not in self.instances:
            self._index(instance_id)
        attachment = super().attach_volume(volume_id, instance_id, *args, **kwargs)
        block = attachment.instance.block_device_mapping[attachment.device]
        attachment.delete_on_termination = block.delete_on_termination
        return attachment

    def delete_volume(self, volume_id: str) -> LocalVolume:
        volume = super().delete_volume(volume_id)
        self.tags.pop(volume_id, None)
        if self.on_volume_deleted:
            self.on_volume_deleted(volume_id)
        return volume

    def create_snapshot(self, *args: Any, **kwargs: Any) -> LocalSnapshot:
        return adopt_snapshot(super().create_snapshot(*args, **kwargs))

    def _index(self, instance_id: str) -> None:
        # moto attaches the root volume in the middle of making the instance: the newest
        # reservation has it.
        newest = next(reversed(self.reservations.values()))
        for instance in newest.instances:
            if instance.id == instance_id:
                self.instances[instance_id] = adopt_instance(instance)

    # -- images --------------------------------------------------------------------------------

    def register_image(self, *args: Any, **kwargs: Any) -> Any:
        return adopt_image(super().register_image(*args, **kwargs), IMAGE_GIB)

    def create_image(self, instance_id: str, *args: Any, **kwargs: Any) -> Any:
        instance = self.get_instance(instance_id)
        root = self.volumes[instance.root_volume_id]
        image = super().create_image(instance_id, *args, **kwargs)
        image.ebs_snapshot.of_volume_id = root.id
        return adopt_image(image, root.size, instance.root_device_name)
