"""A notebook before the night and after it."""

import re
from pathlib import Path

import pytest
import pytest_asyncio
from hub.asleep import hibernated
from playwright.async_api import expect
from sites import USERS, running_site

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

SCREENSHOTS = Path(__file__).parents[2] / "test-output" / "screenshots"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory):
    """A hub that hibernates idle machines."""
    settings = {"more_server_config": {"IDLE_ACTION": "hibernate"}}
    folder = tmp_path_factory.mktemp("site")
    async with running_site(folder, users=USERS[:2], **settings) as running:
        yield running


async def test_a_variable_is_there_after_the_night(site, page, shoot):
    await page.goto(f"{site.demo.url}/hub/home")
    await page.get_by_label("Username").fill("student01")
    await page.get_by_label("Password").fill(site.demo.password("student01"))
    await page.get_by_role("button", name="Sign in").click()
    await page.get_by_role("button", name="Start My Server").click()
    await page.wait_for_url(re.compile(r"/user/student01/lab"))
    await page.locator(".jp-LauncherCard", has_text="Python 3").first.click()
    await _kernel_is_there(page)
    await page.get_by_role("button", name="No", exact=True).click()
    await page.locator(".jp-Notebook .jp-CodeCell .cm-content").first.click()
    await _run(page, "x = 40 + 1; x", "41")
    await shoot("hibernation-1-evening")

    machine = (await site.the_machine("student01"))["InstanceId"]
    ((pid, _),) = site.notebooks(machine).items()
    await hibernated(site, "student01")
    # JupyterLab, which was left open, notices and leads back.
    restart = page.get_by_role("dialog").get_by_role("button", name="Restart")
    await expect(restart).to_be_visible()
    await shoot("hibernation-2-night")
    async with page.context.expect_page() as opened:
        await restart.click()
    morning = await opened.value
    await morning.wait_for_url(re.compile(r"/user/student01/lab"))
    assert list(site.notebooks(machine)) == [pid]

    # Its address alone does not open the notebook where JupyterLab, which is open twice, takes
    # another workspace for this window.
    await expect(morning.locator(".jp-LauncherCard, .jp-Notebook").first).to_be_visible()
    await morning.locator(".jp-DirListing-item", has_text="Untitled.ipynb").dblclick()
    await _kernel_is_there(morning)
    await morning.locator(".jp-Notebook .jp-CodeCell .cm-content").first.click()
    await _run(morning, "print(x + 1)", "42")
    await morning.screenshot(path=SCREENSHOTS / "hibernation-3-morning.png")


async def _kernel_is_there(page):
    # A cell that is run before its kernel is there is not run at all.
    await expect(page.get_by_text("Python 3 (ipykernel) | Idle")).to_be_visible()


async def _run(page, code, shown):
    await page.keyboard.type(code)
    await page.keyboard.press("Shift+Enter")
    await expect(page.locator(".jp-OutputArea-output").last).to_contain_text(shown)
