"""An account with clusters in it, for the tests of what an operator does."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from deploy.made_clusters import QUICK, Place

from cloudjhub.local import LocalEC2


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """An account of its own for one test, over HTTP."""
    with LocalEC2(tmp_path / "state", QUICK) as ec2:
        yield Place(ec2)
