"""Starts that are stopped in the middle: no machine runs for nobody, and the next start is fine."""

import asyncio

import pytest
from sites import BRISK

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

# One student is given little time, once JupyterHub has begun to keep its own, which is close
# behind; a file named after a student holds their server up.
SITE = {
    "more_config": f"""{BRISK}
import asyncio
from cloudjhub import InstanceSpawner
from jupyterhub.apihandlers import users

cheap = list(c.Spawner.cmd)
GATED = 'while [ -e "$0/$JUPYTERHUB_USER" ]; do sleep 0.1; done; exec "$@"'

def prepare(spawner):
    gates = __import__("os").path.dirname(spawner.config_file) + "/ec2/gates"
    spawner.cmd = ["sh", "-c", GATED, gates, *cheap]

class Hurried(InstanceSpawner):
    async def start(self):
        if self.user.name == "student20":
            self.start_timeout = 3
        return await super().start()

class Turns:
    "JupyterHub gives a start that is cancelled a second to end; here, some turns of its loop."
    def __getattr__(self, name):
        return getattr(asyncio, name)

    async def sleep(self, seconds):
        for _ in range(50):
            await asyncio.sleep(0)

users.asyncio = Turns()
c.JupyterHub.spawner_class = Hurried
# Who stops a server is answered after a second; 10 s by default.
c.JupyterHub.tornado_settings = {{"slow_spawn_timeout": 0, "slow_stop_timeout": 1}}
c.Spawner.pre_spawn_hook = prepare
"""
}


async def test_a_machine_whose_launch_was_stopped_goes_to_the_next_student(no_faults):
    site = no_faults
    await site.user("student01")
    site.ec2.faults.hold("boot")
    machine = await _launched(site, "student01")
    await _stop(site, "student01")
    assert await site.machines("student01") == []
    site.ec2.faults.let_go("boot")
    await (await site.user("student02")).start_server()
    assert (await site.the_machine("student02"))["InstanceId"] == machine
    assert set(_owners_inside(site, machine)) == {"student02"}


async def test_a_start_right_after_a_stopped_one_works(no_faults):
    site = no_faults
    student = await site.user("student03")
    site.ec2.faults.hold("boot")
    machine = await _launched(site, "student03")
    await _stop(site, "student03")
    starting = asyncio.ensure_future(student.start_server())

    async def begun():
        return await site.server("student03")

    await site.until("the second start to begin", begun)
    site.ec2.faults.let_go("boot")
    await starting
    assert (await site.the_machine("student03"))["InstanceId"] == machine
    assert _owners_inside(site, machine) == ["student03"]


async def test_a_start_stopped_at_once_leaves_at_most_one_spare(no_faults):
    site = no_faults
    student = await site.user("student04")
    before = await _ids(site)
    await site.begin("student04")
    await _stop(site, "student04")
    await student.start_server()
    machine = (await site.the_machine("student04"))["InstanceId"]
    assert len(await _spares_besides(site, before, machine)) <= 1
    assert _owners_inside(site, machine) == ["student04"]


async def test_a_machine_that_was_its_users_is_stopped_with_the_start(no_faults, gate):
    site = no_faults
    student = await site.user("student05")
    gate("student05").touch()
    await site.begin("student05")

    async def owned():
        return await site.machines("student05")

    (machine,) = await site.until("the machine to carry its owner's name", owned)
    await _stop(site, "student05")
    await site.machine_stopped("student05")
    gate("student05").unlink()
    await student.start_server()
    assert (await site.the_machine("student05"))["InstanceId"] == machine["InstanceId"]
    assert _owners_inside(site, machine["InstanceId"]) == ["student05"]


async def test_a_stopped_machine_whose_start_was_stopped_is_stopped_again(no_faults):
    site = no_faults
    student = await site.user("student06")
    await student.start_server()
    await student.stop_server()
    await site.machine_stopped("student06")
    site.ec2.faults.hold("pending")
    site.ec2.faults.hold("boot")
    await site.begin("student06")

    async def pending():
        return await site.machine_state("student06") == "pending"

    await site.until("the machine to be powered on", pending)
    # EC2 stops no machine that is pending; that must keep nobody waiting for an answer.
    await _answered_yes(site, "student06")
    site.ec2.faults.let_go("pending")
    await site.no_server("student06")
    await site.machine_stopped("student06")
    site.ec2.faults.let_go("boot")
    await student.start_server()
    assert len(await site.homes("student06")) == 1


async def test_a_start_that_was_stopped_and_repeated_twice_ends_with_one_machine(no_faults):
    site = no_faults
    student = await site.user("student07")
    before = await _ids(site)
    for _ in range(3):
        assert (await site.api("POST", "/users/student07/server"))[0] in (201, 202)
        await _stop(site, "student07")
    await student.start_server()
    machine = (await site.the_machine("student07"))["InstanceId"]
    assert len(await _spares_besides(site, before, machine)) <= 3
    assert len(await site.homes("student07")) == 1


async def test_the_user_is_told_when_the_time_is_up(no_faults):
    site = no_faults
    student = await site.user("student20")
    site.ec2.faults.hold("boot")
    said = await site.failed_start("student20")
    assert "Your server was not ready in 3 s." in said
    assert "Try again" in said
    assert "was not ready in 3 s." in await student.failure_page()


async def test_a_stop_at_any_moment_of_a_start_is_answered(no_faults):
    site = no_faults
    names = [f"student{number}" for number in range(21, 51)]
    for name in names:
        await site.user(name)

    async def begun_and_stopped(name, after_seconds):
        assert (await site.api("POST", f"/users/{name}/server"))[0] in (201, 202)
        await asyncio.sleep(after_seconds)
        return await site.api("DELETE", f"/users/{name}/server")

    stops = (begun_and_stopped(name, 0.06 * n) for n, name in enumerate(names))
    answers = dict(zip(names, await asyncio.gather(*stops), strict=True))
    refused = {name: answer for name, answer in answers.items() if answer[0] not in (202, 204)}
    assert refused == {}
    for name in names:
        await site.no_server(name)

    async def none_runs_for_an_owner():
        return all(
            machine["State"]["Name"] == "stopped"
            for machine in await site.machines()
            if any(t["Key"] == "cloudjhub:user" and t["Value"] in names for t in machine["Tags"])
        )

    await site.until("every owned machine to be stopped", none_runs_for_an_owner)


@pytest.fixture
def gate(site):
    """Closed for a user while their file is there; any left is opened at the end."""
    folder = site.demo.folder / "ec2/gates"
    folder.mkdir(exist_ok=True)
    yield lambda name: folder / name
    for left in folder.iterdir():
        left.unlink()


async def _launched(site, name):
    """Begin a start and wait until it has a machine launched; gives its id."""
    before = await _ids(site)
    await site.begin(name)

    async def new():
        return await _ids(site) - before

    (machine,) = await site.until("a machine to be launched", new)
    # The hub has EC2's answer, too.
    async for event in site.progress(name):
        if "Starting your machine" in event.get("message", ""):
            return machine
    raise AssertionError(f"The start of {name} has ended.")


async def _spares_besides(site, before, machine):
    """Machines that were launched since, by starts that were stopped meanwhile: nobody's."""
    made = {m["InstanceId"]: m for m in await site.machines() if m["InstanceId"] not in before}
    assert made.pop(machine)
    assert not [m for m in made.values() for t in m["Tags"] if t["Key"] == "cloudjhub:user"], made
    return made


async def _stop(site, name):
    """Press Stop; the hub must say yes, and know no server in the end."""
    await _answered_yes(site, name)
    await site.no_server(name)


async def _answered_yes(site, name):
    status, answer = await site.api("DELETE", f"/users/{name}/server")
    assert status in (202, 204), answer


def _owners_inside(site, instance_id):
    servers = site.notebooks(instance_id).values()
    return [environment["JUPYTERHUB_USER"] for environment in servers]


async def _ids(site):
    return {machine["InstanceId"] for machine in await site.machines()}
