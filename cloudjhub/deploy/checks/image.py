"""Whether the AMIs exist, boot on the instance types, and are of a known distribution."""

from cloudjhub.account.images import MachineImage
from cloudjhub.account.types import InstanceType
from cloudjhub.deploy import distributions, login_names
from cloudjhub.deploy.checks.world import World
from cloudjhub.deploy.findings import Finding, note
from cloudjhub.policy.statements import Place


def check(world: World) -> list[Finding]:
    settings = world.settings
    base = _check_image(world, "BASE_AMI", settings.base_ami, world.base_image)
    if world.base_image:
        base += _check_login(world, world.base_image)
        base += _check_owner(world.base_image, world.place)
    if not settings.custom_worker_ami:
        return base
    return base + _check_image(
        world, "CUSTOM_WORKER_AMI", settings.custom_worker_ami, world.custom_image
    )


def _check_image(
    world: World, key: str, image_id: str, image: MachineImage | None
) -> list[Finding]:
    where = f"{key} {image_id}"
    if image is None:
        what = f"does not exist in {world.settings.region}, or is not shared with this account."
        return [Finding(what, where, "AMI ids differ between regions: look it up in this one.")]
    if image.state != "available":
        remedy = "Wait until it is available, or name another."
        return [Finding(f"is {image.state}.", where, remedy)]
    return [
        finding
        for key_of_type, name in _types_for(world, key)
        if (kind := world.types.get(name))
        for finding in _fit(image, kind, f"{where} with {key_of_type} {name}")
    ]


def _types_for(world: World, key: str) -> list[tuple[str, str]]:
    """A worker AMI of one's own never runs on the manager; the base AMI runs on both."""
    workers = [("WORKER_INSTANCE_TYPE", name) for name in world.settings.worker_instance_types]
    manager = ("MANAGER_INSTANCE_TYPE", world.settings.manager_instance_type)
    if key == "CUSTOM_WORKER_AMI":
        return workers
    return [manager] if world.settings.custom_worker_ami else [manager, *workers]


def _fit(image: MachineImage, kind: InstanceType, where: str) -> list[Finding]:
    if image.architecture not in kind.architectures:
        offered = " and ".join(sorted(kind.architectures))
        what = f"the AMI is for {image.architecture}, the type has {offered}."
        return [Finding(what, where, "Choose an AMI and a type of one architecture.")]
    if kind.virtualizations and image.virtualization not in kind.virtualizations:
        what = f"the type does not boot AMIs with {image.virtualization} virtualization."
        return [Finding(what, where, "Choose an hvm AMI.")]
    if kind.needs_ena and image.ena is False:
        what = "the type needs enhanced networking (ENA), which the AMI has not."
        return [Finding(what, where, "Choose a current AMI of the distribution.")]
    return []


def _check_login(world: World, image: MachineImage) -> list[Finding]:
    distribution = distributions.of_image(image.name)
    said = world.settings.server_username
    if distribution is None and not said:
        return [login_names.unknown("SERVER_USERNAME", image)]
    if distribution is None:
        what = f"{image.id} ({image.name or 'no name'}) is none of the known images."
        remedy = f"It must be one of {distributions.known_titles()}; its login is believed."
        return [note(what, f"BASE_AMI {image.id}", remedy)]
    if said in ("", distribution.login):
        return _check_worker_login(world, distribution)
    what = f"{distribution.title} admits {distribution.login}."
    where = f"SERVER_USERNAME {said}"
    return [Finding(what, where, f"Say --server_username {distribution.login}.")]


def _check_owner(image: MachineImage, place: Place) -> list[Finding]:
    """Anybody may publish an AMI under such a name. Other partitions have other owners."""
    distribution = distributions.of_image(image.name)
    if distribution is None or place.partition != "aws":
        return []
    if image.owner_id in ("", distribution.image_owner, place.account):
        return []
    what = f"is named as {distribution.title} is, but published by the account {image.owner_id}."
    remedy = f"{distribution.title} itself is published by {distribution.image_owner}."
    return [note(what, f"BASE_AMI {image.id}", remedy)]


def _check_worker_login(world: World, distribution: distributions.Distribution) -> list[Finding]:
    """Machines made from the base AMI admit the same account as the manager."""
    worker = world.settings.worker_username
    if world.settings.custom_worker_ami or worker in ("", distribution.login):
        return []
    what = f"users' machines will run {distribution.title}, which admits {distribution.login}."
    remedy = f"Say --worker_username {distribution.login}."
    return [Finding(what, f"WORKER_USERNAME {worker}", remedy)]
