"""The image of users' machines where machines boot: set up over SSH, as a launch in AWS does it.

That takes minutes, so it is done once on a computer and kept until what is installed changes.
"""

import hashlib
import time
import uuid
from collections.abc import Callable
from typing import Any

from cloudjhub import ec2_errors
from cloudjhub.account import images, machines
from cloudjhub.account.filters import matching
from cloudjhub.account.machines import Machine, Request
from cloudjhub.aws import Access, Service, Session
from cloudjhub.demo.folder import DemoError
from cloudjhub.deploy.provision import versions
from cloudjhub.deploy.provision.shell import read_file
from cloudjhub.deploy.provision.worker import WorkerPlan, clean_for_imaging, provision_worker
from cloudjhub.errors import LoginRefused, MachineNotAnswering
from cloudjhub.local import LocalEC2
from cloudjhub.local.machines.booted import base_image
from cloudjhub.remote import Session as Login
from cloudjhub.remote import connect
from cloudjhub.remote_values import Target

_BOOT_SECONDS = 120.0
_STAGE_SECONDS = 300.0
_DISK_GIB = 8
_BUILDER = "cloudjhub-demo-builder"
_SCRIPTS = ("install_worker", "clean_for_imaging")

Say = Callable[[str], None]


def ensure(ec2: LocalEC2, config: dict[str, Any], say: Say) -> str:
    """The id of the image; made, which takes a minute or two, where it is not there yet."""
    name = _name(WorkerPlan(notebook_username=config["NOTEBOOK_USERNAME"]))
    return ec2.prepared_image(name, _Making(config, name, say))


def _name(plan: WorkerPlan) -> str:
    """Changes with the base image and with what is installed on it."""
    wanted = [versions.JUPYTERHUB_VERSION, versions.JUPYTERLAB, plan.notebook_username]
    recipe = "\n".join([base_image.key(), *wanted, *(read_file(f"{each}.sh") for each in _SCRIPTS)])
    return f"cloudjhub-worker-{hashlib.sha256(recipe.encode()).hexdigest()[:16]}"


class _Making:
    """Calling it makes the image and returns its id; the machine it was made on ends."""

    def __init__(self, config: dict[str, Any], name: str, say: Say):
        self._config = config
        self._name = name
        self._say = say
        access = Access(config["REGION"], config["EC2_ENDPOINT_URL"], "local", "local")
        self._ec2 = Session(access, ec2_errors).service("ec2", attempts=3, read_seconds=60)

    def __call__(self) -> str:
        self._end_earlier()
        self._say("Setting up the image of users' machines (a minute or two, once)")
        builder = machines.run(self._ec2, self._request(), uuid.uuid4().hex)
        try:
            self._set_up(builder)
            machines.stop(self._ec2, builder.id)
            self._wait(builder.id, "stopped")
            return self._imaged(builder.id)
        finally:
            machines.terminate(self._ec2, [builder.id])

    def _end_earlier(self) -> None:
        """Terminates what a demo that was killed meanwhile has left."""
        found = self._ec2.ask("describe_instances", Filters=[matching("tag:Name", _BUILDER)])
        ids = [
            instance["InstanceId"]
            for reservation in found["Reservations"]
            for instance in reservation["Instances"]
            if instance["State"]["Name"] not in machines.GONE
        ]
        machines.terminate(self._ec2, ids)

    def _request(self) -> Request:
        config, tags = self._config, {"Name": _BUILDER}
        return Request(
            image_id=config["WORKER_AMI"],
            instance_type="t3.medium",
            subnet_id=config["SUBNET_ID"],
            group_ids=tuple(config["WORKER_SECURITY_GROUPS"]),
            key_name=config["KEY_NAME"],
            root_device=_root_device(self._ec2, config["WORKER_AMI"]),
            root_gib=_DISK_GIB,
            tags=tags,
            disk_tags=tags,
        )

    def _set_up(self, builder: Machine) -> None:
        address = self._wait(builder.id, "running").private_ip
        plan = WorkerPlan(notebook_username=self._config["NOTEBOOK_USERNAME"])
        with self._log_in(address) as login:
            provision_worker(login, plan)
            clean_for_imaging(login)

    def _log_in(self, address: str) -> Login:
        config = self._config
        target = Target(
            address,
            config["WORKER_SSH_PORT"],
            config["WORKER_USERNAME"],
            config["WORKER_KEY_FILE"],
        )
        deadline = time.monotonic() + _BOOT_SECONDS
        while True:
            try:
                return connect(target)
            except (MachineNotAnswering, LoginRefused):
                # Its sshd is there before the key is.
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def _imaged(self, instance_id: str) -> str:
        image_id = images.create(self._ec2, instance_id, self._name, {"Name": self._name})
        deadline = time.monotonic() + _STAGE_SECONDS
        while (image := images.image(self._ec2, image_id)) is None or image.state == "pending":
            _check(deadline, f"The image {image_id} is not made")
            time.sleep(0.1)
        if image.state != "available":
            raise DemoError(f"The image {image_id} of users' machines failed.")
        return image_id

    def _wait(self, instance_id: str, state: str) -> Machine:
        deadline = time.monotonic() + _STAGE_SECONDS
        while True:
            machine = machines.machine(self._ec2, instance_id)
            if machine is not None and machine.state == state:
                return machine
            _check(deadline, f"The machine {instance_id} is not {state}")
            time.sleep(0.1)


def _root_device(ec2: Service, image_id: str) -> str:
    image = images.image(ec2, image_id)
    if image is None:
        raise DemoError(f"The local EC2 does not know the image {image_id}.")
    return image.root_device


def _check(deadline: float, otherwise: str) -> None:
    if time.monotonic() > deadline:
        raise DemoError(f"{otherwise} after {_STAGE_SECONDS:.0f} s.")
