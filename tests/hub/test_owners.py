"""Named servers, renamed servers and deleted users: what becomes of machines and homes."""

from urllib.parse import quote

import pytest
from sites import BRISK

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

SITE = {"more_config": BRISK}


async def test_named_servers_have_machines_and_homes_of_their_own(site):
    student = await site.user("student02")
    await student.start_server()
    await student.start_server("gpu")
    default = await site.the_machine("student02", "")
    gpu = await site.the_machine("student02", "gpu")
    assert default["InstanceId"] != gpu["InstanceId"]
    for machine, text in ((default, "the default"), (gpu, "gpu")):
        await site.write_home(machine["InstanceId"], "note.txt", text)
    assert await site.read_home(default["InstanceId"], "note.txt") == "the default"
    assert len(await site.homes("student02", "")) == len(await site.homes("student02", "gpu")) == 1

    await student.stop_server("gpu")
    await site.machine_stopped("student02", "gpu")
    assert await site.machine_state("student02", "") == "running"
    await student.start_server("gpu")
    assert (await site.the_machine("student02", "gpu"))["InstanceId"] == gpu["InstanceId"]
    assert await site.read_home(gpu["InstanceId"], "note.txt") == "gpu"


async def test_a_renamed_server_keeps_machine_and_files(site):
    student = await site.user("student03")
    await student.start_server("draft")
    before = (await site.the_machine("student03"))["InstanceId"]
    await site.write_home(before, "thesis.txt", "page one")
    await student.stop_server("draft")
    await site.machine_stopped("student03")

    status, answer = await site.api("PATCH", "/users/student03/servers/draft", name="final")
    assert status == 200, answer
    await student.start_server("final")
    assert (await site.the_machine("student03", "final"))["InstanceId"] == before
    assert await site.read_home(before, "thesis.txt") == "page one"
    assert await site.machines("student03", "draft") == []
    assert len(await site.homes("student03", "final")) == 1
    assert await site.homes("student03", "draft") == []


@pytest.mark.parametrize("name", ["zoë.müller+lab@uni.example", 'o\'neil; $(reboot) "x"', "王小明"])
async def test_a_name_of_any_kind_gets_a_machine_and_finds_it_again(site, name):
    path = f"/users/{quote(name, safe='')}"
    assert (await site.api("POST", path))[0] == 201
    before = {machine["InstanceId"] for machine in await site.machines()}
    assert (await site.api("POST", f"{path}/server"))[0] == 202

    async def ready():
        servers = (await site.api("GET", path))[1]["servers"]
        return servers.get("", {}).get("ready")

    await site.until("the server to be ready", ready)
    (machine,) = {machine["InstanceId"] for machine in await site.machines()} - before
    (environment,) = site.notebooks(machine).values()
    assert environment["JUPYTERHUB_USER"] == name
    assert (await site.api("DELETE", f"{path}/server"))[0] in (202, 204)

    async def stopped():
        states = {m["InstanceId"]: m["State"]["Name"] for m in await site.machines()}
        return states[machine] == "stopped"

    await site.until("the machine to be stopped", stopped)
    assert (await site.api("POST", f"{path}/server"))[0] == 202
    await site.until("the server to be ready again", ready)
    assert {m["InstanceId"] for m in await site.machines()} - before == {machine}


async def test_a_removed_named_server_keeps_its_machine_unless_told_otherwise(site):
    student = await site.user("student07")
    await student.start_server("gpu")
    assert (await site.api("DELETE", "/users/student07/servers/gpu", remove=True))[0] in (202, 204)
    await site.machine_stopped("student07", "gpu")
    assert len(await site.homes("student07", "gpu")) == 1


async def test_a_deleted_user_who_comes_back_finds_machine_and_files(site):
    before = await _user_with_a_file(site, "student04")
    status, answer = await site.api("DELETE", "/users/student04")
    assert status == 204, answer
    await site.machine_stopped("student04")
    assert len(await site.homes("student04")) == 1

    assert (await site.api("POST", "/users/student04"))[0] == 201
    student = await site.user("student04")
    await student.start_server()
    assert (await site.the_machine("student04"))["InstanceId"] == before
    assert await site.read_home(before, "thesis.txt") == "of student04"


async def test_a_deleted_user_leaves_nothing_where_the_operator_says_so(site):
    await _user_with_a_file(site, "student05")
    other = await _user_with_a_file(site, "student06")
    with site.config(ON_USER_DELETE="delete"):
        status, answer = await site.api("DELETE", "/users/student05")
    assert status == 204, answer

    async def nothing_left():
        return not await site.machines("student05") and not await site.homes("student05")

    await site.until("machine and home to be removed", nothing_left)
    assert (await site.the_machine("student06"))["InstanceId"] == other
    assert len(await site.homes("student06")) == 1


async def _user_with_a_file(site, name):
    """A user whose server runs and whose home holds a file; gives their machine's id."""
    student = await site.user(name)
    await student.start_server()
    instance_id = (await site.the_machine(name))["InstanceId"]
    await site.write_home(instance_id, "thesis.txt", f"of {name}")
    return instance_id
