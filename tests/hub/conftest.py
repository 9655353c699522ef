"""The hub of each file: as its ``SITE`` says, with cheap servers and short waits if it asks."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from sites import Site, running_site


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    """The hub that the tests of one file share; each test uses students of its own."""
    settings = getattr(request.module, "SITE", {})
    async with running_site(tmp_path_factory.mktemp("site"), **settings) as running:
        yield running


@pytest.fixture
def no_faults(site: Site) -> Site:
    """The site; whatever a test did to its EC2 ends with the test."""
    yield site
    site.ec2.faults.clear()
