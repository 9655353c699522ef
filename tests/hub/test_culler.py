"""The culler as a hub runs it: live limits, outages of the hub, the page and the metrics."""

import asyncio
import contextlib
import re
from datetime import datetime, timedelta, timezone
from pathlib import Path

import aiohttp
import pytest
from hub.together import HELD, together
from sites import BRISK

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

PROGRAM = str(Path(__file__).with_name("hurried_culler.py"))
#: seconds by which the clock is put forward at a time; what is longer is an outage for the culler
STEP = 500
LIMIT = 2 * STEP
NEVER_HERE = 10_000 * STEP
CLASS = [f"student{number}" for number in range(10, 20)]
PACE = {
    "round_seconds": 0.3,
    "hole_seconds": 1.5 * STEP,
    "report_seconds": 100,
    "work_report_seconds": 10,
}
SITE = {
    "more_server_config": {"JUPYTER_NOTEBOOK_TIMEOUT": NEVER_HERE},
    "more_config": f"""{BRISK}{HELD}
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


async def test_groups_and_users_have_limits_of_their_own(site):
    names = ["student03", "student04", "student05"]
    await _start(site, names)
    for group in ("long", "short"):
        assert (await site.api("POST", f"/groups/{group}"))[0] == 201
    assert (await site.api("POST", "/groups/long/users", users=["student04"]))[0] == 200
    assert (await site.api("POST", "/groups/short/users", users=names))[0] == 200
    limit = _limit(site, 2)
    own = {"IDLE_TIMEOUT_OF_USER": {"student05": 0}}
    site.rewrite_config(IDLE_TIMEOUT_OF_GROUP={"long": NEVER_HERE, "short": limit}, **own)
    await _pass_steps(site, 3)
    await site.no_server("student03")
    await _rounds(site)
    assert await site.server("student04") and await site.server("student05")
    site.rewrite_config(IDLE_TIMEOUT_OF_GROUP={"long": limit}, **own)
    await site.no_server("student04")
    await _rounds(site)
    assert await site.server("student05")
    site.rewrite_config()
    assert (await site.api("DELETE", "/users/student05/server"))[0] in (202, 204)


async def test_in_quiet_hours_nothing_is_stopped_and_then_what_is_old_is(site):
    await _start(site, ["student06"])
    own = {"IDLE_TIMEOUT_OF_USER": {"student06": 0}, "MAX_AGE_HOURS": 1}
    site.rewrite_config(IDLE_NEVER_IN=["* 00:00-00:00 UTC"], **own)
    await _pass_steps(site, 8)
    assert "but in these hours nothing is stopped" in await _page(site)
    assert await site.server("student06")
    site.rewrite_config(**own)
    await site.no_server("student06")
    await _rounds(site)
    assert re.search(
        r"student06 default stop up for \d+:\d+:\d+, the limit is 1:00:00 done", await _page(site)
    )
    site.rewrite_config()


async def test_an_outage_of_the_hub_is_nobodys_idle_time(site):
    await _start(site, CLASS)
    service = _culler_pids(site)
    assert len(service) == 1
    site.rewrite_config(JUPYTER_NOTEBOOK_TIMEOUT=_limit(site, 2))
    await _pass_steps(site, 1)
    await site.demo.hub.crash()
    site.let_pass(1000 * STEP)
    await site.hub_again()
    await _rounds(site)
    assert "The hub was out of sight" in await _page(site)
    # It has a new culler, and the old one has not outlived its hub.
    assert len(_culler_pids(site)) == 1 and _culler_pids(site) != service
    for name in CLASS:
        assert await site.server(name), name

    # The same clock in steps in which the culler looks: now it is idle time, and of all.
    site.ec2.reset_calls()
    with together(site, len(CLASS)):
        await _pass_steps(site, 2)
        await site.no_server(CLASS[0])
    for name in CLASS:
        await site.no_server(name)
        await site.machine_stopped(name)
    stops = sum(site.ec2.calls()["StopInstances"].values())
    assert stops <= len(CLASS) / 2, site.ec2.calls()
    site.rewrite_config()


async def test_the_page_is_for_admins_and_the_metrics_for_who_has_the_scope(site):
    assert "Idle servers" in await _page(site)
    student = await site.user("student07")
    assert "403" in await student.page("/services/culler/", 403)
    assert "403" in await student.page("/services/culler/metrics", 403)
    assert "cloudjhub_sweeps_total" in await _metrics(site)


async def _start(site, names):
    people = [await site.user(name) for name in names]
    await asyncio.gather(*(person.start_server() for person in people))


def _limit(site, steps):
    """A limit that is reached so many steps from now by a server that began now.

    It began by the hub's clock, which is not put forward, so it is idle by as much already.
    """
    ahead = float((site.ec2.state_dir / "ahead").read_text())
    return int(ahead + steps * STEP)


def _culler_pids(site):
    """Of this hub's service, by what each process of this computer was told."""
    config = f"CLOUDJHUB_CONFIG={site.demo.folder / 'server_config.json'}"
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command, environment = (process / "cmdline"), (process / "environ")
            told = PROGRAM.encode() in command.read_bytes()
            if told and config.encode() in environment.read_bytes():
                found.add(int(process.name))
    return found


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

    def done():
        return _metric(site, 'cloudjhub_culler_rounds_total{outcome="read"}')

    # Its page is there a moment after the hub is.
    before = await site.until("the culler's first round", done)

    async def two_more():
        return (await done() or 0) >= before + 2

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
