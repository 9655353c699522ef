"""The three groups and their rules. Deleted in the order manager, worker, manager2, no group
is refused for another that refers to it."""

from functools import partial

from cloudjhub.account import groups
from cloudjhub.account.groups import Group, Rule
from cloudjhub.account.network import EVERYWHERE
from cloudjhub.aws import Service
from cloudjhub.deploy import own_address
from cloudjhub.deploy.steps.site import Site
from cloudjhub.deploy.waiting import known, wait_for
from cloudjhub.errors import CloudJHubError, EC2Error
from cloudjhub.naming import MANAGER2_ROLE, MANAGER_ROLE, WORKER_ROLE, resource_name

SSH_PORT, HTTP_PORT, HTTPS_PORT = 22, 80, 443
NOTEBOOK_PORT, HUB_API_PORT = 8888, 8081
_KNOWN_SECONDS = 120

_DESCRIPTIONS = {
    # EC2 takes few signs here, and no apostrophe.
    MANAGER2_ROLE: "cloudJHub: the manager, as machines of users know it",
    WORKER_ROLE: "cloudJHub: machines of users",
    MANAGER_ROLE: "cloudJHub: the manager, as the world knows it",
}


def ensure(site: Site) -> None:
    """Groups that lack rules get them; rules that are not ours by now are taken away."""
    found = site.groups()
    before = {role: group.rules for role, group in found.items()}
    ids = {role: _ensure_group(site, role) for role in _DESCRIPTIONS}
    for role, wanted in rules(ids, _ssh_from(site)).items():
        present = before.get(role, frozenset())
        for rule in sorted(present - wanted, key=str):
            site.say(f"takes from {role}: {rule.port}/tcp from {rule.source}")
        for words in found[role].others if role in found else ():
            site.say(f"note: {role} also admits {words}, which no launch made; it is left")
        _bring_to(site.ec2, ids[role], present, wanted)
    # The next steps look for them by their tags.
    look = partial(_are_listed, site, ids)
    wait_for("EC2 listing the new security groups", look, seconds=_KNOWN_SECONDS)


def _bring_to(ec2: Service, group_id: str, present: frozenset[Rule], wanted: set[Rule]) -> None:
    missing, foreign = sorted(wanted - present, key=str), sorted(present - wanted, key=str)
    # A new group is not known everywhere at once.
    wait_for(
        f"EC2 knowing the security group {group_id}",
        known(groups.admit, ec2, group_id, missing),
        seconds=_KNOWN_SECONDS,
    )
    groups.refuse(ec2, group_id, foreign)


def ssh_sources(group: Group) -> list[str]:
    """Who may reach port 22 of the group's machines."""
    return sorted(rule.source for rule in group.rules if rule.port == SSH_PORT)


def admit_ssh(ec2: Service, group: Group, ssh_from: str) -> None:
    """From now on SSH is for this network and no other; all other rules stay."""
    present = frozenset(rule for rule in group.rules if rule.port == SSH_PORT)
    _bring_to(ec2, group.id, present, {Rule(SSH_PORT, ssh_from)})


def _are_listed(site: Site, ids: dict[str, str]) -> bool:
    return ids.items() <= {role: group.id for role, group in site.groups().items()}.items()


def rules(ids: dict[str, str], ssh_from: str) -> dict[str, set[Rule]]:
    """Who may reach whom. Pure."""
    return {
        MANAGER2_ROLE: set(),
        WORKER_ROLE: {
            Rule(SSH_PORT, ids[MANAGER2_ROLE]),
            Rule(NOTEBOOK_PORT, ids[MANAGER2_ROLE]),
        },
        MANAGER_ROLE: {
            Rule(HTTP_PORT, EVERYWHERE),
            Rule(HTTPS_PORT, EVERYWHERE),
            Rule(SSH_PORT, ssh_from),
            Rule(HUB_API_PORT, ids[WORKER_ROLE]),
        },
    }


def _ensure_group(site: Site, role: str) -> str:
    if found := site.groups().get(role):
        return found.id
    name = resource_name(site.cluster, role)
    try:
        return groups.create(
            site.ec2, name, _DESCRIPTIONS[role], vpc_id=site.vpc_id, tags=site.tags(role)
        )
    except EC2Error as error:
        if error.code != "InvalidGroup.Duplicate":
            raise
    # Made a moment ago by a run that was killed, and not listed yet.
    return wait_for(f"EC2 listing {name}", partial(_id_of, site, role), seconds=_KNOWN_SECONDS)


def _id_of(site: Site, role: str) -> str | None:
    found = site.groups().get(role)
    return found.id if found else None


def _ssh_from(site: Site) -> str:
    address = site.address()
    found = site.settings.ssh_from or own_address.find(
        site.settings.endpoint_url, toward=address.ip if address else ""
    )
    if not found:
        raise CloudJHubError(
            "This computer's public address could not be found out.",
            "Say --ssh_from with your network, such as 192.0.2.7/32.",
        )
    return found
