"""An account with clusters in it, for the tests of what an operator does."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from deploy.made_clusters import QUICK, Place
from moto.iam.models import iam_backends

from cloudjhub.local import LocalEC2


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """An account of its own for one test, over HTTP."""
    # The local EC2 leaves IAM to moto, which keeps one for the whole process.
    iam_backends.reset()
    with LocalEC2(tmp_path / "state", QUICK) as ec2:
        yield Place(ec2)
