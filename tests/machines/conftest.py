"""One local EC2 with machines that boot, for all tests of this folder."""

from collections.abc import Iterator

import pytest
from machines.clouds import BootedCloud, need_root, running_cloud


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BootedCloud]:
    """Its machines take no longer than they really do. Whoever launches one terminates it."""
    need_root()
    with running_cloud(tmp_path_factory.mktemp("booted") / "state") as running:
        yield running


@pytest.fixture(scope="session")
def machine(cloud: BootedCloud) -> str:
    """A machine that tests look at, and leave running as it was."""
    return cloud.booted(UserData="#!/bin/sh\necho told > /var/lib/told\n")
