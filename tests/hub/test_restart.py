"""The hub dies, politely or not, in every phase of a server's life, and takes up where it was."""

import asyncio
import os
import signal

import pytest
from sites import BRISK

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

# Two students get real notebooks, for what only a kernel can tell. The others' cheap servers
# wait for a gate to open where one is closed for them.
SITE = {
    "more_config": f"""{BRISK}
cheap = list(c.Spawner.cmd)
GATED = 'while [ -e "$0/$JUPYTERHUB_USER" ]; do sleep 0.1; done; exec "$@"'

def command(spawner):
    if spawner.user.name in ("student01", "student02"):
        spawner.cmd = ["jupyterhub-singleuser"]
    else:
        gates = __import__("os").path.dirname(spawner.config_file) + "/ec2/gates"
        spawner.cmd = ["sh", "-c", GATED, gates, *cheap]

c.Spawner.pre_spawn_hook = command
"""
}


async def test_a_killed_hub_finds_its_servers_and_their_kernels(site):
    names = ("student01", "student02")
    students = [await site.user(name) for name in names]
    await asyncio.gather(*(student.start_server() for student in students))
    kernels = []
    for student in students:
        await student.open_server()
        kernel = await student.start_kernel()
        await kernel.run(f"kept = 'value of {student.name}'")
        await kernel.close()
        kernels.append(kernel.id)
    before = [(await site.the_machine(name))["InstanceId"] for name in names]

    await site.demo.hub.crash()
    await site.hub_again()
    for name in names:
        await _adopted(site, name)
    assert [(await site.the_machine(name))["InstanceId"] for name in names] == before
    for student, kernel_id in zip(students, kernels, strict=True):
        kernel = await student.kernel(kernel_id)
        assert (await kernel.run("print(kept)")).strip() == f"value of {student.name}"
        await kernel.close()


async def test_a_hub_told_to_end_leaves_the_machines_running(site):
    student = await site.user("student03")
    await student.start_server()
    before = await _server_pids(site, "student03")
    hub = site.demo.hub.pid
    os.kill(hub, signal.SIGTERM)
    await site.until("the hub to end", lambda: site.demo.hub.pid != hub)
    assert await site.machine_state("student03") == "running"
    await site.hub_again()
    await _adopted(site, "student03")
    assert await _server_pids(site, "student03") == before


async def test_the_servers_token_is_revoked_after_a_restart_too(site):
    student = await site.user("student04")
    assert await student.tokens() == []
    await student.start_server()
    (token,) = await student.tokens()
    await site.demo.hub.crash()
    await site.hub_again()
    await _adopted(site, "student04")
    assert await student.tokens() == [token]
    await student.stop_server()
    assert await student.tokens() == []


async def test_a_hub_killed_while_a_machine_boots_gives_one_machine_in_the_end(no_faults):
    site = no_faults
    await site.user("student05")
    known = await _ids(site)
    site.ec2.faults.hold("boot")
    await site.begin("student05")

    async def launched():
        return await _ids(site) - known

    (launched_id,) = await site.until("the machine to be launched", launched)
    await site.demo.hub.crash()
    await site.hub_again()
    await site.no_server("student05")
    site.ec2.faults.let_go("boot")
    await (await site.user("student05")).start_server()
    assert (await site.the_machine("student05"))["InstanceId"] == launched_id
    assert await _ids(site) - known == {launched_id}
    assert len(await site.homes("student05")) == 1
    assert len(site.notebooks(launched_id)) == 1


async def test_a_hub_killed_while_the_server_starts_finds_the_machine_again(site, gate):
    known = await _ids(site)
    machine = await _killed_before_ready(site, gate, "student06")
    await site.no_server("student06")
    gate("student06").unlink()
    await (await site.user("student06")).start_server()
    assert (await site.the_machine("student06"))["InstanceId"] == machine
    assert await _ids(site) - known == {machine}
    assert len(await site.homes("student06")) == 1
    assert len(site.notebooks(machine)) == 1


async def test_a_server_that_got_ready_while_the_hub_was_dead_is_adopted(site, gate):
    machine = await _killed_before_ready(site, gate, "student07", open_at_once=True)
    await _adopted(site, "student07")
    assert (await site.the_machine("student07"))["InstanceId"] == machine
    assert len(site.notebooks(machine)) == 1


async def test_a_user_of_a_hub_without_its_database_gets_machine_and_file_back(site):
    running, resting = await site.user("student08"), await site.user("student09")
    for student in (running, resting):
        await student.start_server()
        machine = (await site.the_machine(student.name))["InstanceId"]
        await site.write_home(machine, "thesis.txt", f"of {student.name}")
    await resting.stop_server()
    await site.machine_stopped("student09")
    before = {name: await site.the_machine(name) for name in ("student08", "student09")}

    await site.demo.hub.stop()
    (site.demo.folder / "jupyterhub.sqlite").unlink()
    await site.demo.hub.start(240)
    for name in before:
        await (await site.user(name)).start_server()
        machine = (await site.the_machine(name))["InstanceId"]
        assert machine == before[name]["InstanceId"]
        assert await site.read_home(machine, "thesis.txt") == f"of {name}"
        assert len(site.notebooks(machine)) == 1
        assert len(await site.homes(name)) == 1


@pytest.fixture
def gate(site):
    """Closed for a user while their file is there; any left is opened at the end."""
    folder = site.demo.folder / "ec2/gates"
    folder.mkdir(exist_ok=True)
    yield lambda name: folder / name
    for left in folder.iterdir():
        left.unlink()


async def _killed_before_ready(site, gate, name, *, open_at_once=False):
    """The hub is killed while the user's own machine waits before a gate; gives the machine."""
    gate(name).touch()
    await site.user(name)
    await site.begin(name)

    async def serving():
        machines = await site.machines(name)
        return machines and _waits_at_the_gate(site, machines[0]["InstanceId"])

    await site.until("the server's process to wait at the gate", serving)
    await site.demo.hub.crash()
    if open_at_once:
        gate(name).unlink()
    await site.hub_again()
    return (await site.the_machine(name))["InstanceId"]


def _waits_at_the_gate(site, instance_id):
    return any(
        b"while [ -e" in open(f"/proc/{pid}/cmdline", "rb").read()
        for pid in site.ec2.machines.get(instance_id).pids()
        if os.path.exists(f"/proc/{pid}")
    )


async def _adopted(site, name):
    async def ready():
        server = await site.server(name)
        return server and server["ready"]

    await site.until(f"the hub to take up the server of {name}", ready)


async def _server_pids(site, name):
    return list(site.notebooks((await site.the_machine(name))["InstanceId"]))


async def _ids(site):
    return {machine["InstanceId"] for machine in await site.machines()}


async def test_a_hub_comes_up_although_its_configuration_is_broken(site):
    student = await site.user("student11")
    await student.start_server()
    file = site.demo.folder / "server_config.json"
    right = file.read_text()
    file.write_text('{"CLUSTER_NAME": ')
    try:
        await site.demo.hub.crash()
        await site.hub_again()
        assert await student.server() is not None
    finally:
        file.write_text(right)
    await _adopted(site, "student11")


async def test_a_port_that_changes_in_the_configuration_is_for_later_starts(site):
    student = await site.user("student12")
    await student.start_server()
    before = await _server_pids(site, "student12")
    with site.config(NOTEBOOK_PORT=8899):
        await site.demo.hub.crash()
        await site.hub_again()
        await _adopted(site, "student12")
        assert await _server_pids(site, "student12") == before
        await student.stop_server()
        await student.start_server()
        (environment,) = site.notebooks(
            (await site.the_machine("student12"))["InstanceId"]
        ).values()
        assert ":8899/" in environment["JUPYTERHUB_SERVICE_URL"]
