"""What an upgrade does, once it is agreed to. Each step can be repeated."""

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from cloudjhub import remote
from cloudjhub.account import access, images, machines
from cloudjhub.account.images import MachineImage
from cloudjhub.account.inventory import Inventory, MachineFound
from cloudjhub.account.machines import Machine
from cloudjhub.account.types import instance_types
from cloudjhub.deploy import login_names, manager_plan, sources, upgrade_reach
from cloudjhub.deploy.checks import hibernation
from cloudjhub.deploy.checks.hibernation import Sleepers
from cloudjhub.deploy.desk import DONE, Desk, complain, say, wait_until
from cloudjhub.deploy.findings import Finding, Refused
from cloudjhub.deploy.provision import upgrade as provision
from cloudjhub.deploy.provision.https import Https
from cloudjhub.deploy.provision.shell import ProvisionError
from cloudjhub.deploy.provision.wheel import build_wheel
from cloudjhub.deploy.settings import ManagerLogin, Settings
from cloudjhub.deploy.steps import worker_image
from cloudjhub.deploy.steps.site import Site
from cloudjhub.deploy.supply import listed
from cloudjhub.errors import LoginRefused, MachineNotAnswering
from cloudjhub.naming import CLUSTER_TAG, HOST_KEY_TAG, MANAGER_ROLE, resource_name
from cloudjhub.policy import documents
from cloudjhub.policy.statements import Place
from cloudjhub.remote_values import Target

_SSH_PORT = 22
_LOGIN_SECONDS = 45.0
_ATTEMPT_SECONDS = 15.0
_A_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Wanted:
    """What is asked for. ``worker_ami`` "": the AMI stays, or a new one is made."""

    software: bool
    worker_ami: str = ""
    rebuild: bool = False
    https: Https | None = None


@contextmanager
def manager_session(
    at: Desk, account: ManagerLogin, manager: MachineFound, image: MachineImage | None
) -> Iterator[remote.Session]:
    """A login to the manager, with the host key that its launch pinned. It runs, so it answers.

    ``image``: the manager's, which tells the login where SERVER_USERNAME does not.
    """
    key = Path(account.key_path).expanduser() if account.key_path else None
    if key is None or not key.is_file():
        remedy = "Name the private key file of the manager with --key_path, or in secure.py."
        raise Refused([Finding("there is no such file.", f"KEY_PATH {account.key_path!r}", remedy)])
    host = manager.public_ip or manager.private_ip or ""
    login = login_names.of_server(account.server_username, image)
    target = Target(host, _SSH_PORT, login, str(key))
    pinned = manager.tags.get(HOST_KEY_TAG)
    try:
        opened = _session(target, pinned)
    except MachineNotAnswering as error:
        error.remedy = upgrade_reach.way_in(at, host)
        raise
    with opened as session:
        if pinned is None:
            say(f"The manager's host key was never pinned; it shows {session.fingerprint}.")
        yield session


def _session(target: Target, pinned: str | None) -> remote.Session:
    opened: list[remote.Session] = []
    trouble: list[MachineNotAnswering] = []

    def answers() -> bool:
        try:
            opened.append(remote.connect(target, pinned, _ATTEMPT_SECONDS))
        except MachineNotAnswering as error:
            trouble[:] = [error]
        except LoginRefused as error:
            error.remedy = "Check SERVER_USERNAME and KEY_PATH; they must be those of the launch."
            raise
        return bool(opened)

    if not wait_until(answers, seconds=_LOGIN_SECONDS):
        raise trouble[0]
    return opened[0]


def act(
    at: Desk,
    options: argparse.Namespace,
    manager: MachineFound,
    session: remote.Session,
    config: dict[str, Any],
    wanted: Wanted,
) -> int:
    """Do it; gives the exit code. The software first: it knows what a new AMI asks of it."""
    if wanted.software:
        _allow(at, config["WORKER_AMI"], config)
        _software(session, manager)
        _add_keys(session)
    if wanted.worker_ami or wanted.rebuild:
        former = config["WORKER_AMI"]
        used = {former, *provision.used_amis(session)}
        ami = wanted.worker_ami or _rebuilt_as_noted(at, options, session, config, used)
        _allow(at, ami, config)
        provision.note_used(session, former, ami)
        provision.change_server_config(session, {"WORKER_AMI": ami})
        say(f"The worker AMI is {ami} from now on, for every machine at its next start.")
        say(f"The way back: {at.prog} {at.cluster} --worker-ami {former}")
    if wanted.https is not None:
        upgrade_reach.use_https(session, wanted.https, manager)
    say(f"\nDone: cluster {at.cluster} is upgraded.")
    return DONE


def _software(session: remote.Session, manager: MachineFound) -> None:
    say("Building cloudjhub from this checkout ...")
    versions = provision.upgrade_hub(session, build_wheel(), manager.private_ip or "", say)
    say(f"cloudJHub {versions['cloudjhub']} with JupyterHub {versions['jupyterhub']} answers.")


def _add_keys(session: remote.Session) -> None:
    """Where an operator looks for them; the new version knows them, so only now."""
    lacking = provision.keys_it_lacks(provision.server_config(session))
    if not lacking:
        return
    try:
        provision.change_server_config(session, lacking)
    except ProvisionError as error:  # the new version is there, whatever its file says
        complain(f"note: {error.advice}")


# -- what the manager may do


def _allow(at: Desk, image_id: str, config: dict[str, Any]) -> None:
    """Give the manager's role this version's policy, with the AMI where it is not the cluster's."""
    image = images.image(at.clients.ec2, image_id)
    foreign = image is None or image.tags.get(CLUSTER_TAG) != at.cluster
    if not at.listing.roles():
        complain(
            "note: the manager's role was not made by this cluster's launch; compare its policy "
            f"with docs/security.md{f', and let it launch from {image_id}' if foreign else ''}."
        )
        return
    me = access.identity(at.clients.sts)
    place = Place(at.cluster, me.account, at.account.region, me.partition)
    also = [image_id] if foreign else []
    policy = documents.manager(place, subnets=listed(config["SUBNET_ID"]), images=also)
    name = resource_name(at.cluster, MANAGER_ROLE)
    access.put_policy(at.clients.iam, name, name, policy)
    say(f"The manager's role has this version's policy{f' and {image_id}' if foreign else ''}.")


# -- the AMI


def awake(at: Desk, found: Inventory, wanted: Wanted, config: dict[str, Any]) -> list[Finding]:
    """What a launch's check would say of the AMI and the machines made from it."""
    if config.get("IDLE_ACTION") != "hibernate" or not (wanted.worker_ami or wanted.rebuild):
        return []
    base = found.manager.image_id if found.manager else ""
    image = images.image(at.clients.ec2, wanted.worker_ami or base)
    names = tuple(listed(config["WORKER_INSTANCE_TYPE"]))
    known = instance_types(at.clients.ec2, names)
    made_of = Sleepers(names, known, image, config.get("WORKER_EBS_SIZE", 8))
    of_image = [] if wanted.worker_ami else hibernation.ami(image, "BASE_AMI")
    return [*hibernation.types(made_of), *hibernation.disk(made_of), *of_image]


def packages_text(options: argparse.Namespace, session: remote.Session) -> str | None:
    """The class's packages: of the file that is named, or as noted on the manager.

    None: nobody has noted them. Raises Refused for a file that cannot be read.
    """
    path = options.WORKER_REQUIREMENTS
    if not path:
        return provision.requirements(session)
    try:
        return manager_plan.content_of(path).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        where = f"--worker_requirements {path}"
        raise Refused([Finding(f"cannot be read: {error}.", where, "Name another.")]) from None


def _rebuilt_as_noted(
    at: Desk,
    options: argparse.Namespace,
    session: remote.Session,
    config: dict[str, Any],
    used: set[str],
) -> str:
    """A new AMI with the class's packages, which are noted for the next one."""
    text = packages_text(options, session)
    if text is None:
        return _rebuilt(at, options, config, used)
    with tempfile.TemporaryDirectory() as folder:  # for its owner only
        file = Path(folder) / "requirements.txt"
        file.write_text(text, encoding="utf-8")
        options.WORKER_REQUIREMENTS = str(file)
        ami = _rebuilt(at, options, config, used)
    provision.note_requirements(session, text)
    return ami


def _rebuilt(at: Desk, options: argparse.Namespace, config: dict[str, Any], used: set[str]) -> str:
    """A new AMI; one that an interrupted upgrade made and did not use is taken."""
    (manager, *_) = machines.of(at.clients.ec2, at.cluster, MANAGER_ROLE)
    site = _site(at, options, manager, config)
    now = datetime.now(timezone.utc)
    image = unused(images.worker_images(site.ec2, at.cluster), used, now)
    try:
        if image is None:
            say("Making a new worker AMI; usually it takes 5 to 10 minutes ...")
            worker_image.ensure_builder(site)
            image = worker_image.make(site)
        else:
            say(f"An earlier run made the AMI {image.id}, which nobody has used: it is taken.")
        worker_image.wait_available(site, image)
    finally:
        worker_image.end_builders(site)
    return image.id


def unused(found: list[MachineImage], used: set[str], now: datetime) -> MachineImage | None:
    """An AMI of the last day that was made and never came into use."""
    for image in found:
        fresh = bool(image.created_at) and now - _time(image.created_at) < _A_DAY
        if fresh and image.id not in used and image.state in ("available", "pending"):
            return image
    return None


def _time(text: str) -> datetime:
    """EC2's spelling, which Python 3.10 does not read: 2026-11-23T12:00:00.000Z."""
    return datetime.strptime(text[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)


def _site(at: Desk, options: argparse.Namespace, manager: Machine, config: dict[str, Any]) -> Site:
    """Where a builder works: beside the manager, from the same base AMI."""
    options.BASE_AMI, options.PUBLIC_SUBNET_ID = manager.image_id, manager.subnet_id
    options.PRIVATE_SUBNET_ID = config["SUBNET_ID"]
    settings = sources.read(options, Settings)
    settings = settings.model_copy(update=_as_the_cluster_is(settings, config))
    base = images.image(at.clients.ec2, manager.image_id)
    settings = login_names.filled_in(settings, base)
    identity = access.identity(at.clients.sts)
    return Site(settings=settings, clients=at.clients, identity=identity, vpc_id="", say=say)


def _as_the_cluster_is(settings: Settings, config: dict[str, Any]) -> dict[str, Any]:
    """What the hub counts on, whatever this computer's files say by now."""
    return {
        "custom_worker_ami": "",
        "notebook_username": config.get("NOTEBOOK_USERNAME", settings.notebook_username),
        "root_disk_gib": config.get("WORKER_EBS_SIZE", settings.root_disk_gib),
        "idle_action": config.get("IDLE_ACTION", settings.idle_action),
        "server_owner": config.get("SERVER_OWNER", settings.server_owner),
    }
