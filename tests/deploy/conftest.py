"""An account with clusters in it, for the tests of what an operator does."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from deploy.launches import Machines, replaced
from deploy.made_clusters import QUICK, Place
from deploy.networks import Account

from cloudjhub.local import LocalEC2


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """An account of its own for one test, over HTTP."""
    with LocalEC2(tmp_path / "state", QUICK) as ec2:
        yield Place(ec2)


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """An account in which a cluster can be launched, for all tests of one file."""
    folder = tmp_path_factory.mktemp("account")
    with LocalEC2(folder / "state", QUICK) as ec2:
        yield Account(ec2, folder)


@pytest.fixture
def machines(account: Account, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machines:
    """What stands for the machines of a launch."""
    return replaced(account, monkeypatch, tmp_path)
