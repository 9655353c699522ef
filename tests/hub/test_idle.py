"""The service that stops idle machines, as a manager's hub runs it."""

import asyncio
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from sites import BRISK

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

PROGRAM = str(Path(__file__).with_name("hurried_idle.py"))
SITE = {
    "more_server_config": {"JUPYTER_NOTEBOOK_TIMEOUT": 86400},
    "more_config": BRISK
    + f"""
import sys
from cloudjhub import idle
service = idle.service()
assert service["command"] == [sys.executable, "-m", "cloudjhub.idle"]
service["command"] = [sys.executable, {PROGRAM!r}]
service["environment"] |= {{"CLOUDJHUB_LOOK_SECONDS": "1", "CLOUDJHUB_HEARING_SECONDS": "0"}}
c.JupyterHub.services.append(service)
c.JupyterHub.load_roles.append(idle.role())
""",
}


async def test_idle_machines_are_stopped_and_others_are_not(site):
    people = [await site.user(name) for name in ("student01", "student02")]
    await asyncio.gather(*(person.start_server() for person in people))
    # Of one of them the hub is told what a single-user server tells while somebody works.
    later = (datetime.now(timezone.utc) + timedelta(minutes=30)).isoformat()
    body = {"servers": {"": {"last_activity": later}}, "last_activity": later}
    assert (await site.api("POST", "/users/student02/activity", **body))[0] == 200
    site.let_pass(600)
    await _looked(site)
    assert await site.machine_state("student01") == "running"

    site.rewrite_config(JUPYTER_NOTEBOOK_TIMEOUT=300)
    await site.no_server("student01")
    await site.machine_stopped("student01")
    await _looked(site)
    assert await site.machine_state("student02") == "running"
    site.let_pass(3600)
    await site.no_server("student02")
    await site.machine_stopped("student02")


async def _looked(site):
    """Wait until the service has looked at everybody twice more."""
    mark = len(site.hub_log())

    def looked():
        return site.hub_log(mark).count("GET /hub/api/users?") > 2

    await site.until("the service to look at everybody", looked)
