"""What every test gets: an environment in which no account, hub or web proxy is known."""

import os
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from sites import Site, running_site

from cloudjhub.demo.hub_files import clean_environment


@pytest.fixture(scope="session", autouse=True)
def nobodys_account() -> Iterator[None]:
    """Whatever AWS account, hub or web proxy this computer knows stays out of the tests."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(clean_environment(before))
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """The hub that the tests of one file share; each test uses students of its own."""
    async with running_site(tmp_path_factory.mktemp("site")) as running:
        yield running
