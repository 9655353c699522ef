"""What policies may ask about the resources of the local EC2 and its IAM."""

import time
from collections.abc import Callable, Iterable
from typing import Any

from cloudjhub.local.moto_layer.backend import LocalBackend
from cloudjhub.policy.requests import Known
from cloudjhub.policy.statements import Place


class Resources:
    """Resources by kind and by id or name; see :class:`cloudjhub.policy.requests.Lookup`."""

    def __init__(self, backend: LocalBackend, place: Place):
        self._backend = backend
        self._place = place
        self._finders: dict[str, Callable[[str], Known | None]] = {
            "elastic-ip": self._address,
            "image": self._image,
            "instance": self._instance,
            "instance-profile": self._profile,
            "key-pair": self._key_pair,
            "network-interface": self._interface,
            "role": self._role,
            "security-group": self._group,
            "snapshot": self._snapshot,
            "subnet": self._subnet,
            "user": self._user,
            "volume": self._volume,
        }

    def find(self, kind: str, name: str) -> Known | None:
        """None: there is none, or none that the listings know already."""
        if finder := self._finders.get(kind):
            return finder(name)
        tags = self._backend.tags.get(name)
        return Known(name, dict(tags)) if tags else None

    def role_of_profile(self, name_or_arn: str) -> str | None:
        profile = self._backend.iam.profile(name_or_arn)
        return profile.roles[0].name if profile and profile.roles else None

    # -- EC2

    def _known(self, name: str, resource: Any, **keys: Any) -> Known:
        tags = self._backend.tags.get(resource.id, {})
        return Known(name, dict(tags), _keys(keys))

    def _instance(self, instance_id: str) -> Known | None:
        instance = self._backend.instances.get(instance_id)
        if instance is None or instance.hidden_until > time.time():
            return None
        profile = instance.iam_instance_profile
        return self._known(
            instance_id,
            instance,
            InstanceID=instance_id,
            InstanceType=instance.instance_type,
            InstanceProfile=profile["Arn"] if profile else None,
            AvailabilityZone=instance.placement.zone,
            MetadataHttpTokens=instance.metadata_options.http_tokens,
            RootDeviceType="ebs",
            Tenancy="default",
        )

    def _volume(self, volume_id: str) -> Known | None:
        volume = self._backend.volumes.get(volume_id)
        return volume and self._known(
            volume_id,
            volume,
            VolumeID=volume_id,
            VolumeSize=volume.size,
            VolumeType=volume.volume_type,
            Encrypted=bool(volume.encrypted),
            AvailabilityZone=volume.zone.name,
        )

    def _image(self, image_id: str) -> Known | None:
        image = self._backend.amis.get(image_id)
        return image and self._known(
            image_id,
            image,
            ImageID=image_id,
            ImageType="machine",
            Owner=image.owner_id,
            Public=bool(image.is_public),
            RootDeviceType="ebs",
        )

    def _snapshot(self, snapshot_id: str) -> Known | None:
        snapshot = self._backend.snapshots.get(snapshot_id)
        return snapshot and self._known(
            snapshot_id, snapshot, SnapshotID=snapshot_id, Owner=snapshot.owner_id
        )

    def _subnet(self, subnet_id: str) -> Known | None:
        found = [s[subnet_id] for s in self._backend.subnets.values() if subnet_id in s]
        return _first(found) and self._known(
            subnet_id,
            found[0],
            SubnetID=subnet_id,
            Vpc=self._place.ec2("vpc", found[0].vpc_id),
            AvailabilityZone=found[0].availability_zone,
        )

    def _group(self, name: str) -> Known | None:
        groups = [group for vpc in self._backend.groups.values() for group in vpc.values()]
        group = _first(g for g in groups if name in (g.id, g.name))
        return group and self._known(
            group.id, group, SecurityGroupID=group.id, Vpc=self._place.ec2("vpc", group.vpc_id)
        )

    def _key_pair(self, name: str) -> Known | None:
        pair = _first(p for p in self._backend.key_pairs.values() if name in (p.key_name, p.id))
        return pair and self._known(
            pair.key_name, pair, KeyPairName=pair.key_name, KeyPairType=pair.key_type
        )

    def _address(self, name: str) -> Known | None:
        address = _first(
            a
            for a in self._backend.addresses
            if name in (a.allocation_id, a.public_ip, a.association_id)
        )
        return address and self._known(
            address.allocation_id,
            address,
            AllocationId=address.allocation_id,
            PublicIpAddress=address.public_ip,
            Domain=address.domain,
        )

    def _interface(self, name: str) -> Known | None:
        """By its id or by that of an association with an Elastic IP."""
        held = _first(a.eni for a in self._backend.addresses if a.association_id == name)
        nic = held or self._backend.enis.get(name)
        return nic and self._known(
            nic.id,
            nic,
            NetworkInterfaceID=nic.id,
            Subnet=self._place.ec2("subnet", nic.subnet.id),
            Vpc=self._place.ec2("vpc", nic.subnet.vpc_id),
            AvailabilityZone=nic.subnet.availability_zone,
        )

    # -- IAM

    def _role(self, name: str) -> Known | None:
        return _of_iam(self._backend.iam.role_named(name))

    def _profile(self, name: str) -> Known | None:
        return _of_iam(self._backend.iam.profile(name))

    def _user(self, name: str) -> Known | None:
        user = self._backend.iam.users.get(name)
        return user and Known(f"{user.path}{user.name}".lstrip("/"))


def _of_iam(resource: Any) -> Known | None:
    if resource is None:
        return None
    tags = resource.tags or []
    pairs = tags.values() if isinstance(tags, dict) else tags
    return Known(
        f"{resource.path}{resource.name}".lstrip("/"),
        {tag["Key"]: tag["Value"] for tag in pairs},
    )


def _first(found: Iterable[Any]) -> Any | None:
    return next(iter(found), None)


def _keys(values: dict[str, Any]) -> dict[str, str]:
    return {
        f"ec2:{name}": str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in values.items()
        if value is not None
    }
