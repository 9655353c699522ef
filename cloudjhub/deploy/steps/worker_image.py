"""The AMI of users' machines: set up on a builder, imaged; the builder always ends."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cloudjhub.account import access, images, machines
from cloudjhub.account.images import MachineImage
from cloudjhub.account.machines import Machine
from cloudjhub.deploy import requests
from cloudjhub.deploy.findings import errors_among
from cloudjhub.deploy.provision import worker as provision
from cloudjhub.deploy.provision.worker import WorkerPlan
from cloudjhub.deploy.steps import reach, runs
from cloudjhub.deploy.steps.site import Site, there
from cloudjhub.deploy.waiting import wait_for
from cloudjhub.errors import CloudJHubError, EC2Error, NotPermitted, TimedOut
from cloudjhub.naming import (
    BUILD_TAG,
    BUILDER_ROLE,
    MANAGER_ROLE,
    WORKER_IMAGE_ROLE,
    resource_name,
)

_IMAGE_SECONDS = 3600
_LISTED_SECONDS = 120
_MAY_SECONDS = 20
#: values of the tag: nobody can log in any more, and whether it may be imaged
_CLEANING, _CLEAN = "cleaning", "clean"


def builder_needed(site: Site) -> bool:
    """Until there is an image; a custom one is looked at until there is a manager."""
    if site.settings.custom_worker_ami:
        return site.manager() is None
    return site.worker_image() is None


def ensure_builder(site: Site) -> None:
    """A machine to work on. One that an interrupted launch left half cleaned is replaced."""
    usable = [each for each in site.builders() if each.image_id == site.builder_image.id]
    usable = [each for each in usable if each.tags.get(BUILD_TAG) != _CLEANING][:1]
    kept = {each.id for each in usable}
    machines.terminate(site.ec2, [each.id for each in site.builders() if each.id not in kept])
    if not usable:
        request = requests.builder(
            site.settings, site.builder_image, (site.group_id(MANAGER_ROLE),)
        )
        usable = [runs.run(site, BUILDER_ROLE, request)]
        site.say(f"machine {usable[0].id}")
    if usable[0].tags.get(BUILD_TAG) != _CLEAN:
        runs.wait_running(site, usable[0])
    _may_go_on(site, usable[0])


def _may_go_on(site: Site, builder: Machine) -> None:
    """Ask now what else is done with machines: the AMI takes minutes. Raises NotPermitted."""
    tries = _Tries(site, builder)
    try:
        wait_for("The permission to image the builder", tries, seconds=_MAY_SECONDS)
    except TimedOut as error:
        raise (tries.error or error) from None


class _Tries:
    """Dry runs. Policies that ask for our tags refuse a machine whose tags are not known yet."""

    def __init__(self, site: Site, builder: Machine):
        self._ec2 = site.ec2
        self._calls = list(_later_calls(site, builder))
        self.error: NotPermitted | None = None

    def __call__(self) -> bool:
        tried = (access.refused(self._ec2, name, **said) for name, said in self._calls)
        self.error = next((error for error in tried if error), None)
        return self.error is None


def _later_calls(site: Site, builder: Machine) -> Iterator[tuple[str, dict[str, Any]]]:
    if not site.settings.custom_worker_ami:
        name = _image_name(site, builder)
        yield (
            "create_image",
            images.create_arguments(builder.id, name, site.tags(WORKER_IMAGE_ROLE)),
        )
        yield "stop_instances", {"InstanceIds": [builder.id]}
    yield "terminate_instances", {"InstanceIds": [builder.id]}
    if address := site.address():
        yield "associate_address", {"AllocationId": address.id, "InstanceId": builder.id}


def ensure(site: Site) -> None:
    """The image is available, or the class's own one is good."""
    if site.settings.custom_worker_ami:
        if builder_needed(site):
            _look_at_custom(site)
        return
    image = site.worker_image()
    if image:
        site.say(f"takes the AMI of an earlier run as it is, {image.id}")
    wait_available(site, image or make(site))


def wait_available(site: Site, image: MachineImage) -> None:
    """Until machines can be launched from it. Raises where they never will be."""
    site.say(f"waits for AMI {image.id}")
    wait_for(f"The AMI {image.id}", _Look(site, image.id), seconds=_IMAGE_SECONDS)


def image_id(site: Site) -> str:
    """The AMI that users' machines are made from."""
    custom = site.settings.custom_worker_ami
    return custom or there(site.worker_image(), "worker AMI").id


def end_builders(site: Site) -> None:
    """Terminate every builder of the cluster; their disks go with them."""
    machines.terminate(site.ec2, [each.id for each in site.builders()])


def worker_plan(site: Site) -> WorkerPlan:
    """What users' machines are to have."""
    path = site.settings.worker_requirements
    text = Path(path).expanduser().read_text(encoding="utf-8") if path else ""
    return WorkerPlan(
        notebook_username=site.settings.notebook_username,
        requirements=text,
        hibernates=site.settings.idle_action == "hibernate",
    )


def make(site: Site) -> MachineImage:
    """Another AMI, of the builder that is there; EC2 may still be at work on it."""
    builder = there(next(iter(site.builders()), None), "builder")
    if builder.tags.get(BUILD_TAG) != _CLEAN:
        _set_up(site, builder)
    runs.wait_stopped(site, builder)
    name = _image_name(site, builder)
    try:
        made = images.create(site.ec2, builder.id, name, site.tags(WORKER_IMAGE_ROLE))
    except EC2Error as error:
        if error.code != "InvalidAMIName.Duplicate":
            raise
        # Of this builder, by a run that was killed a moment ago; not listed yet.
        return wait_for(f"EC2 listing {name}", site.worker_image, seconds=_LISTED_SECONDS)
    look = _Listed(site, made)
    return wait_for(f"EC2 listing the new AMI {made}", look, seconds=_LISTED_SECONDS)


def _image_name(site: Site, builder: Machine) -> str:
    return f"{resource_name(site.cluster, WORKER_IMAGE_ROLE)}-{builder.id}"


def _set_up(site: Site, builder: Machine) -> None:
    builder = runs.wait_running(site, builder)
    with reach.session(site, builder, builder.public_ip) as session:
        provision.provision_worker(session, worker_plan(site), site.say)
        # From here on nobody can log in again, so an interrupted run must not try to.
        machines.tag(site.ec2, builder.id, {BUILD_TAG: _CLEANING})
        provision.clean_for_imaging(session, site.say)
    machines.tag(site.ec2, builder.id, {BUILD_TAG: _CLEAN})


def _look_at_custom(site: Site) -> None:
    builder = runs.wait_running(site, there(next(iter(site.builders()), None), "builder"))
    with reach.session(site, builder, builder.public_ip) as session:
        found = provision.check_worker(session, worker_plan(site))
    for finding in found:
        site.say(str(finding))
    if errors_among(found):
        raise CloudJHubError(
            f"{site.settings.custom_worker_ami} lacks what users' machines need; see above.",
            "Mend it and name the new AMI, or leave CUSTOM_WORKER_AMI empty to have one made.",
        )


class _Listed:
    """A new AMI, once EC2 shows it."""

    def __init__(self, site: Site, image_id: str):
        self._site, self._id = site, image_id

    def __call__(self) -> MachineImage | None:
        return images.image(self._site.ec2, self._id)


class _Look(_Listed):
    """An AMI, once it is available. Raises where it never will be."""

    def __call__(self) -> MachineImage | None:
        image = super().__call__()
        if image and image.state in ("failed", "error", "invalid", "deregistered"):
            images.deregister(self._site.ec2, image.id)
            why = image.reason or "EC2 gives no reason"
            raise CloudJHubError(
                f"The AMI {image.id} failed: {why}.",
                "Run the same command again: it makes another.",
            )
        return image if image and image.state == "available" else None
