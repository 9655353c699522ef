"""An instance's facts, read from what moto knows."""

import base64
from typing import TYPE_CHECKING, Any

from cloudjhub.local.vpc.metadata.tree import Facts

if TYPE_CHECKING:
    from cloudjhub.local.engine import Engine


def facts_of(engine: "Engine", instance: Any) -> Facts:
    """As of this moment; takes the engine's lock."""
    with engine.lock:
        backend, nic = engine.backend, instance.nics[0]
        profile = _profile(backend, instance)
        role = _role(profile)
        return Facts(
            instance_id=instance.id,
            image_id=instance.image_id,
            instance_type=instance.instance_type,
            reservation_id=_reservation_id(backend, instance),
            launch_index=instance.ami_launch_index,
            launched=instance.launch_time,
            architecture=instance.architecture,
            account=backend.account_id,
            region=backend.region_name,
            zone=nic.subnet.availability_zone,
            zone_id=nic.subnet._availability_zone.zone_id,
            hostname=instance.private_dns_name,
            private_address=nic.private_ip_address,
            mac=nic.mac_address,
            interface_id=nic.id,
            subnet_id=nic.subnet.id,
            subnet_cidr=nic.subnet.cidr_block,
            vpc_id=nic.vpc_id,
            vpc_cidr=backend.vpcs[nic.vpc_id].cidr_block,
            groups=tuple((group.id, group.name) for group in nic.group_set),
            public_address=nic.public_ip,
            public_hostname=instance.public_dns_name if nic.public_ip else None,
            key=_key(backend, instance),
            devices=_devices(instance),
            user_data=_user_data(instance),
            tags=_tags(backend, instance),
            profile=(profile.arn, profile.id) if profile else None,
            role=role,
            role_key=engine.role_keys.issue(instance.id, role) if role else None,
        )


def _reservation_id(backend: Any, instance: Any) -> str:
    for reservation in backend.reservations.values():
        if instance in reservation.instances:
            return reservation.id
    return ""


def _key(backend: Any, instance: Any) -> tuple[str, str] | None:
    pair = backend.key_pairs.get(instance.key_name or "")
    return (instance.key_name, pair.public_key.strip() + "\n") if pair else None


def _devices(instance: Any) -> dict[str, str]:
    """``ami`` and ``root`` as EC2 writes them; other volumes in the order of their devices."""
    root = instance.root_device_name
    others = sorted(name for name in instance.block_device_mapping if name != root)
    numbered = {f"ebs{n}": name.removeprefix("/dev/") for n, name in enumerate(others, start=1)}
    return {"ami": root.removeprefix("/dev/"), **numbered, "root": root}


def _user_data(instance: Any) -> bytes | None:
    text = str(instance.user_data) if instance.user_data else ""
    return base64.b64decode(text) if text else None


def _tags(backend: Any, instance: Any) -> dict[str, str] | None:
    if instance.metadata_options.instance_metadata_tags != "enabled":
        return None
    return dict(backend.tags.get(instance.id, {}))


# -- the role ------------------------------------------------------------------------------------


def _profile(backend: Any, instance: Any) -> Any:
    association = backend.iam_instance_profile_associations.get(instance.id)
    return association.iam_instance_profile if association else None


def _role(profile: Any) -> str | None:
    return profile.roles[0].name if profile and profile.roles else None
