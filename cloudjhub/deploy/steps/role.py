"""The manager's IAM role with its policy, and the instance profile that holds it."""

from functools import partial

from cloudjhub.account import access, machines
from cloudjhub.deploy import requests
from cloudjhub.deploy.requests import profile_name
from cloudjhub.deploy.steps.site import Site
from cloudjhub.deploy.waiting import known, wait_for
from cloudjhub.errors import CloudJHubError, NotPermitted, TimedOut
from cloudjhub.naming import MANAGER2_ROLE, MANAGER_ROLE, role_tags
from cloudjhub.policy import documents

_KNOWN_SECONDS = 60
_MAY_SECONDS = 20


def ensure(site: Site) -> None:
    """The role, where the operator names none; and whether a machine with it may be run.

    That is asked now because the worker AMI, which is made first, takes minutes.
    """
    if not site.settings.manager_iam_role:
        _ensure(site)
    try:
        wait_for("The permission to run the manager", partial(_may_run, site), seconds=_MAY_SECONDS)
    except TimedOut as error:
        name = profile_name(site.settings)
        raise CloudJHubError(
            f"You may not run a machine with the instance profile {name}.",
            "It takes ec2:RunInstances, and iam:PassRole on the profile's role: "
            f"launch_cluster/launch.py {site.cluster} --print-policy shows the whole policy.",
        ) from error


def _ensure(site: Site) -> None:
    wait_for("IAM knowing the new role", known(_make, site), seconds=_KNOWN_SECONDS)


def _make(site: Site) -> None:
    """What is there already is left; the policy is written anew, as settings may have changed."""
    name, iam = profile_name(site.settings), site.clients.iam
    # Without who pays: IAM takes fewer signs in a tag than EC2, and roles cost nothing.
    tags = role_tags(site.cluster, MANAGER_ROLE)
    custom = site.settings.custom_worker_ami
    policy = documents.manager(
        site.place,
        subnets=site.settings.private_subnet_ids,
        images=[custom] if custom else [],
    )
    access.ensure_role(iam, name, documents.trust(site.place), tags)
    access.put_policy(iam, name, name, policy)
    access.ensure_profile(iam, name, name, tags)


def _may_run(site: Site) -> bool:
    """A dry run. Policies that ask for our tags refuse groups whose tags are not known yet."""
    groups = (site.group_id(MANAGER_ROLE), site.group_id(MANAGER2_ROLE))
    name = profile_name(site.settings)
    request = requests.manager(site.settings, site.base_image, groups, profile=name)
    return not isinstance(machines.dry_run(site.ec2, request), NotPermitted)
