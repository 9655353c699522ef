"""A cluster that is full: who waits sees where, gets the next machine, and admins see it too."""

import asyncio
import re

import aiohttp
import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families
from sites import BRISK

from cloudjhub.deadlines import timeout

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

SITE = {"more_config": BRISK}


class Metrics:
    """What the hub shows to Prometheus, read with an admin's own token."""

    def __init__(self, site, token):
        self._url = f"{site.demo.url}/hub/metrics"
        self._headers = {"Authorization": f"token {token}"}

    async def read(self) -> dict[tuple[str, frozenset], float]:
        async with (
            aiohttp.ClientSession(headers=self._headers) as session,
            session.get(self._url) as answer,
        ):
            assert answer.status == 200
            families = text_string_to_metric_families(await answer.text())
            return {
                (sample.name, frozenset(sample.labels.items())): sample.value
                for family in families
                for sample in family.samples
            }

    async def of(self, name, **labels):
        return (await self.read()).get((f"cloudjhub_{name}", frozenset(labels.items())))


@pytest_asyncio.fixture(loop_scope="module")
async def metrics(site):
    """The hub's metrics, as an admin has them."""
    admin = await site.user("admin")
    asked = {"note": "metrics", "scopes": ["read:metrics"]}
    token = await admin._json("POST", "/hub/api/users/admin/tokens", json=asked)
    return Metrics(site, token["token"])


async def test_what_starts_took_is_known_to_the_next_hub(no_faults):
    site = no_faults
    site.ec2.faults.slow("boot", 2.0)
    await (await site.user("student11")).start_server()
    assert (await site.server("student11"))["state"]["took"]["boot"] >= 1
    await site.demo.hub.stop()
    await site.demo.hub.start(240)
    site.ec2.faults.hold("boot")
    await site.user("student12")
    await site.begin("student12")
    said = await _said(site, "student12", "Your machine is booting")
    assert re.search(r"Your machine is booting; usually \d+ s\.", said), said
    site.ec2.faults.let_go("boot")
    assert (await asyncio.wait_for(_followed(site, "student12"), 180))[-1]["ready"]
    for name in ("student11", "student12"):
        await site.api("DELETE", f"/users/{name}/server")
        await site.machine_stopped(name)


async def test_who_waits_sees_where_and_gets_the_next_place(no_faults, metrics):
    site = no_faults
    first = await site.user("student01")
    await first.start_server()
    with site.config(MAX_MACHINES=1):
        for name in ("student02", "student03"):
            await site.user(name)
            await site.begin(name)
            await _said(site, name, "You wait for a machine")
        assert await metrics.of("logins_waiting", queue="place") == 2
        assert await metrics.of("machines_limit") == 1
        assert await metrics.of("machines", state="running") == 1

        second = _followed(site, "student02")
        await first.stop_server()
        events = await asyncio.wait_for(second, 180)
        assert events[-1]["ready"]
        said = [event["message"] for event in events if "message" in event]
        assert any(
            "this cluster runs as many machines as it may (1); you are number 1 of 1" in message
            for message in said
        ), said
        await _said(site, "student03", "you are number 1 of 1")
        await site.api("DELETE", "/users/student03/server")
        await site.no_server("student03")
        assert await site.machines("student03") == []
    assert await metrics.of("logins_waiting", queue="place") == 0
    assert await metrics.of("machines_limit") is None


async def test_a_limit_that_is_raised_lets_the_next_in_without_a_restart(no_faults):
    site = no_faults
    await (await site.user("student04")).start_server()
    with site.config(MAX_MACHINES=1):
        await site.user("student05")
        await site.begin("student05")
        await _said(site, "student05", "You wait for a machine")
        site.rewrite_config(MAX_MACHINES=60)
        events = await asyncio.wait_for(_followed(site, "student05"), 180)
    assert events[-1]["ready"]


async def test_where_nobody_shall_wait_a_full_cluster_says_who_can_mend_it(no_faults):
    site = no_faults
    await (await site.user("student06")).start_server()
    student = await site.user("student07")
    with site.config(MAX_MACHINES=1, WHEN_FULL="refuse"):
        said = await site.failed_start("student07")
        assert said.endswith(
            "This cluster runs as many machines as it may (1). Try again when somebody has stopped "
            "their server. Your administrator can stop servers that nobody needs, or raise "
            "MAX_MACHINES in server_config.json; no restart is needed."
        )
        assert "Your administrator can stop servers" in await student.failure_page()
    await student.start_server()


async def test_whom_the_account_has_no_room_for_waits_for_a_machine_to_stop(no_faults, metrics):
    site = no_faults
    first = await site.user("student08")
    await first.start_server()
    running = len([m for m in await site.machines() if m["State"]["Name"] == "running"])
    site.ec2.faults.vcpu_quota(2 * running)
    await site.user("student09")
    refused = await metrics.of("limit_refusals_total", limit="account") or 0
    await site.begin("student09")
    await _said(site, "student09", "the account's quota of vCPUs is used up")
    assert await metrics.of("limit_refusals_total", limit="account") > refused
    assert await metrics.of("ec2_calls_total", action="RunInstances", outcome="VcpuLimitExceeded")
    waiting = _followed(site, "student09")
    await first.stop_server()
    assert (await asyncio.wait_for(waiting, 180))[-1]["ready"]


async def test_metrics_tell_what_ec2_itself_counted(no_faults, metrics):
    site = no_faults
    student = await site.user("student10")
    counted, shown = site.ec2.calls(), await metrics.read()
    await student.start_server()
    await student.stop_server()
    shown_after, after = await metrics.read(), site.ec2.calls()
    for action in ("RunInstances", "CreateTags", "StopInstances"):
        made = after[action]["ok"] - counted.get(action, {"ok": 0})["ok"]
        assert made >= 1
        assert _ok(shown_after, action) - _ok(shown, action) == made
    seconds = ("cloudjhub_phase_seconds_count", frozenset({("phase", "notebook")}))
    assert shown_after[seconds] == shown.get(seconds, 0) + 1
    assert shown_after["cloudjhub_view_age_seconds", frozenset()] < 60
    assert shown_after["cloudjhub_quota_vcpus", frozenset()] > 0


async def test_metrics_are_not_for_everybody(site):
    url = f"{site.demo.url}/hub/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert answer.status == 403


def _ok(shown, action):
    labels = frozenset({("action", action), ("outcome", "ok")})
    return shown.get(("cloudjhub_ec2_calls_total", labels), 0)


def _followed(site, user):
    """The events of a start, until its end."""
    return asyncio.ensure_future(_all_events(site, user))


async def _all_events(site, user):
    return [event async for event in site.progress(user)]


async def _said(site, user, words):
    """What was said with these words, as soon as it is."""
    async with timeout(180):
        async for event in site.progress(user):
            if words in event.get("message", "").replace("&#39;", "'"):
                return event["message"]
    raise AssertionError(f"Nobody said {words!r} to {user}:\n{site.hub_log()[-8000:]}")
