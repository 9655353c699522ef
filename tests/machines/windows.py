"""Chromium, without a screen, in front of a hub whose certificate nobody vouches for."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

SCREENSHOTS = Path(__file__).parents[2] / "test-output" / "screenshots"
# Nothing of Chromium's own may look for the Internet.
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_START_SECONDS = 180
_PATIENCE_SECONDS = 90


@contextmanager
def chromium() -> Iterator[Browser]:
    """The distribution's own."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    assert program, "Chromium is not installed; scripts/test installs it by name."
    expect.set_options(timeout=_PATIENCE_SECONDS * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=list(_ARGUMENTS), timeout=_START_SECONDS * 1000
        )
        yield browser
        browser.close()


@dataclass
class Window:
    """One person's browser, logged in or not, at one hub."""

    browser: Browser
    url: str
    name: str
    password: str
    context: BrowserContext = field(init=False)
    page: Page = field(init=False)

    def __post_init__(self) -> None:
        self.url = self.url.rstrip("/")
        self.context = self.browser.new_context(
            ignore_https_errors=True, viewport={"width": 1280, "height": 800}
        )
        self.page = self.context.new_page()
        self.page.set_default_timeout(_PATIENCE_SECONDS * 1000)

    def close(self) -> None:
        self.context.close()

    def shoot(self, name: str) -> None:
        """Keep what the window shows."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"cluster-{name}.png")

    # -- accounts

    def log_in(self) -> None:
        self._sign_in(self.password)
        # Whoever goes on before that gives the login up.
        self.page.wait_for_url(re.compile("/hub/home"))

    def _sign_in(self, password: str) -> None:
        self.page.goto(f"{self.url}/hub/login?next=%2Fhub%2Fhome")
        self.page.get_by_label("Username").fill(self.name)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Sign in").click()

    def choose_password(self, one_time: str) -> None:
        """The first login of somebody who was given a one-time password."""
        self._sign_in(one_time)
        self.page.get_by_label("New password:").fill(self.password)
        self.page.get_by_label("The same password again:").fill(self.password)
        self.shoot(f"{self.name}-chooses")
        self.page.get_by_role("button", name="Save and log in").click()
        self.page.wait_for_url(re.compile("/hub/home"))

    def sign_up(self, word: str) -> None:
        """As somebody of the class."""
        self.page.goto(f"{self.url}/hub/signup")
        self.page.locator("input[name=username]").fill(self.name)
        self.page.locator("input[name=signup_password]").fill(self.password)
        self.page.locator("input[name=signup_password_confirmation]").fill(self.password)
        self.page.locator("input[name=signup_code]").fill(word)
        self.shoot(f"{self.name}-signs-up")
        self.page.locator("form [type=submit]").click()
        expect(self.page.get_by_text("Your account is ready")).to_be_visible()

    def add_users(self, *names: str) -> None:
        """The admin page's bulk form."""
        self.page.goto(f"{self.url}/hub/admin")
        self.page.get_by_role("button", name="Add Users").click()
        self.page.get_by_role("textbox").first.fill("\n".join(names))
        self.shoot("admin-adds")
        self.page.get_by_role("button", name=re.compile("Add Users|Submit")).last.click()
        for name in names:
            expect(self.page.get_by_text(name, exact=True).first).to_be_visible()

    # -- work

    def start_server(self) -> None:
        """From the hub's home page to JupyterLab; the progress page is kept."""
        self.page.goto(f"{self.url}/hub/home")
        self.page.get_by_role("button", name="Start My Server").click()
        self.page.wait_for_url(re.compile("/(hub/spawn-pending|user)/"))
        self.shoot(f"{self.name}-waits")
        self.wait_for_lab()

    def wait_for_lab(self) -> None:
        # Not wait_for_url: "load" comes and goes several times on the way.
        expect(self.page).to_have_url(
            re.compile(f"/user/{self.name}/lab"), timeout=_START_SECONDS * 1000
        )
        expect(self.page.locator("#jp-main-dock-panel")).to_be_visible()

    def new_notebook(self) -> None:
        """On a server that runs; what was open there is closed."""
        self.page.goto(f"{self.url}/user/{self.name}/lab?reset")
        self.wait_for_lab()
        self.page.locator(".jp-LauncherCard", has_text="Python 3").first.click()
        # A cell that is run before its kernel is there is not run at all.
        expect(self.page.get_by_text("Python 3 (ipykernel) | Idle")).to_be_visible()
        news = self.page.get_by_role("button", name="No", exact=True)
        if news.count():
            news.first.click()

    def run_cell(self, code: str) -> str:
        """Run code in the last cell of the notebook; gives what it printed."""
        cells = self.page.locator(".jp-Notebook .jp-CodeCell")
        number = cells.count() - 1
        cells.nth(number).locator(".cm-content").click()
        self.page.keyboard.insert_text(code)
        self.page.keyboard.press("Shift+Enter")
        output = cells.nth(number).locator(".jp-OutputArea-output")
        expect(output.first).to_be_visible()
        return output.first.inner_text().strip()
