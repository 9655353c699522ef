"""What happens to machines behind the hub's back, and what the hub makes of it."""

import os
import signal

import pytest
from sites import HURRIED

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

SITE = {
    "more_config": f"""{HURRIED}
import functools
from cloudjhub import notebook_poll, probe

def prepare(starting):
    # Ten silences of five seconds would take a minute; shorter and fewer ones may happen to
    # anybody on a computer that is busy, so that this test is the last.
    if starting.user.name == "student13":
        notebook_poll._SILENCES_BEFORE_HUNG = 3
        quickly = functools.partial(probe.notebook_answers, timeout_seconds=1.0)
        notebook_poll.notebook_answers = quickly

c.Spawner.pre_spawn_hook = prepare
"""
}
BOOTS = "Your machine is booting"


async def test_a_machine_terminated_behind_the_hubs_back_is_replaced(no_faults):
    site = no_faults
    student, before = await _running(site, "student01")
    site.boto().terminate_instances(InstanceIds=[before])
    await site.no_server("student01")
    await student.start_server()
    after = (await site.the_machine("student01"))["InstanceId"]
    assert after != before
    assert await site.read_home(after, "thesis.txt") == "of student01"
    assert len(await site.homes("student01")) == 1


async def test_a_machine_stopped_behind_the_hubs_back_is_started_again(no_faults):
    site = no_faults
    student, before = await _running(site, "student02")
    site.boto().stop_instances(InstanceIds=[before])
    await site.no_server("student02")
    await student.start_server()
    assert (await site.the_machine("student02"))["InstanceId"] == before
    assert await site.read_home(before, "thesis.txt") == "of student02"


async def test_a_dead_notebook_is_noticed_and_its_machine_left_alone(no_faults):
    site = no_faults
    student, before = await _running(site, "student03")
    site.ec2.reset_calls()
    await _kill_the_notebook(site, before)
    await site.no_server("student03")
    assert await site.machine_state("student03") == "running"
    assert "StopInstances" not in site.ec2.calls()
    await student.start_server()
    assert (await site.the_machine("student03"))["InstanceId"] == before
    assert len(site.notebooks(before)) == 1


async def test_servers_outlive_an_ec2_that_cannot_be_reached(no_faults):
    site = no_faults
    student, _ = await _running(site, "student04")
    log = len(site.hub_log())
    site.ec2.faults.unreachable()
    site.ec2.reset_calls()

    def asked_in_vain():
        return site.ec2.calls().get("unknown", {}).get("unreachable", 0) >= 12

    await site.until("several listings to fail", asked_in_vain)
    assert "EC2 listing failed" in site.hub_log(log)
    assert (await site.server("student04"))["ready"] is True
    assert "student04" in await student.open_server()
    site.ec2.faults.clear()
    assert await site.machine_state("student04") == "running"


async def test_a_stop_that_ec2_did_not_hear_is_done_when_it_can_be_reached(no_faults):
    site = no_faults
    student, before = await _running(site, "student05")
    site.ec2.faults.unreachable()
    await student.stop_server()
    assert await student.tokens() == []
    assert site.ec2.engine.backend.instances[before].state == "running"
    site.ec2.faults.clear()
    await site.machine_stopped("student05")
    await student.start_server()
    assert (await site.the_machine("student05"))["InstanceId"] == before


async def test_a_hub_that_starts_without_ec2_keeps_its_servers(no_faults):
    site = no_faults
    student, before = await _running(site, "student06")
    site.ec2.faults.unreachable()
    await site.demo.hub.crash()
    await site.hub_again()

    async def adopted():
        server = await site.server("student06")
        return server and server["ready"]

    await site.until("the hub to take up the server", adopted)
    assert "student06" in await student.open_server()
    site.ec2.faults.clear()
    assert await site.machine_state("student06") == "running"
    assert len(site.notebooks(before)) == 1


async def test_a_machine_that_hangs_at_a_login_is_switched_off_and_on(no_faults):
    site = no_faults
    before = await _hanging_without_a_server(site, "student07", heals=True)
    events = await site.start_past("student07", BOOTS)
    assert (await site.the_machine("student07"))["InstanceId"] == before
    assert await site.read_home(before, "thesis.txt") == "of student07"
    assert any("does not answer; switching it off" in e.get("message", "") for e in events)


async def test_a_machine_that_hangs_for_good_is_replaced_and_its_home_moves(no_faults):
    site = no_faults
    before = await _hanging_without_a_server(site, "student08", heals=False)
    (home,) = await site.homes("student08")
    await site.start_past("student08", BOOTS, times=2)
    after = (await site.the_machine("student08"))["InstanceId"]
    assert after != before
    assert await site.read_home(after, "thesis.txt") == "of student08"
    assert [h["VolumeId"] for h in await site.homes("student08")] == [home["VolumeId"]]

    (old,) = [m for m in await site.machines() if m["InstanceId"] == before]
    assert old["State"]["Name"] == "stopped"
    tags = {tag["Key"]: tag["Value"] for tag in old["Tags"]}
    assert "cloudjhub:retired" in tags
    assert not {"cloudjhub:user", "cloudjhub:server"} & set(tags)

    # It is no spare: the next one who needs a machine gets another.
    await (await site.user("student10")).start_server()
    assert (await site.the_machine("student10"))["InstanceId"] != before


async def test_a_machine_that_dies_while_it_boots_is_started_again(no_faults):
    site = no_faults
    student, before = await _running(site, "student11")
    await student.stop_server()
    await site.machine_stopped("student11")
    site.ec2.faults.hold("boot")
    await site.begin("student11")

    async def powered_on():
        return await site.machine_state("student11") == "running"

    await site.until("the machine to run", powered_on)
    site.boto().stop_instances(InstanceIds=[before])
    site.ec2.faults.let_go("boot")
    await _followed_to_the_end(site, "student11")
    assert (await site.the_machine("student11"))["InstanceId"] == before
    assert await site.read_home(before, "thesis.txt") == "of student11"


async def test_a_new_machine_that_ec2_ends_at_once_is_said_so_and_the_next_is_fine(no_faults):
    site = no_faults
    student = await site.user("student12")
    known = {machine["InstanceId"] for machine in await site.machines()}
    site.ec2.faults.hold("boot")
    await site.begin("student12")

    async def launched():
        return {machine["InstanceId"] for machine in await site.machines()} - known

    (machine,) = await site.until("the machine to be launched", launched)
    site.boto().terminate_instances(InstanceIds=[machine])
    site.ec2.faults.let_go("boot")
    await site.no_server("student12")
    last = [event async for event in site.progress("student12")][-1]
    assert "Amazon ended your machine while it started" in last["message"]
    await student.start_server()
    assert (await site.the_machine("student12"))["InstanceId"] != machine
    assert len(await site.homes("student12")) == 1


async def test_a_running_machine_that_falls_silent_is_noticed(no_faults):
    site = no_faults
    _, before = await _running(site, "student13")
    site.ec2.faults.hang(before)
    await site.no_server("student13")
    assert await site.machine_state("student13") == "running"
    await site.start_past("student13", BOOTS)
    assert (await site.the_machine("student13"))["InstanceId"] == before
    assert await site.read_home(before, "thesis.txt") == "of student13"


async def _running(site, name):
    """A student whose server runs and whose home holds a file; with their machine's id."""
    student = await site.user(name)
    await student.start_server()
    instance_id = (await site.the_machine(name))["InstanceId"]
    await site.write_home(instance_id, "thesis.txt", f"of {name}")
    return student, instance_id


async def _kill_the_notebook(site, instance_id):
    (pid,) = site.notebooks(instance_id)
    os.kill(pid, signal.SIGKILL)


async def _hanging_without_a_server(site, name, *, heals):
    """A student's notebook died, and the machine, left running, hangs since; gives its id."""
    _, machine = await _running(site, name)
    await _kill_the_notebook(site, machine)
    await site.no_server(name)
    site.ec2.faults.hang(machine, heals=heals)
    return machine


async def _followed_to_the_end(site, name):
    last = [event async for event in site.progress(name)][-1]
    assert last.get("ready"), last
