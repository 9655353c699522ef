"""Whether disks are as large as the AMIs they are made from, and who holds the key to them."""

from cloudjhub.account.images import MachineImage
from cloudjhub.deploy.checks.world import World
from cloudjhub.deploy.findings import Finding, note
from cloudjhub.errors import EC2Error
from cloudjhub.naming import MANAGER_ROLE, resource_name

_AMAZONS_KEY = "alias/aws/ebs"


def check(world: World) -> list[Finding]:
    settings = world.settings
    source = world.custom_image if settings.custom_worker_ami else world.base_image
    return [
        *_large_enough("MANAGER_EBS_SIZE", settings.manager_disk_gib, world.base_image),
        *_large_enough("WORKER_EBS_SIZE", settings.root_disk_gib, source),
        *_key(world),
    ]


def _large_enough(key: str, size_gib: int, image: MachineImage | None) -> list[Finding]:
    if image is None or size_gib >= image.root_gib:
        return []
    what = f"the root disk of {image.id} has {image.root_gib} GiB; EC2 refuses a smaller one."
    remedy = f"Say --{key.lower()} {image.root_gib}, or more."
    return [Finding(what, f"{key} {size_gib}", remedy)]


def _key(world: World) -> list[Finding]:
    """Disks are encrypted with the account's default key; no policy here grants another's use.

    https://docs.aws.amazon.com/ebs/latest/userguide/encryption-by-default.html
    """
    where = "default key of EBS"
    try:
        key = world.clients.ec2.ask("get_ebs_default_kms_key_id")["KmsKeyId"]
    except EC2Error as error:
        return [note(f"could not be looked up: {error.message}", where, error.remedy)]
    if key.endswith(_AMAZONS_KEY):
        return []
    role = world.settings.manager_iam_role or resource_name(
        world.settings.cluster_name, MANAGER_ROLE
    )
    what = f"is one of your own, {key}: EC2 ends every machine at its start without its use."
    remedy = f"Let yourself and the role {role} use it; docs/security.md has the rights."
    return [note(what, where, remedy)]
