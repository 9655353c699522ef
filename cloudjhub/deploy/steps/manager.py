"""The manager: its Elastic IP, its machine, what runs on it, and the key it made."""

from datetime import datetime, timezone
from functools import partial

from cloudjhub.account import addresses, keys, machines
from cloudjhub.account.addresses import Address
from cloudjhub.account.machines import Machine
from cloudjhub.deploy import manager_plan, requests
from cloudjhub.deploy.provision.https import Acme, check_domain
from cloudjhub.deploy.provision.manager import make_worker_key, provision_manager
from cloudjhub.deploy.provision.upgrade import note_requirements
from cloudjhub.deploy.server_config import server_config
from cloudjhub.deploy.steps import reach, runs, worker_image
from cloudjhub.deploy.steps.site import Site, there
from cloudjhub.deploy.waiting import wait_for
from cloudjhub.errors import TimedOut
from cloudjhub.naming import (
    LAUNCHED_TAG,
    MANAGER2_ROLE,
    MANAGER_ROLE,
    WORKER_KEY_ROLE,
    WORKER_ROLE,
    key_pair_name,
)

_LISTED_SECONDS = 120
_DNS_SECONDS = 600


def ensure_address(site: Site) -> None:
    """An Elastic IP, so that the hub keeps its address when its machine is stopped."""
    address = site.address() or _allocated(site)
    _release_others(site, address)
    site.say(f"address {address.ip}")
    https = manager_plan.https_of(site.settings)
    if isinstance(https, Acme):
        for finding in check_domain(https.domain, address.ip):
            site.say(str(finding))


def ensure_machine(site: Site) -> None:
    """The machine runs and has the address."""
    machine = site.manager()
    if machine is None:
        groups = (site.group_id(MANAGER_ROLE), site.group_id(MANAGER2_ROLE))
        profile = requests.profile_name(site.settings)
        request = requests.manager(site.settings, site.base_image, groups, profile=profile)
        machine = runs.run(site, MANAGER_ROLE, request)
    machine = runs.wait_running(site, machine)
    site.say(f"machine {machine.id}")
    address = _address(site)
    if address.instance_id != machine.id:
        addresses.associate(site.ec2, address, machine.id)
    _release_others(site, address)


def _allocated(site: Site) -> Address:
    """A new one, as soon as it is listed: until then a run that is repeated makes another."""
    made = addresses.allocate(site.clients.ec2_once, site.tags(MANAGER_ROLE))
    wait_for(f"EC2 listing {made.ip}", partial(_is_listed, site, made), seconds=_LISTED_SECONDS)
    return made


def _is_listed(site: Site, address: Address) -> bool:
    return address.id in {each.id for each in _addresses(site)}


def _release_others(site: Site, kept: Address) -> None:
    """Those of calls whose answer nobody heard: each costs while nobody has it."""
    for each in _addresses(site):
        if each.id != kept.id and not each.association_id:
            site.say(f"releases the surplus address {each.ip}")
            addresses.release(site.ec2, each)


def _addresses(site: Site) -> list[Address]:
    return addresses.of(site.ec2, site.cluster, MANAGER_ROLE)


def set_up(site: Site) -> None:
    """The hub runs on it. Repeated, it only changes what is not yet as it should be."""
    machine, address = _machine(site), _address(site)
    _lead_there(site, address)
    config = server_config(
        site.settings,
        worker_image_id=worker_image.image_id(site),
        worker_group_id=site.group_id(WORKER_ROLE),
    )
    plan = manager_plan.plan(
        site.settings, config, private_address=machine.private_ip, public_address=address.ip
    )
    with reach.session(site, machine, address.ip) as session:
        site.worker_public_key = make_worker_key(session)
        site.facts = provision_manager(session, plan, site.say)
        if not site.settings.custom_worker_ami:
            note_requirements(session, worker_image.worker_plan(site).requirements)


def _lead_there(site: Site, address: Address) -> None:
    """Let's Encrypt is only asked once the name leads to the manager: it counts failures."""
    https = manager_plan.https_of(site.settings)
    if not isinstance(https, Acme) or not check_domain(https.domain, address.ip):
        return
    site.say(f"waits until {https.domain} leads to {address.ip}")
    look = partial(_leads_there, https.domain, address.ip)
    try:
        wait_for(f"{https.domain} leading to {address.ip}", look, seconds=_DNS_SECONDS)
    except TimedOut as error:
        said = " ".join(finding.what for finding in check_domain(https.domain, address.ip))
        raise TimedOut(
            f"{error.message} {said}".strip(),
            f"Make an A record for {https.domain} with {address.ip}, and no other; then run the "
            "same command again. Names that were asked for too early are known some minutes late.",
        ) from error


def _leads_there(domain: str, ip: str) -> bool:
    return not check_domain(domain, ip)


def ensure_worker_key(site: Site) -> None:
    """EC2 knows the public half of the key that the manager made, and machines will admit it."""
    name, wanted = key_pair_name(site.cluster), site.worker_public_key
    found = keys.named(site.ec2, name)
    if found and found.public_key.split()[:2] == wanted.split()[:2]:
        return
    if found:  # of a manager that is gone
        keys.delete(site.ec2, name)
    keys.import_public(site.ec2, name, wanted, site.tags(WORKER_KEY_ROLE))


def mark_launched(site: Site) -> None:
    """From now on the launch is not continued but refused."""
    now = datetime.now(timezone.utc).replace(microsecond=0).isoformat()
    machines.tag(site.ec2, _machine(site).id, {LAUNCHED_TAG: now})


def _machine(site: Site) -> Machine:
    return there(site.manager(), "manager")


def _address(site: Site) -> Address:
    return there(site.address(), "manager's address")
