"""Chromium, a hub to look at, and a place for what it looked like."""

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright, expect
from sites import USERS, Site, running_site

SCREENSHOTS = Path(__file__).parents[2] / "test-output" / "screenshots"

# For what comes at once unless this computer is busy.
_PATIENCE_MS = 120_000

# Nothing of Chromium's own may look for the internet while it shows pages of this computer.
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # A name that is not this computer's own: plain HTTP there is what it is on the Internet.
    "--host-resolver-rules=MAP hub.example 127.0.0.1",
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """A hub whose pages are looked at."""
    async with running_site(tmp_path_factory.mktemp("site"), users=USERS[:9]) as running:
        yield running


@pytest.fixture(autouse=True)
def no_faults(site: Site) -> Iterator[None]:
    """Whatever a test did to the EC2 ends with the test."""
    yield
    site.ec2.faults.clear()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Browser]:
    """The distribution's own Chromium, without a screen."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    assert program, "Chromium is not installed; scripts/test installs it by name."
    async with async_playwright() as playwright:
        expect.set_options(timeout=_PATIENCE_MS)
        browser = await playwright.chromium.launch(
            executable_path=program, args=_ARGUMENTS, timeout=_PATIENCE_MS
        )
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def page(chromium: Browser, request: pytest.FixtureRequest) -> AsyncIterator[Page]:
    """A window of its own; what it showed last is kept when the test is over."""
    context = await chromium.new_context(viewport={"width": 1280, "height": 800})
    # Of pages that open by themselves, too, and of what navigates.
    context.set_default_timeout(_PATIENCE_MS)
    context.set_default_navigation_timeout(_PATIENCE_MS)
    window = await context.new_page()
    yield window
    await _keep(window, f"{request.node.name}-end")
    await context.close()


@pytest.fixture
def shoot(page: Page) -> Callable[[str], Awaitable[None]]:
    """Keeps what the window shows, under the name given."""
    return lambda name: _keep(page, name)


async def _keep(page: Page, name: str) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    await page.screenshot(path=SCREENSHOTS / f"{name}.png")
