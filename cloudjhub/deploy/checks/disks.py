"""Whether disks are as large as the AMIs they are made from: EC2 refuses smaller ones."""

from cloudjhub.account.images import MachineImage
from cloudjhub.deploy.checks.world import World
from cloudjhub.deploy.findings import Finding


def check(world: World) -> list[Finding]:
    settings = world.settings
    source = world.custom_image if settings.custom_worker_ami else world.base_image
    return [
        *_large_enough("MANAGER_EBS_SIZE", settings.manager_disk_gib, world.base_image),
        *_large_enough("WORKER_EBS_SIZE", settings.root_disk_gib, source),
    ]


def _large_enough(key: str, size_gib: int, image: MachineImage | None) -> list[Finding]:
    if image is None or size_gib >= image.root_gib:
        return []
    what = f"the root disk of {image.id} has {image.root_gib} GiB; EC2 refuses a smaller one."
    remedy = f"Say --{key.lower()} {image.root_gib}, or more."
    return [Finding(what, f"{key} {size_gib}", remedy)]
