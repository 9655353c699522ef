"""The two machines that a launch runs, as requests. Pure."""

from cloudjhub.account.images import MachineImage
from cloudjhub.account.machines import Request
from cloudjhub.deploy.settings import Settings
from cloudjhub.naming import (
    BUILDER_DISK_ROLE,
    BUILDER_ROLE,
    MANAGER_DISK_ROLE,
    MANAGER_ROLE,
    resource_name,
    role_tags,
)

#: A builder that nobody came back to ends after hours: it shuts down, and that terminates it. EC2
#: stops it for its image all the same; of the image cloud-init forgets this.
BUILDER_ENDS = "#!/bin/sh\nshutdown -h +240\n"


def manager(
    settings: Settings, image: MachineImage, group_ids: tuple[str, ...], *, profile: str
) -> Request:
    """The machine with the hub. Its public address is an Elastic IP, so it is born without."""
    return Request(
        image_id=image.id,
        instance_type=settings.manager_instance_type,
        subnet_id=settings.public_subnet_id,
        group_ids=group_ids,
        key_name=settings.key_name,
        root_device=image.root_device,
        root_gib=settings.manager_disk_gib,
        tags=_tags(settings, MANAGER_ROLE),
        disk_tags=_tags(settings, MANAGER_DISK_ROLE),
        profile=profile,
    )


def builder(settings: Settings, image: MachineImage, group_ids: tuple[str, ...]) -> Request:
    """The machine that the worker image is made from, or a custom one is tried on.

    Its disk has the size that users' root disks will have, so that the class's packages fit.
    """
    custom = image.id == settings.custom_worker_ami
    return Request(
        image_id=image.id,
        instance_type=settings.worker_instance_type if custom else settings.manager_instance_type,
        subnet_id=settings.public_subnet_id,
        group_ids=group_ids,
        key_name=settings.key_name,
        root_device=image.root_device,
        root_gib=settings.root_disk_gib,
        tags=_tags(settings, BUILDER_ROLE),
        disk_tags=_tags(settings, BUILDER_DISK_ROLE),
        public_address=True,
        stays_on_shutdown=False,
        user_data=BUILDER_ENDS,
    )


def profile_name(settings: Settings) -> str:
    """The manager's instance profile: the operator's own, or the one that the launch makes."""
    named = settings.manager_iam_role
    return named.rpartition("/")[2] if named else resource_name(settings.cluster_name, MANAGER_ROLE)


def _tags(settings: Settings, role: str) -> dict[str, str]:
    return role_tags(settings.cluster_name, role, settings.server_owner)
