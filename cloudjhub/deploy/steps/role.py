"""The manager's IAM role with its policy, and the instance profile that holds it."""

from cloudjhub.account import access
from cloudjhub.deploy.requests import profile_name
from cloudjhub.deploy.steps.site import Site
from cloudjhub.deploy.waiting import known, wait_for
from cloudjhub.naming import MANAGER_ROLE, role_tags
from cloudjhub.policy import documents

_KNOWN_SECONDS = 60


def ensure(site: Site) -> None:
    """Nothing where the operator names a profile of their own."""
    if site.settings.manager_iam_role:
        return
    wait_for("IAM knowing the new role", known(_make, site), seconds=_KNOWN_SECONDS)


def _make(site: Site) -> None:
    """What is there already is left; the policy is written anew, as settings may have changed."""
    name, iam = profile_name(site.settings), site.clients.iam
    # Without who pays: IAM takes fewer signs in a tag than EC2, and roles cost nothing.
    tags = role_tags(site.cluster, MANAGER_ROLE)
    custom = site.settings.custom_worker_ami
    policy = documents.manager(
        site.place,
        subnets=[site.settings.private_subnet_id],
        images=[custom] if custom else [],
    )
    access.ensure_role(iam, name, documents.trust(site.place), tags)
    access.put_policy(iam, name, name, policy)
    access.ensure_profile(iam, name, name, tags)
