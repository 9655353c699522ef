"""The culler as a hub runs it: live limits, outages of the hub, the page and the metrics."""

import asyncio
import re
from datetime import datetime, timedelta, timezone
from pathlib import Path

import aiohttp
import pytest
from sites import BRISK

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

PROGRAM = str(Path(__file__).with_name("hurried_culler.py"))
#: seconds by which the clock is put forward at a time; what is longer is an outage for the culler
STEP = 500
LIMIT = 2 * STEP
NEVER_HERE = 1000 * STEP
PACE = {
    "round_seconds": 0.5,
    "hole_seconds": 1.5 * STEP,
    "report_seconds": 100,
    "work_report_seconds": 10,
}
SITE = {
    "more_server_config": {"JUPYTER_NOTEBOOK_TIMEOUT": NEVER_HERE},
    "more_config": BRISK
    + f"""
import json, os, sys
from cloudjhub.culler import pace, service
assert service.COMMAND == [sys.executable, "-m", "cloudjhub.culler"]
service.COMMAND = [sys.executable, {PROGRAM!r}]
os.environ[pace.VARIABLE] = json.dumps({PACE!r})
""",
}


async def test_a_changed_limit_takes_effect_and_a_broken_file_keeps_the_last_good_one(site):
    people = [await site.user(name) for name in ("student01", "student02")]
    await asyncio.gather(*(person.start_server() for person in people))
    await _works(site, "student02", for_seconds=3300)
    await _pass_steps(site, 3)
    assert await _metric(site, "cloudjhub_culler_config_ok") == 1

    site.rewrite_config(JUPYTER_NOTEBOOK_TIMEOUT=LIMIT, POOL_MAX=-1)
    await _rounds(site)
    assert await site.machine_state("student01") == "running"
    assert await _metric(site, "cloudjhub_culler_config_ok") == 0
    assert "POOL_MAX: -1" in await _page(site)
    assert "is broken; what it said before stays in force" in site.hub_log()

    site.rewrite_config(JUPYTER_NOTEBOOK_TIMEOUT=LIMIT)
    await site.no_server("student01")
    await site.machine_stopped("student01")
    await _rounds(site)
    assert await _metric(site, "cloudjhub_culler_config_ok") == 1
    page = await _page(site)
    assert "POOL_MAX" not in page
    assert "the limit is 0:16:40 done" in page
    assert await site.machine_state("student02") == "running"
    await _pass_steps(site, 6)
    await site.no_server("student02")
    site.rewrite_config()


async def _works(site, user, for_seconds):
    """The hub is told that somebody works until then. It believes in an hour of future at most."""
    later = (datetime.now(timezone.utc) + timedelta(seconds=for_seconds)).isoformat()
    body = {"servers": {"": {"last_activity": later}}, "last_activity": later}
    assert (await site.api("POST", f"/users/{user}/activity", **body))[0] == 200


async def _pass_steps(site, steps):
    """So much time passes, and the culler looks in each step of it."""
    for _ in range(steps):
        site.let_pass(STEP)
        await _rounds(site)


async def _rounds(site):
    """Wait for a whole round that began from now on."""
    done = await _metric(site, 'cloudjhub_culler_rounds_total{outcome="read"}') or 0

    async def two_more():
        return (
            await _metric(site, 'cloudjhub_culler_rounds_total{outcome="read"}') or 0
        ) >= done + 2

    await site.until("the culler to look at everybody", two_more)


async def _metric(site, name):
    """Its value; None while it has none."""
    text = await _metrics(site)
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else None


async def _metrics(site):
    headers = {"Authorization": f"token {site.demo.secrets.api_token}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.get(f"{site.demo.url}/services/culler/metrics") as answer,
    ):
        text = await answer.text()
        return text if answer.status == 200 else ""


async def _page(site):
    """The culler's page as an admin sees it, as text."""
    admin = await site.user("admin")
    page = await admin.page("/services/culler/")
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())
