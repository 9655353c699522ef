"""The hub and its proxy: what passes through it is not work, and it gets back what it lost."""

import asyncio
from datetime import datetime

import aiohttp
import pytest
from sites import BRISK

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

SITE = {"more_config": f"{BRISK}\nc.JupyterHub.last_activity_interval = 1\n"}


async def test_what_passes_through_is_no_activity_and_lost_routes_come_back(site):
    people = [await site.user(name) for name in ("student01", "student02")]
    await asyncio.gather(*(person.start_server() for person in people))
    # At the end of its start the hub looks at the routes once more, but not at the times.
    await site.until("the hub to be up", lambda: "JupyterHub is now running" in site.hub_log())
    known = (await site.server("student01"))["last_activity"]

    async def seen_by_proxy():
        await people[0].page("/user/student01/api")
        routes = await _proxy(site, "GET", "")
        return _time(routes["/user/student01"]["last_activity"]) > _time(known)

    await site.until("the proxy to take a page for activity", seen_by_proxy)
    await _proxy(site, "DELETE", "/user/student02")

    async def back():
        return "/user/student02" in await _proxy(site, "GET", "")

    # The hub gives it back when it reads the whole table, with the times in it.
    await site.until("the hub to have read the proxy's table", back)
    assert (await site.server("student01"))["last_activity"] == known


def _time(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


async def _proxy(site, method, path):
    """One call of the proxy's own API."""
    headers = {"Authorization": f"token {site.demo.secrets.proxy_token}"}
    address = f"http://127.0.0.1:{site.demo.plan.proxy_api_port}/api/routes{path}"
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.request(method, address) as answer,
    ):
        assert answer.status < 300, await answer.text()
        return await answer.json() if method == "GET" else None
