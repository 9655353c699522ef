"""The pages as people see them, in Chromium."""

import re

import pytest
from playwright.async_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


async def _log_in(site, page, name):
    await page.goto(f"{site.demo.url}/hub/home")
    await page.get_by_label("Username").fill(name)
    await page.get_by_label("Password").fill(site.demo.password(name))
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url(re.compile(r"/hub/home"))


async def test_from_the_login_page_to_a_cell_that_ran(site, page, shoot):
    await page.goto(site.demo.url)
    await shoot("1-login")
    await _log_in(site, page, "student01")
    site.ec2.faults.hold("boot")
    await page.get_by_role("button", name="Start My Server").click()

    await page.wait_for_url(re.compile(r"/hub/spawn-pending/"))
    message = page.locator("#progress-message")
    await expect(message).to_contain_text("Your machine is booting")
    await page.locator("#progress-details summary").click()
    await shoot("2-progress")
    log = await page.locator(".progress-log-event").all_inner_texts()
    assert any("Getting you a new machine." in line for line in log), log
    site.ec2.faults.let_go("boot")

    await page.wait_for_url(re.compile(r"/user/student01/lab"))
    await page.locator(".jp-LauncherCard", has_text="Python 3").first.click()
    # A cell that is run before its kernel is there is not run at all.
    await expect(page.get_by_text("Python 3 (ipykernel) | Idle")).to_be_visible()
    await page.get_by_role("button", name="No", exact=True).click()
    cell = page.locator(".jp-Notebook .jp-CodeCell .cm-content").first
    await cell.click()
    await page.keyboard.type(
        "import os, socket; print(6 * 7, os.environ['HOME'], socket.gethostname())"
    )
    await page.keyboard.press("Shift+Enter")
    await expect(page.locator(".jp-OutputArea-output").first).to_contain_text(
        "42 /home/jupyter ip-127-"
    )
    await shoot("3-notebook")


async def test_an_admin_adds_students_and_stops_a_server(site, page, shoot):
    await (await site.user("student02")).start_server()
    await _log_in(site, page, "admin")
    await page.goto(f"{site.demo.url}/hub/admin")
    await page.get_by_role("button", name="Add Users").click()
    await page.get_by_role("textbox").first.fill("nina\nomar\npaula")
    await shoot("4-add-users")
    await page.get_by_role("button", name=re.compile("Add Users|Submit")).last.click()
    for name in ("nina", "omar", "paula"):
        await expect(page.get_by_text(name, exact=True).first).to_be_visible()

    row = page.locator("tr", has_text="student02").first
    await row.get_by_role("button", name="Stop Server").click()
    await expect(row.get_by_role("button", name="Start Server")).to_be_visible()
    await shoot("5-admin")
    await site.no_server("student02")


async def test_a_refusal_is_one_sentence_that_says_what_to_do(site, page, shoot):
    # Of a type that nobody else wants: that there is none of it is remembered for minutes.
    site.ec2.faults.capacity("c5.large", "us-east-1a", 0)
    with site.config(WORKER_INSTANCE_TYPE="c5.large"):
        await _log_in(site, page, "student03")
        await page.get_by_role("button", name="Start My Server").click()
        await expect(page.locator("#progress-message")).to_contain_text(
            "Amazon has no c5.large in zone us-east-1a just now."
        )
    await shoot("6-no-capacity")


async def test_who_waits_for_a_machine_sees_the_place_and_gets_the_next_one(site, page, shoot):
    first = await site.user("student04")
    await first.start_server()
    running = sum(machine["State"]["Name"] == "running" for machine in await site.machines())
    with site.config(MAX_MACHINES=running):
        await site.user("student05")
        await site.begin("student05")
        await _log_in(site, page, "student06")
        await page.get_by_role("button", name="Start My Server").click()
        message = page.locator("#progress-message")
        await expect(message).to_contain_text(
            re.compile(
                rf"You wait for a machine: this cluster runs as many machines as it may "
                rf"\({running}\); you are number 2 of 2, \d+ s so far"
            )
        )
        await page.locator("#progress-details summary").click()
        await shoot("7-in-line")
        await site.api("DELETE", "/users/student05/server")
        await expect(message).to_contain_text("you are number 1 of 1")
        await shoot("8-next-in-line")
        await first.stop_server()
        await page.wait_for_url(re.compile(r"/user/student06/lab"))
