"""The manager's IAM role with its policy, and the instance profile that holds it."""

from cloudjhub.account import access
from cloudjhub.deploy.requests import profile_name
from cloudjhub.deploy.steps.site import Site
from cloudjhub.naming import MANAGER_ROLE
from cloudjhub.policy import documents


def ensure(site: Site) -> None:
    """Nothing where the operator names a profile of their own."""
    if site.settings.manager_iam_role:
        return
    name, tags = profile_name(site.settings), site.tags(MANAGER_ROLE)
    iam = site.clients.iam
    custom = site.settings.custom_worker_ami
    policy = documents.manager(
        site.place,
        subnets=[site.settings.private_subnet_id],
        images=[custom] if custom else [],
    )
    access.ensure_role(iam, name, documents.trust(site.place), tags)
    access.put_policy(iam, name, name, policy)
    access.ensure_profile(iam, name, name, tags)
