"""The three groups and their rules. Deleted in the order manager, worker, manager2, no group
is refused for another that refers to it."""

from cloudjhub.account import groups
from cloudjhub.account.groups import Rule
from cloudjhub.account.network import EVERYWHERE
from cloudjhub.deploy import own_address
from cloudjhub.deploy.steps.site import Site
from cloudjhub.errors import CloudJHubError
from cloudjhub.naming import MANAGER2_ROLE, MANAGER_ROLE, WORKER_ROLE, resource_name

SSH_PORT, HTTP_PORT, HTTPS_PORT = 22, 80, 443
NOTEBOOK_PORT, HUB_API_PORT = 8888, 8081

_DESCRIPTIONS = {
    MANAGER2_ROLE: "cloudJHub: the manager, as users' machines know it",
    WORKER_ROLE: "cloudJHub: users' machines",
    MANAGER_ROLE: "cloudJHub: the manager, as the world knows it",
}


def ensure(site: Site) -> None:
    """Groups that lack rules get them; rules that are not ours by now are taken away."""
    ids = {role: _ensure_group(site, role) for role in _DESCRIPTIONS}
    for role, wanted in rules(ids, _ssh_from(site)).items():
        present = site.groups()[role].rules
        groups.admit(site.ec2, ids[role], sorted(wanted - present, key=str))
        groups.refuse(site.ec2, ids[role], sorted(present - wanted, key=str))


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
    return groups.create(
        site.ec2, name, _DESCRIPTIONS[role], vpc_id=site.vpc_id, tags=site.tags(role)
    )


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
