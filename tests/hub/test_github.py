"""Login with GitHub, as the launch configures it, at a GitHub that runs here."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from sites import BRISK, Site, running_site
from yarl import URL

from cloudjhub.deploy.provision.login import USERLIST_PATH, GitHubLogin, login_config

pytestmark = pytest.mark.asyncio(loop_scope="module")

MEMBERS = {"member"}
LOGIN = GitHubLogin("our-client-id", "our-client-secret", "example-edu")


OWN_URL = """
import re
from pathlib import Path
text = Path(__file__).with_name("demo.py").read_text()
own_url = re.search(r"bind_url = '(.*)'", text)[1]
"""


class GitHub:
    """Says who somebody is, as GitHub's OAuth and REST API do; ``user`` sits at the browser."""

    def __init__(self) -> None:
        self.user = ""
        self.url = ""

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/login/oauth/authorize", self.authorize)
        app.router.add_post("/login/oauth/access_token", self.access_token)
        app.router.add_get("/api/v3/user", self.who)
        app.router.add_get("/api/v3/orgs/example-edu/members/{name}", self.membership)
        return app

    async def authorize(self, request: web.Request) -> web.Response:
        assert request.query["client_id"] == LOGIN.client_id
        assert request.query["scope"] == "read:org"
        back = URL(request.query["redirect_uri"])
        state = {"code": f"code-of-{self.user}", "state": request.query["state"]}
        raise web.HTTPFound(back.with_query(state))

    async def access_token(self, request: web.Request) -> web.Response:
        form = await request.post()
        assert form["client_secret"] == LOGIN.client_secret
        name = str(form["code"]).removeprefix("code-of-")
        token = {"access_token": f"token-of-{name}", "token_type": "bearer", "scope": "read:org"}
        return web.json_response(token)

    async def who(self, request: web.Request) -> web.Response:
        name = request.headers["Authorization"].rpartition("token-of-")[2]
        return web.json_response({"login": name, "id": 1, "email": None})

    async def membership(self, request: web.Request) -> web.Response:
        return web.Response(status=204 if request.match_info["name"] in MEMBERS else 404)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def github() -> AsyncIterator[GitHub]:
    """Somewhere on this computer."""
    service = GitHub()
    runner = web.AppRunner(service.app())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    service.url = f"http://{host}:{port}"
    yield service
    await runner.cleanup()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(github: GitHub, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """A hub with the launch's own configuration of logins."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "userlist").write_text("ann admin\nBob\n")
    text = login_config(LOGIN, "URL/").replace(USERLIST_PATH, str(folder / "userlist"))
    callback = "'URL/hub/oauth_callback'"
    assert callback in text
    # The demo takes a free port; its own file says which.
    text = f"{OWN_URL}\n" + text.replace(callback, "own_url + '/hub/oauth_callback'")
    text += f"\nc.GitHubOAuthenticator.github_url = {github.url!r}\n"
    async with running_site(folder / "demo", more_config=BRISK + text) as running:
        yield running


async def log_in(site: Site, github: GitHub, name: str) -> tuple[int, str]:
    """The way of a browser from the hub's login page by GitHub and back."""
    github.user = name
    jar = aiohttp.CookieJar(unsafe=True)
    async with (
        aiohttp.ClientSession(cookie_jar=jar) as browser,
        browser.get(f"{site.demo.url}/hub/oauth_login?next=/hub/home") as answer,
    ):
        return answer.status, answer.url.path


@pytest.mark.parametrize("name", ["ann", "bob", "BOB", "member"])
async def test_who_is_listed_or_of_the_organization_is_in(site, github, name):
    assert await log_in(site, github, name) == (200, "/hub/home")


async def test_the_lists_admins_are_admins(site, github):
    await log_in(site, github, "ann")
    assert (await site.api("GET", "/users/ann"))[1]["admin"] is True
    assert (await site.api("GET", "/users/bob"))[1]["admin"] is False


async def test_nobody_else_is_in_until_an_admin_adds_them(site, github):
    status, path = await log_in(site, github, "stranger")
    assert (status, path) == (403, "/hub/oauth_callback")
    assert (await site.api("POST", "/users", usernames=["stranger"]))[0] == 201
    assert await log_in(site, github, "stranger") == (200, "/hub/home")
