"""A launch that is killed anywhere, or asks an AWS that lags, and is run again: one cluster."""

import itertools
from typing import Any

import pytest
from deploy.launches import ONE_CLUSTER, Killed, Machines, run, what_exists
from deploy.networks import Account

from cloudjhub import aws
from cloudjhub.deploy.provision.shell import ProvisionError

pytestmark = pytest.mark.slow


class Reaper:
    """Kills a launch right after AWS carried out its n-th change."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.changes: list[str] = []
        self.kill_after: int | None = None
        real = aws.Service.ask

        def ask(service: aws.Service, operation: str, **arguments: Any) -> dict[str, Any]:
            answer = real(service, operation, **arguments)
            if not operation.startswith(("describe", "get", "list")):
                self.count(operation)
            return answer

        monkeypatch.setattr(aws.Service, "ask", ask)

    def count(self, operation: str) -> None:
        self.changes.append(operation)
        if self.kill_after == len(self.changes):
            self.kill_after = None
            raise Killed

    def moments(self) -> list[int]:
        """Numbers of the changes seen so far, one of each run of equal ones, without the last."""
        runs = itertools.groupby(range(len(self.changes)), self.changes.__getitem__)
        return [next(numbers) + 1 for _, numbers in runs][:-1]


def test_killed_after_any_change_and_run_again_it_is_one_cluster(
    account: Account, machines: Machines, monkeypatch: pytest.MonkeyPatch
):
    reaper = Reaper(monkeypatch)
    assert run(account, "counted") == 0
    # The last change marks the launch as finished; killed after it, nothing is left to do.
    for number in reaper.moments():
        cluster = f"killed{number}"
        reaper.changes, reaper.kill_after = [], number
        with pytest.raises(Killed):
            run(account, cluster)
        assert run(account, cluster) == 0
        assert what_exists(account, cluster) == ONE_CLUSTER, number


def test_without_a_network_it_says_so_and_can_go_on(
    account: Account, machines: Machines, capsys: pytest.CaptureFixture[str]
):
    faults = account.ec2.faults
    machines.failure = ProvisionError("The connection broke.")
    machines.before_failure = lambda: faults.unreachable("reset")
    try:
        assert run(account, "unplugged") == 1
    finally:
        faults.clear()
    said = capsys.readouterr().err
    assert "a builder may still run" in said and "AWS cannot be asked just now" in said
    assert what_exists(account, "unplugged")["builder"] == 1
    machines.failure = None
    assert run(account, "unplugged") == 0
    assert what_exists(account, "unplugged") == ONE_CLUSTER


def test_a_profile_that_ec2_learns_of_late_is_waited_for(account: Account, machines: Machines):
    account.ec2.faults.profile_lag(1.0)
    try:
        assert run(account, "late") == 0
    finally:
        account.ec2.faults.profile_lag(0.0)
    assert what_exists(account, "late") == ONE_CLUSTER


def test_machines_that_ec2_lists_late_are_not_made_twice(account: Account, machines: Machines):
    account.ec2.faults.lag(1.0)
    try:
        assert run(account, "lagging") == 0
    finally:
        account.ec2.faults.lag(0.0)
    assert what_exists(account, "lagging") == ONE_CLUSTER
