"""Idle servers that are hibernated with their machines, and what a login then finds."""

import os
import signal
import sqlite3
from contextlib import closing
from datetime import datetime, timedelta, timezone

import pytest
from hub.asleep import hibernated, idle_stop, oauth_client, reports, server_of, token_of
from sites import BRISK

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

# Some students get real notebooks, for what only a kernel or a browser's cookies can tell.
SITE = {
    "more_server_config": {"IDLE_ACTION": "hibernate"},
    "more_config": f"""{BRISK}
cheap = list(c.Spawner.cmd)

def command(spawner):
    real = spawner.user.name in ("student01", "student02")
    spawner.cmd = ["jupyterhub-singleuser"] if real else cheap

c.Spawner.pre_spawn_hook = command
c.InstanceSpawner.capacity_memory_seconds = 0.0
c.Spawner.oauth_client_allowed_scopes = ["read:users!user"]
""",
}


async def test_kernels_and_variables_are_there_after_the_night(site):
    student = await site.user("student01")
    kernel = await _computed(student, "kept = 6 * 7")
    before = await server_of(site, "student01")
    (token,) = await student.tokens()
    client = oauth_client(site, "student01")

    await hibernated(site, "student01")
    assert await student.tokens() == [token]
    await student.start_server()
    assert await server_of(site, "student01") == before
    assert await student.tokens() == [token]
    assert await _value(student, kernel, "kept") == "42"
    assert oauth_client(site, "student01") == client

    later = datetime.now(timezone.utc) + timedelta(minutes=30)
    assert await reports(before, later) == 200
    seen = (await site.server("student01"))["last_activity"]
    assert datetime.fromisoformat(seen) == later
    # A browser that never was there gets in by the same process's OAuth client.
    anew = await site.user("student01")
    await anew.open_server()
    assert await _value(anew, kernel, "kept") == "42"
    # And once more: it is a server like any other.
    await hibernated(site, "student01")
    await student.start_server()
    assert await server_of(site, "student01") == before
    assert await _value(student, kernel, "kept") == "42"


async def test_a_hub_that_was_restarted_wakes_it_too(site):
    student = await site.user("student02")
    kernel = await _computed(student, "kept = 'of yesterday'")
    before = await server_of(site, "student02")
    await hibernated(site, "student02")
    await site.demo.hub.crash()
    await site.hub_again()
    student = await site.user("student02")
    await student.start_server()
    assert await server_of(site, "student02") == before
    await student.open_server()
    assert await _value(student, kernel, "kept") == "of yesterday"


async def test_a_users_own_stop_is_plain_and_its_token_dies(site):
    student = await site.user("student03")
    await student.start_server()
    before = await server_of(site, "student03")
    await student.stop_server()
    await site.machine_stopped("student03")
    machine = await site.the_machine("student03")
    assert machine["StateReason"]["Code"] == "Client.UserInitiatedShutdown"
    assert await student.tokens() == []
    assert await reports(before) == 403
    await student.start_server()
    assert token_of(await server_of(site, "student03")) != token_of(before)


async def test_a_process_that_did_not_come_back_is_replaced_and_its_token_revoked(site):
    student = await site.user("student04")
    await student.start_server()
    machine, pid, _ = before = await server_of(site, "student04")
    await site.write_home(machine, "thesis.txt", "half of it")
    await hibernated(site, "student04")
    os.kill(pid, signal.SIGKILL)
    start = await student.start_server()
    assert any("woke up without" in event.get("message", "") for event in start.events)
    after = await server_of(site, "student04")
    assert after[0] == machine and after[1] != pid
    assert await site.read_home(machine, "thesis.txt") == "half of it"
    assert len(await student.tokens()) == 1
    assert await reports(before) == 403
    assert await reports(after) == 200


async def test_a_token_that_was_not_the_servers_is_never_taken_from_a_machine(site):
    """Another user's, one of the user's own that may do more, and one of nobody."""
    other = await site.user("student05")
    await other.start_server()
    others = await server_of(site, "student05")
    student = await site.user("student06")
    await student.start_server()
    made = {"note": "Server at home"}
    own = (await student._json("POST", "/hub/api/users/student06/tokens", json=made))["token"]
    for planted in (token_of(others), own, "0" * 32):
        machine, _, _ = before = await server_of(site, "student06")
        await hibernated(site, "student06")
        file = (
            site.ec2.machines.get(machine).spec.folder / "disk/run/cloudjhub/private/notebook.env"
        )
        text = file.read_text()
        assert token_of(before) in text
        file.write_text(text.replace(token_of(before), planted))
        await student.start_server()
        after = await server_of(site, "student06")
        assert after[0] == machine
        assert token_of(after) not in (planted, token_of(before))
        assert await reports(before) == 403
        assert await reports(after) == 200
    assert len(await student.tokens()) == 2
    assert await reports(others) == 200


async def test_a_server_that_was_told_of_another_port_is_replaced(site):
    student = await site.user("student07")
    await student.start_server()
    before = await server_of(site, "student07")
    await hibernated(site, "student07")
    with site.config(IDLE_ACTION="hibernate", NOTEBOOK_PORT=8899):
        await student.start_server()
        after = await server_of(site, "student07")
        assert ":8899/" in after[2]["JUPYTERHUB_SERVICE_URL"]
        assert after[1] != before[1]
        assert await reports(before) == 403
        await student.stop_server()


async def test_a_start_that_failed_leaves_it_asleep(no_faults):
    site = no_faults
    student = await site.user("student12")
    await student.start_server()
    before = await server_of(site, "student12")
    await hibernated(site, "student12")
    machine = await site.the_machine("student12")
    site.ec2.faults.capacity(machine["InstanceType"], machine["Placement"]["AvailabilityZone"], 0)
    assert "hibernated with all that ran on it" in await site.failed_start("student12")
    tokens = await student.tokens()
    site.ec2.faults.clear()
    await student.start_server()
    assert await server_of(site, "student12") == before
    assert len(tokens) == 1 and await student.tokens() == tokens


async def test_a_named_server_that_is_removed_in_its_sleep_leaves_no_token(site):
    student = await site.user("student13")
    await student.start_server("second")
    await hibernated(site, "student13", "second")
    assert await site.server("student13", "second") is None
    assert len(await student.tokens()) == 1
    path = "/users/student13/servers/second"
    assert (await site.api("DELETE", path, remove=True))[0] == 204
    assert await student.tokens() == []


async def test_a_machine_that_cannot_hibernate_is_stopped(site):
    student = await site.user("student08")
    with site.config(IDLE_ACTION="stop"):
        await student.start_server()
    before = await server_of(site, "student08")
    mark = len(site.hub_log())
    await idle_stop(site, "student08")
    await site.machine_stopped("student08")
    assert await student.tokens() == []
    assert "stopped plainly" in site.hub_log(mark)
    await student.start_server()
    assert (await server_of(site, "student08"))[1] != before[1]


async def test_a_hub_that_dies_while_the_machine_wakes_finds_one_server_in_the_end(no_faults):
    site = no_faults
    student = await site.user("student09")
    await student.start_server()
    before = await server_of(site, "student09")
    await hibernated(site, "student09")
    site.ec2.faults.hold("boot")
    await site.begin("student09")

    async def running():
        return await site.machine_state("student09") == "running"

    await site.until("EC2 to start the machine", running)
    await site.demo.hub.crash()
    site.ec2.faults.let_go("boot")
    await site.hub_again()
    student = await site.user("student09")
    await site.until("the hub to have looked", lambda: _settled(site, "student09"))
    if await site.server("student09") is None:
        await student.start_server()
    after = await server_of(site, "student09")
    assert after[0] == before[0]
    # This hub never had the text of the token, and hibernates and wakes the server all the same.
    await hibernated(site, "student09")
    await student.start_server()
    assert await server_of(site, "student09") == after
    assert await reports(after) == 200
    assert len(await student.tokens()) == 1
    await student.stop_server()
    assert await student.tokens() == []
    assert await reports(before) == 403
    assert await reports(after) == 403


async def test_a_database_from_before_the_night_still_gives_the_server_back(site):
    """Last: the hub forgets what it heard since the copy."""
    kept, lost = await site.user("student10"), await site.user("student11")
    await kept.start_server()
    before = await server_of(site, "student10")
    database = site.demo.folder / "jupyterhub.sqlite"
    await site.demo.hub.stop()
    copy = database.with_name("copy.sqlite")
    _copied(database, copy)
    await site.demo.hub.start(240)
    await site.until("the hub to take up the server", lambda: _ready(site, "student10"))
    await lost.start_server()
    unknown = await server_of(site, "student11")
    await site.write_home(unknown[0], "thesis.txt", "half of it")
    for name in ("student10", "student11"):
        await hibernated(site, name)
    await site.demo.hub.stop()
    for file in database.parent.glob("jupyterhub.sqlite*"):
        file.unlink()
    _copied(copy, database)
    await site.demo.hub.start(240)
    await site.until("the hub to have looked", lambda: _settled(site, "student10"))

    kept, lost = await site.user("student10"), await site.user("student11")
    await kept.start_server()
    assert await server_of(site, "student10") == before
    assert len(await kept.tokens()) == 1
    assert await reports(before) == 200
    await lost.start_server()
    after = await server_of(site, "student11")
    assert after[0] == unknown[0] and after[1] != unknown[1]
    assert await site.read_home(after[0], "thesis.txt") == "half of it"
    assert await reports(after) == 200
    assert await reports(unknown) == 403


def _copied(source, target):
    """With what still stands in its write-ahead log."""
    with closing(sqlite3.connect(source)) as there, closing(sqlite3.connect(target)) as copy:
        there.backup(copy)


async def _computed(student, code):
    """A kernel of the student's, which ran the code."""
    await student.start_server()
    await student.open_server()
    kernel = await student.start_kernel()
    await kernel.run(code)
    await kernel.close()
    return kernel.id


async def _value(student, kernel_id, name):
    kernel = await student.kernel(kernel_id)
    try:
        return (await kernel.run(f"print({name})")).strip()
    finally:
        await kernel.close()


async def _ready(site, name):
    server = await site.server(name)
    return server and server["ready"]


async def _settled(site, name):
    """Whether the hub has found out what became of the server."""
    server = await site.server(name)
    return server is None or (server["ready"] and not server["pending"])
