"""When the machine stops, as JupyterLab shows it; and a page that is left open does not keep it."""

import re

import pytest
import pytest_asyncio
from playwright.async_api import expect
from sites import USERS, running_site

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

#: seconds; a server at work tells the hub three times in it
LIMIT = 60
PACE = {"round_seconds": 1, "hole_seconds": 20, "report_seconds": 5, "work_report_seconds": 20}
# Nothing is stopped at first, however long logins and pages take.
QUIET = {"JUPYTER_NOTEBOOK_TIMEOUT": LIMIT, "IDLE_NEVER_IN": ["* 00:00-00:00 UTC"]}
CONFIG = f"""
import json, os
from cloudjhub.culler import pace
os.environ[pace.VARIABLE] = json.dumps({PACE!r})
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory):
    """A hub that stops machines after a minute without work, once the quiet hours are over."""
    settings = {"more_server_config": QUIET, "more_config": CONFIG}
    folder = tmp_path_factory.mktemp("site")
    async with running_site(folder, users=USERS[:3], **settings) as running:
        yield running


async def test_a_forgotten_page_does_not_keep_its_machine_and_its_menu_does(
    site, chromium, page, shoot
):
    await (await site.user("student02")).start_server()
    await _open_lab(site, page, "student02")
    shown = page.locator("#cloudjhub-idle")
    await shown.click()
    menu = page.locator(".lm-Menu")
    await expect(menu.get_by_text("Keep for 12 h")).to_be_visible()
    await expect(menu.get_by_text("Keep for 24 h")).to_have_count(0)
    await shoot("idle-1-menu")
    await menu.get_by_text("Keep for 1 h", exact=True).click()
    await expect(shown).to_have_text(re.compile(r"^Kept until .*\d+:\d\d [AP]M$"))
    assert "it is kept until" in await shown.get_attribute("title")

    await (await site.user("student01")).start_server()
    elsewhere = await chromium.new_context(viewport={"width": 1280, "height": 800})
    elsewhere.set_default_timeout(120_000)
    forgotten = await elsewhere.new_page()
    # Left open in sight, it goes on listing files and kernels and saving its layout.
    async with forgotten.expect_request(re.compile("/lab/api/workspaces/")) as request:
        await _open_lab(site, forgotten, "student01")
        assert (await request.value).method in ("GET", "PUT")
    await expect(forgotten.locator("#cloudjhub-idle")).to_have_text(
        re.compile(r"^Machine stops at (\w+ )?\d+:\d\d [AP]M \(idle\)$")
    )
    with site.config(IDLE_NEVER_IN=[]):
        await site.no_server("student01")
        await site.machine_stopped("student01")
        assert await site.machine_state("student02") == "running"
    await shoot("idle-2-kept")

    await shown.click()
    await menu.get_by_text("Keep no longer").click()
    await expect(shown).to_have_text(re.compile(r"^Machine stops at "))
    await shown.click()
    await menu.get_by_text("When does this machine stop?").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("Nothing has worked on this machine since")
    await expect(dialog).to_contain_text("It stops 1 min after the last work")
    await shoot("idle-3-why")
    await elsewhere.close()


async def _open_lab(site, page, name):
    """Log in and look at JupyterLab."""
    await page.goto(f"{site.demo.url}/hub/login?next=/user/{name}/lab")
    await page.get_by_label("Username").fill(name)
    await page.get_by_label("Password").fill(site.demo.password(name))
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.locator(".jp-LauncherCard").first).to_be_visible()
