"""One hub with its proxy, a local EC2 and stand-in machines for all surges of a session."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from sites import HURRIED, QUICK, running_site
from surge.crowd import Crowd, Surge

from cloudjhub.local import LocalEC2

MORE_CONFIG = f"""{HURRIED}
c.InstanceSpawner.poll_interval = 30
load_subconfig({str(Path(__file__).with_name("hurried_calls.py"))!r})
"""


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def crowd(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Crowd]:
    """The users of all tests. Forty have been here before and have a stopped machine each."""
    local = replace(QUICK, variant="standin", workers=8)
    folder = tmp_path_factory.mktemp("surge")
    async with running_site(folder, local=local, more_config=MORE_CONFIG, users=()) as site:
        crowd = Crowd(site)
        try:
            await crowd.come_for_the_first_time()
            yield crowd
        finally:
            await crowd.close()


@pytest.fixture
def ec2(crowd: Crowd) -> LocalEC2:
    """Where the faults are."""
    return crowd.site.ec2


@pytest_asyncio.fixture(loop_scope="session")
async def surge(crowd: Crowd) -> AsyncIterator[Surge]:
    """Forty who come back and sixty who are new, none of whom has pressed Start yet."""
    surge = await crowd.gather()
    yield surge
    crowd.site.ec2.faults.clear()
    await crowd.leave(surge)
