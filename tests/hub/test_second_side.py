"""A hub that was killed leaves machines that stop themselves, but not under who works on them."""

import asyncio
import json
from contextlib import suppress

import pytest
from sites import BRISK

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

#: seconds; the culler holds nobody idle so soon, so that only the machines' own side acts
SOON = 30
SITE = {
    "more_server_config": {"JUPYTER_NOTEBOOK_TIMEOUT": SOON, "SWEEP_GRACE_SECONDS": SOON},
    "more_config": f'{BRISK}\nc.Spawner.cmd = ["jupyterhub-singleuser"]\n',
}
# Nothing comes from it, and it takes next to nothing of a processor.
SILENT = "import os, time\nwhile not os.path.exists('enough'): time.sleep(0.1)\n"


async def test_a_killed_hub_leaves_machines_that_stop_themselves(site):
    idle, busy = [await site.user(name) for name in ("student01", "student02")]
    await asyncio.gather(idle.start_server(), busy.start_server())
    machine = (await site.the_machine(idle.name))["InstanceId"]
    await site.write_home(machine, "thesis", "precious")
    await _compute_in_silence(site, busy)

    await _kill_hub(site)
    await site.machine_stopped(idle.name)
    reason = (await site.the_machine(idle.name))["StateReason"]["Code"]
    assert reason == "Client.InstanceInitiatedShutdown"
    assert f"{machine} powers itself off" in site.ec2.machines.get(machine).console()
    assert await site.machine_state(busy.name) == "running"

    await site.demo.hub.start(240)
    await site.no_server(idle.name)
    await _adopted(site, busy.name)
    await idle.start_server()
    again = await site.the_machine(idle.name)
    assert (again["InstanceId"], again["State"]["Name"]) == (machine, "running")
    assert await site.read_home(machine, "thesis") == "precious"


async def _adopted(site, name):
    """Wait until the restarted hub has found the server of before."""

    async def ready():
        server = await site.server(name)
        return server is not None and server["ready"]

    await site.until(f"the hub to take up the server of {name}", ready)


async def _kill_hub(site):
    """As an accident would, and nobody starts it again."""
    hub = site.demo.hub
    hub._watch.cancel()
    await hub.crash()


async def _compute_in_silence(site, student):
    """Code runs on in a kernel that nobody is connected to, and the machine has noted it down."""
    machine = (await site.the_machine(student.name))["InstanceId"]
    await student.open_server()
    kernel = await student.start_kernel()
    running = asyncio.create_task(kernel.run(SILENT, deadline_seconds=3600))

    async def noted():
        read = "cat $CLOUDJHUB_ROOT/run/cloudjhub/runtime/idle.json || true"
        text = await asyncio.to_thread(site.ec2.machines.get(machine).run, ["sh", "-c", read])
        note = json.loads(text or "{}")
        works = "kernel" in [sign["kind"] for sign in note.get("signs", [])]
        # With the hub's word for the limit it looks as often as the limit wants it to.
        return works and note["limit_seconds"] == SOON

    await site.until(f"the machine of {student.name} to note that it works", noted)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    await kernel.close()
