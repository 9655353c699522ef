"""What an upgrade refuses to be asked together, and which AMI it takes up again."""

from datetime import datetime, timedelta, timezone

import pytest

from cloudjhub.account.images import MachineImage
from cloudjhub.deploy import upgrade, upgrade_steps
from cloudjhub.deploy.findings import Refused

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=timezone.utc)


def test_two_amis_at_once_and_packages_without_a_build_are_refused(capsys):
    with pytest.raises(SystemExit) as ended:
        upgrade.main(["class1", "--worker-ami", "ami-1", "--rebuild-worker"])
    assert ended.value.code == 2
    options = upgrade.parser().parse_args(["class1", "--worker-requirements", "x"])
    with pytest.raises(Refused, match="rebuild-worker"):
        upgrade.wanted_of(options)


def image(name: str, *, hours: float = 1, state: str = "available") -> MachineImage:
    made = (NOW - timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return MachineImage(name, name, state, "x86_64", "hvm", True, "/dev/xvda", 8, created_at=made)


@pytest.mark.parametrize(
    ("found", "used", "taken"),
    [
        ([], set(), None),
        ([image("new"), image("old")], {"old"}, "new"),
        ([image("new", state="pending")], set(), "new"),
        ([image("new", state="failed")], set(), None),
        ([image("bad"), image("old")], {"old", "bad"}, None),
        ([image("last week", hours=200)], {"old"}, None),
    ],
)
def test_an_ami_that_an_interrupted_run_made_is_taken(found, used, taken):
    chosen = upgrade_steps.unused(found, used, NOW)
    assert (chosen.id if chosen else None) == taken
