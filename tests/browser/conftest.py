"""Chromium, a hub to look at, and a place for what it looked like."""

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright
from sites import QUICK, USERS, Site, running_site

SCREENSHOTS = Path(__file__).parents[2] / "test-output" / "screenshots"

# Nothing of Chromium's own may look for the internet while it shows pages of this computer.
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """A hub whose machines take long enough for the progress page to be read."""
    slow = replace(QUICK, pending_seconds=1.5, boot_seconds=2.0)
    async with running_site(
        tmp_path_factory.mktemp("site"), local=slow, users=USERS[:9]
    ) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Browser]:
    """The distribution's own Chromium, without a screen."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    assert program, "Chromium is not installed; scripts/test installs it by name."
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=_ARGUMENTS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def page(chromium: Browser, request: pytest.FixtureRequest) -> AsyncIterator[Page]:
    """A window of its own; what it showed last is kept when the test is over."""
    context = await chromium.new_context(viewport={"width": 1280, "height": 800})
    window = await context.new_page()
    window.set_default_timeout(30_000)
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
