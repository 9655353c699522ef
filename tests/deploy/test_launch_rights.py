"""What an operator may not do later is asked of the builder, before minutes are spent on it."""

import pytest
from deploy.launches import Machines, run
from deploy.networks import Account
from local import identities

from cloudjhub.account.clients import Clients
from cloudjhub.deploy import launch
from cloudjhub.deploy.steps import runs, worker_image
from cloudjhub.policy import documents

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "action", ["CreateImage", "StopInstances", "TerminateInstances", "AssociateAddress"]
)
def test_what_is_needed_later_is_asked_before_an_ami_is_made(
    account: Account,
    machines: Machines,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    action: str,
):
    cluster = f"early{action.lower()}"
    policy = documents.operator(identities.place(cluster))
    forbidden = {"Effect": "Deny", "Action": f"ec2:{action}", "Resource": "*"}
    refusing = {"Version": "2012-10-17", "Statement": [forbidden]}
    key = identities.user_with(account, policy, refusing)  # type: ignore[arg-type]
    monkeypatch.setattr(launch, "Clients", Clients)
    monkeypatch.setattr(worker_image, "_MAY_SECONDS", 0)
    assert run(account, cluster, AWS_ACCESS_KEY_ID=key) == 1
    assert f"You are not allowed to call {action}" in capsys.readouterr().err
    assert machines.set_up["worker"] == 0


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("Client.InternalError: Client error on launch", "kms:CreateGrant"),
        ("Client.InvalidKMSKey.InvalidState: The KMS key is disabled", "kms:CreateGrant"),
        ("Server.InternalError: Server error on launch", "another type or subnet"),
        ("", "another type or subnet"),
    ],
)
def test_a_machine_that_ends_for_its_disks_key_is_told_from_others(reason: str, said: str):
    """https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/troubleshooting-launch.html"""
    assert said in runs.remedy_of(reason)
