"""Local EC2s for every test of this folder."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from local.clouds import INSTANT, Cloud

from cloudjhub.local import LocalEC2, LocalSettings


@pytest.fixture(scope="module")
def idle_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """One without machines for all tests of a file that leave it as it is."""
    folder = tmp_path_factory.mktemp("idle") / "state"
    with LocalEC2(folder, LocalSettings(**vars(INSTANT) | {"variant": "standin"})) as ec2:
        yield Cloud(ec2)


@pytest.fixture
def make_cloud(tmp_path: Path) -> Iterator[Callable[..., Cloud]]:
    """``make_cloud(settings, state="name")``; all are stopped at the end."""
    made: list[LocalEC2] = []

    def make(settings: LocalSettings = INSTANT, state: str = "state") -> Cloud:
        ec2 = LocalEC2(tmp_path / state, settings)
        made.append(ec2)
        ec2.start()
        return Cloud(ec2)

    yield make
    for ec2 in made:
        ec2.stop()


@pytest.fixture
def cloud(make_cloud: Callable[..., Cloud]) -> Cloud:
    """Real machines of whichever kind this computer allows."""
    return make_cloud()


@pytest.fixture
def api_cloud(make_cloud: Callable[..., Cloud]) -> Cloud:
    """Machines without processes, for tests of the API alone."""
    return make_cloud(LocalSettings(**vars(INSTANT) | {"variant": "standin"}))
