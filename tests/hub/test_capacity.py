"""Amazon has none of a type: other types, another zone, and homes that move there, told plainly."""

import asyncio
import html
import re
from collections import Counter
from contextlib import contextmanager
from typing import Any

import pytest
from hub.together import HELD, together
from sites import HURRIED, Person, Site

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

SITE = {"more_config": HURRIED + HELD}
FIRST, SECOND = "c5.large", "c5a.large"  # nobody else's here


@contextmanager
def types_and_zones(site: Site, *types: str, **config: Any):
    """WORKER_INSTANCE_TYPE and SUBNET_ID as lists; no fault is left behind."""
    subnets = [site.demo.server_config["SUBNET_ID"], other_subnet(site)["SubnetId"]]
    with site.config(WORKER_INSTANCE_TYPE=list(types), SUBNET_ID=subnets, **config):
        yield
    site.ec2.faults.clear()


def other_subnet(site: Site) -> dict[str, Any]:
    """A subnet of machines in another zone than the cluster's first."""
    subnets = site.boto().describe_subnets()["Subnets"]
    (first,) = [s for s in subnets if s["SubnetId"] == site.demo.server_config["SUBNET_ID"]]
    others = [s for s in subnets if s["AvailabilityZone"] != first["AvailabilityZone"]]
    return next(s for s in others if s["VpcId"] == first["VpcId"])


def zones(site: Site) -> tuple[str, str]:
    """The zone of the first subnet, and the other one."""
    return site.ec2.settings.zone("a"), other_subnet(site)["AvailabilityZone"]


def made(site: Site) -> dict[str, int]:
    """How many launches EC2 was asked for, by what became of them."""
    return site.ec2.calls().get("RunInstances", {"ok": 0, "error": 0})


def full(site: Site, zone: str, *types: str) -> None:
    """The zone has no more of these types than are in use now."""
    for each in types:
        site.ec2.faults.capacity(each, zone, 0)


async def with_file(site: Site, name: str) -> tuple[Person, str]:
    """A student who worked in the first zone and left; and the id of their stopped machine."""
    site.let_pass(1000)  # what was refused in an earlier test is forgotten
    student = await site.user(name)
    await student.start_server()
    machine = (await site.the_machine(name))["InstanceId"]
    await site.write_home(machine, "thesis.txt", f"of {name}")
    await student.stop_server()
    await site.machine_stopped(name)
    return student, machine


async def moved(site: Site, name: str, old: str) -> None:
    """The files are in the other zone, at the only machine; what they were before is kept."""
    here, there = zones(site)
    machine = await site.the_machine(name)
    assert machine["Placement"]["AvailabilityZone"] == there and machine["InstanceId"] != old
    assert machine["State"]["Name"] == "running"
    assert await site.read_home(machine["InstanceId"], "thesis.txt") == f"of {name}"
    volumes = {v["VolumeId"]: v for v in await site.homes(name)}
    (home,) = [v for v in volumes.values() if v["Attachments"]]
    assert home["AvailabilityZone"] == there
    (kept,) = [v for v in volumes.values() if v["AvailabilityZone"] == here]
    tags = {tag["Key"]: tag["Value"] for tag in kept["Tags"]}
    assert re.fullmatch(rf"\d{{4}}-\d\d-\d\d {home['VolumeId']}", tags["cloudjhub:superseded"])
    assert len(volumes) == 2

    async def ended() -> bool:
        return old not in {m["InstanceId"] for m in await site.machines()}

    await site.until(f"{old} to be terminated", ended)
    assert not await asyncio.to_thread(move_snapshots, site)


def move_snapshots(site: Site) -> list[dict[str, Any]]:
    """What is left of moves."""
    role = {"Name": "tag:cloudjhub:role", "Values": ["home-move"]}
    return site.boto().describe_snapshots(Filters=[role])["Snapshots"]


# -- other types


async def test_a_class_gets_what_there_is_of_the_first_type_and_the_rest_the_next(no_faults: Site):
    site = no_faults
    names = [f"student{number:02d}" for number in range(1, 7)]
    students = [await site.user(name) for name in names]
    with types_and_zones(site, FIRST, SECOND):
        site.let_pass(1000)
        site.ec2.faults.capacity(FIRST, zones(site)[0], 2)
        site.ec2.reset_calls()
        starting = asyncio.gather(*(student.start_server() for student in students))
        with together(site, len(names)):
            await site.until("the launch that all share", lambda: made(site)["ok"])
        starts = await starting
        machines = [await site.the_machine(name) for name in names]
        assert Counter(m["InstanceType"] for m in machines) == {FIRST: 2, SECOND: 4}
        assert {m["Placement"]["AvailabilityZone"] for m in machines} == {zones(site)[0]}
        said = [event.get("message", "") for start in starts for event in start.events]
        assert any(f"Amazon has no {FIRST} in" in text and SECOND in text for text in said)
        # That there is no more is learned once for all.
        assert made(site)["error"] == 1
    for student in students:
        await student.stop_server()


async def test_a_stopped_machine_starts_as_another_type_with_its_files_and_goes_back(
    no_faults: Site,
):
    site = no_faults
    with types_and_zones(site, FIRST, SECOND):
        student, machine = await with_file(site, "student07")
        full(site, zones(site)[0], FIRST)
        start = await student.start_server()
        now = await site.the_machine("student07")
        assert (now["InstanceId"], now["InstanceType"]) == (machine, SECOND)
        assert await site.read_home(machine, "thesis.txt") == "of student07"
        said = [event.get("message", "") for event in start.events]
        here = zones(site)[0]
        assert f"Amazon has no {FIRST} in {here} now; trying {SECOND}." in said
        await student.stop_server()
        await site.machine_stopped("student07")
        site.ec2.faults.clear()
        site.let_pass(1000)
        await student.start_server()
        assert (await site.the_machine("student07"))["InstanceType"] == FIRST
    await student.stop_server()


# -- another zone


async def test_asked_first_then_moved_by_the_link_that_the_refusal_offers(no_faults: Site):
    site, name = no_faults, "student08"
    with types_and_zones(site, FIRST, SECOND):
        student, old = await with_file(site, name)
        here, there = zones(site)
        full(site, here, FIRST, SECOND)
        message = await site.failed_start(name)
        assert f"Amazon has no {FIRST} or {SECOND} in zone {here} just now." in message
        assert there in message
        page = await student.page(f"/hub/spawn-pending/{name}", 500, 503)
        (link,) = re.findall(r'<a href="([^"]+opt-move_home[^"]+)"', page)
        assert [v["AvailabilityZone"] for v in await site.homes(name)] == [here]
        start = await follow(site, student, html.unescape(link))
        assert any("Copying your files to another zone" in text for text in start)
        await moved(site, name, old)
        # Who agreed once is asked again the next time.
        status, user = await site.api("GET", f"/users/{name}?include_stopped_servers")
        assert status == 200 and "move_home" not in str(user["servers"][""]["user_options"])
    await student.stop_server()


async def follow(site: Site, student: Person, link: str) -> list[str]:
    """Click a link that starts the server, and wait until it is ready; gives what was said."""
    assert link.startswith("/hub/spawn/")
    await student.page(link)
    events = [event async for event in site.progress(student.name)]
    assert events[-1].get("ready"), events
    return [event.get("message", "") for event in events]


async def test_a_hub_killed_while_a_home_moves_goes_on_and_nothing_is_double(no_faults: Site):
    site, name = no_faults, "student09"
    with types_and_zones(site, FIRST, SECOND, MOVE_HOMES="always"):
        student, old = await with_file(site, name)
        full(site, zones(site)[0], FIRST, SECOND)
        site.ec2.faults.hold("snapshot")
        await site.begin(name)
        await site.until("the snapshot to be begun", lambda: move_snapshots(site))
        await site.demo.hub.crash()
        await site.hub_again()
        await site.no_server(name)
        site.ec2.faults.let_go("snapshot")
        student = await site.user(name)
        await student.start_server()
        await moved(site, name, old)
        on = [m for m in await site.machines() if m["State"]["Name"] in ("pending", "running")]
        owned = [m for m in on if {"Key": "cloudjhub:user", "Value": name} in m["Tags"]]
        assert len(owned) == 1
    await student.stop_server()


async def test_never_is_told_and_an_admin_may_have_it_moved_later(no_faults: Site):
    site, name = no_faults, "student10"
    with types_and_zones(site, FIRST, SECOND, MOVE_HOMES="never"):
        student, old = await with_file(site, name)
        full(site, zones(site)[0], FIRST, SECOND)
        message = await site.failed_start(name, move_home="yes")
        assert "stay there" in message and "MOVE_HOMES" in message
        page = await student.page(f"/hub/spawn-pending/{name}", 500, 503)
        assert "opt-move_home" not in page
        assert len(await site.homes(name)) == 1
        subnets = [site.demo.server_config["SUBNET_ID"], other_subnet(site)["SubnetId"]]
        site.rewrite_config(WORKER_INSTANCE_TYPE=[FIRST, SECOND], SUBNET_ID=subnets)
        options = {"move_home": "yes"}
        status, _ = await site.api("POST", f"/users/{name}/server", user_options=options)
        assert status in (201, 202)
        events = [event async for event in site.progress(name)]
        assert events[-1].get("ready"), events
        await moved(site, name, old)
    await student.stop_server()
