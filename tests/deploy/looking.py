"""What the checks say of an account, without anything being made."""

from deploy.networks import Account

from cloudjhub.account.clients import Clients
from cloudjhub.deploy.checks import everything
from cloudjhub.deploy.checks.world import World
from cloudjhub.deploy.findings import Finding, errors_among

#: what calls of AWS begin with that change nothing
READS = ("Decode", "Describe", "Get", "List", "Simulate")
_WHO = {"EC2_ENDPOINT_URL", "AWS_ACCESS_KEY_ID"}


def findings(account: Account, **changes: str) -> list[Finding]:
    """What all checks say; and that they made nothing."""
    settings = account.settings(**changes)
    clients = account.clients if not changes.keys() & _WHO else Clients(settings.access)
    account.ec2.reset_calls()
    found = list(everything.look(World(settings, clients)))
    made = {
        action: count["ok"]
        for action, count in account.ec2.calls().items()
        if count["ok"] and not action.startswith(READS)
    }
    assert not made
    return [finding for _, each in found for finding in each]


def error(account: Account, **changes: str) -> Finding:
    """The one error that these changes make."""
    (found,) = errors_among(findings(account, **changes))
    assert found.remedy
    return found
