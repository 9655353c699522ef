"""A hub at a name, without HTTPS: browsers leave out what they send by HTTPS or to localhost."""

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect
from sites import BRISK, LISTED, Site, running_site
from yarl import URL

from cloudjhub.logins.one_time import OneTimePasswords

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

_PASSWORD = "a long enough password"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """A hub with accounts of its own."""
    folder = tmp_path_factory.mktemp("site")
    async with running_site(folder, users=("admin",), more_config=BRISK + LISTED) as running:
        yield running


def address(site: Site, path: str) -> str:
    return str(URL(site.demo.url).with_host("hub.example").join(URL(path)))


async def sign_up(site: Site, page: Page, name: str) -> None:
    await page.goto(address(site, "/hub/signup"))
    await page.locator("input[name=username]").fill(name)
    await page.locator("input[name=signup_password]").fill(_PASSWORD)
    await page.locator("input[name=signup_password_confirmation]").fill(_PASSWORD)
    await page.get_by_role("button", name="Sign up").click()
    await expect(page.locator("#signup-result")).to_contain_text("lets you in")


async def log_in_as_admin(site: Site, page: Page) -> None:
    passwords = OneTimePasswords(site.demo.folder / "one_time_passwords.json")
    await page.goto(address(site, "/hub/login?next=%2Fhub%2Fauthorize"))
    await page.get_by_label("Username").fill("admin")
    await page.get_by_label("Password").fill(passwords.give(["admin"], again=True)["admin"])
    await page.get_by_role("button", name="Sign in").click()
    await page.get_by_label("New password:").fill(_PASSWORD)
    await page.get_by_label("The same password again:").fill(_PASSWORD)
    await page.get_by_role("button", name="Save and log in").click()
    await page.wait_for_url(re.compile("/hub/authorize"))


async def test_an_admin_lets_in_keeps_out_and_removes(site, page, shoot):
    for name in ("vera", "waldo"):
        await sign_up(site, page, name)
    await log_in_as_admin(site, page)
    vera, waldo = page.locator("tr#vera"), page.locator("tr#waldo")
    await vera.get_by_role("button", name="Let in").click()
    await expect(vera).to_contain_text("yes")
    await shoot("sign-ups")
    await vera.get_by_role("button", name="Keep out").click()
    await expect(vera).to_contain_text("no, waits")
    await waldo.get_by_role("button", name="Remove").click()
    await expect(waldo).to_have_count(0)
