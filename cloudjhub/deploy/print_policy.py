"""The operator's policy, for whoever may give rights: printed, nothing is made."""

import argparse
import json

from pydantic import Field

from cloudjhub.account import access
from cloudjhub.account.clients import Clients
from cloudjhub.deploy import sources
from cloudjhub.deploy.settings import Account
from cloudjhub.policy import documents


class Asked(Account):
    """What the policy depends on."""

    manager_iam_role: str = Field(default="", alias="MANAGER_IAM_ROLE")


def run(options: argparse.Namespace) -> None:
    """Print it as JSON. Raises Refused, and EC2Error where AWS does not say who asks.

    Whose credentials they are does not matter, so long as they are of the same account: asking
    who one is takes no permission.
    """
    asked = sources.read(options, Asked)
    me = access.identity(Clients(asked.access).sts)
    place = documents.Place(asked.cluster_name, me.account, asked.region, me.partition)
    profile = asked.manager_iam_role.rpartition("/")[2]
    print(json.dumps(documents.operator(place, own_profile=profile), indent=2))
