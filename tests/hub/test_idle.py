"""The service that stops idle machines, as a manager's hub runs it."""

import asyncio
import json
import os
from datetime import datetime, timedelta, timezone

import pytest
from sites import BRISK

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

SITE = {
    "more_server_config": {"JUPYTER_NOTEBOOK_TIMEOUT": 86400},
    "more_config": BRISK
    + """
from cloudjhub import idle
service = idle.service()
service["environment"] |= {"CLOUDJHUB_LOOK_SECONDS": "1", "CLOUDJHUB_HEARING_SECONDS": "0"}
c.JupyterHub.services.append(service)
c.JupyterHub.load_roles.append(idle.role())
""",
}


async def test_idle_machines_are_stopped_and_others_are_not(site):
    people = [await site.user(name) for name in ("student01", "student02")]
    await asyncio.gather(*(person.start_server() for person in people))
    path = site.demo.folder / "server_config.json"
    changed = json.loads(path.read_text()) | {"JUPYTER_NOTEBOOK_TIMEOUT": 60}
    new = path.with_suffix(".new")
    new.write_text(json.dumps(changed))
    os.replace(new, path)

    async def idle_one_is_gone() -> bool:
        # What a single-user server does that is worked with.
        later = (datetime.now(timezone.utc) + timedelta(seconds=30)).isoformat()
        body = {"servers": {"": {"last_activity": later}}, "last_activity": later}
        status, _ = await site.api("POST", "/users/student02/activity", **body)
        assert status == 200
        return await site.server("student01") is None

    await site.until("the idle server to be stopped", idle_one_is_gone)
    await site.machine_stopped("student01")
    assert await site.machine_state("student02") == "running"
