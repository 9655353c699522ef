"""A new worker AMI: machines are replaced when their users start them, files come along."""

import asyncio
import itertools
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sites import BRISK, Site

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

SITE = {"more_config": BRISK}
_numbers = itertools.count(1)


async def with_file(site: Site, name: str) -> str:
    """A student who worked and left; gives the id of their machine, which is stopped."""
    student = await site.user(name)
    await student.start_server()
    machine = (await site.the_machine(name))["InstanceId"]
    await site.write_home(machine, "thesis.txt", f"of {name}")
    await student.stop_server()
    await site.machine_stopped(name)
    return machine


def new_ami(site: Site) -> str:
    """Another worker AMI."""
    return site.boto().register_image(Name=f"worker {next(_numbers)}")["ImageId"]


@asynccontextmanager
async def counting(site: Site) -> AsyncIterator[list[int]]:
    """How many machines were on at once while this lasts; the largest number is the last."""
    most = [0]
    ended = asyncio.Event()

    async def watch() -> None:
        while not ended.is_set():
            states = [machine["State"]["Name"] for machine in await site.machines()]
            most.append(max(most[-1], sum(state in ("pending", "running") for state in states)))
            await asyncio.sleep(0.02)

    watcher = asyncio.create_task(watch())
    try:
        yield most
    finally:
        ended.set()
        await watcher


async def ended(site: Site, machine: str) -> None:
    """Wait until EC2 has terminated it."""

    async def gone() -> bool:
        return machine not in {m["InstanceId"] for m in await site.machines()}

    await site.until(f"{machine} to be terminated", gone)


async def test_the_next_start_is_on_a_machine_of_the_new_ami_with_the_same_files(site: Site):
    old = await with_file(site, "student01")
    (home,) = await site.homes("student01")
    ami = new_ami(site)
    student = await site.user("student01")
    with site.config(WORKER_AMI=ami):
        async with counting(site) as most:
            start = await student.start_server()
        now = await site.the_machine("student01")
        assert now["InstanceId"] != old
        assert now["ImageId"] == ami
        assert await site.read_home(now["InstanceId"], "thesis.txt") == "of student01"
        assert [each["VolumeId"] for each in await site.homes("student01")] == [home["VolumeId"]]
        assert any("new version of your machine" in e.get("message", "") for e in start.events)
        await ended(site, old)
        assert most[-1] == 1
        # It is of the right AMI now, and stays.
        await student.stop_server()
        await site.machine_stopped("student01")
        await student.start_server()
        assert (await site.the_machine("student01"))["InstanceId"] == now["InstanceId"]
    await student.stop_server()
    await site.machine_stopped("student01")


async def test_a_machine_that_runs_is_not_replaced(site: Site):
    student = await site.user("student02")
    await student.start_server()
    before = await site.the_machine("student02")
    with site.config(WORKER_AMI=new_ami(site)):
        for pid in site.notebooks(before["InstanceId"]):
            os.kill(pid, signal.SIGKILL)
        await site.no_server("student02")
        await student.start_server()
        now = await site.the_machine("student02")
        assert (now["InstanceId"], now["State"]["Name"]) == (before["InstanceId"], "running")
    await student.stop_server()


async def test_the_operator_can_forbid_it(site: Site):
    old = await with_file(site, "student03")
    student = await site.user("student03")
    with site.config(WORKER_AMI=new_ami(site), UPGRADE_MACHINES="never"):
        await student.start_server()
        assert (await site.the_machine("student03"))["InstanceId"] == old


@pytest.mark.parametrize("trouble", ["an AMI that is not there", "no capacity"])
async def test_a_new_version_that_cannot_be_had_keeps_nobody_from_working(
    no_faults: Site, trouble: str
):
    site, name = no_faults, f"student{4 + (trouble == 'no capacity'):02d}"
    old = await with_file(site, name)
    ami = new_ami(site) if trouble == "no capacity" else "ami-0000000000000dead"
    if trouble == "no capacity":
        site.ec2.faults.refuse("RunInstances", "InsufficientInstanceCapacity", times=50)
    student = await site.user(name)
    with site.config(WORKER_AMI=ami):
        start = await student.start_server()
        now = await site.the_machine(name)
        assert (now["InstanceId"], now["State"]["Name"]) == (old, "running")
        assert await site.read_home(old, "thesis.txt") == f"of {name}"
        assert any("you get the machine you had" in e.get("message", "") for e in start.events)


@pytest.mark.parametrize("stage", ["boot", "volume"])
async def test_a_hub_that_dies_half_way_loses_nothing(no_faults: Site, stage: str):
    site, name = no_faults, f"student{6 + (stage == 'volume'):02d}"
    old = await with_file(site, name)
    (home,) = await site.homes(name)
    ami = new_ami(site)
    student = await site.user(name)
    with site.config(WORKER_AMI=ami):
        site.ec2.faults.hold(stage)
        starting = asyncio.ensure_future(student.start_server())
        await site.until("the new machine to be on its way", lambda: half_way(site, ami, stage))
        await site.demo.hub.crash()
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        site.ec2.faults.clear()
        await site.hub_again()
        again = await site.user(name)
        await site.no_server(name)
        await again.start_server()
        now = await site.the_machine(name)
        assert now["ImageId"] == ami
        assert await site.read_home(now["InstanceId"], "thesis.txt") == f"of {name}"
        assert [each["VolumeId"] for each in await site.homes(name)] == [home["VolumeId"]]
        await ended(site, old)
        await again.stop_server()


async def half_way(site: Site, ami: str, stage: str) -> bool:
    """Whether the start is where the stage, which is held, keeps it."""
    machines = [m for m in await site.machines() if m["ImageId"] == ami]
    if stage == "boot":
        return any(machine["State"]["Name"] == "running" for machine in machines)
    return any(tag["Key"] == "cloudjhub:user" for m in machines for tag in m.get("Tags", []))


async def test_a_class_that_comes_at_once_gets_everybodys_own_files(site: Site):
    names = [f"student{number:02d}" for number in range(11, 17)]
    before = dict(
        zip(names, await asyncio.gather(*(with_file(site, n) for n in names)), strict=True)
    )
    ami = new_ami(site)
    students = [await site.user(name) for name in names]
    with site.config(WORKER_AMI=ami):
        await asyncio.gather(*(student.start_server() for student in students))
        for name in names:
            now = await site.the_machine(name)
            assert now["ImageId"] == ami
            assert await site.read_home(now["InstanceId"], "thesis.txt") == f"of {name}"
            await ended(site, before[name])
