"""A class logs in at the same moment: few EC2 calls, and nobody on somebody else's machine."""

import asyncio
import itertools

import pytest
from hub.together import HELD, together
from sites import BRISK, USERS

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

QUIET_SECONDS = 1.0  # as BRISK has it
SITE = {
    "more_config": f"""{BRISK}{HELD}
# When the hub began to look: requests may be held up on their way to EC2.
import os
import time
from pathlib import Path
from cloudjhub.fleet import fleet, view

class Noted(view.View):
    async def _fetch_once(self):
        with open(Path(os.environ["CLOUDJHUB_CONFIG"]).parent / "ec2/looks", "a") as looks:
            print(time.monotonic(), file=looks)
        await super()._fetch_once()

fleet.View = Noted
"""
}
CLASS = USERS[:40]


@pytest.fixture(scope="module")
def machines_of():
    """What the first test finds and the second compares with: user -> instance id."""
    return {}


async def test_a_class_that_logs_in_at_once_shares_calls_and_nothing_else(site, machines_of):
    students = await _all_here(site)
    site.ec2.reset_calls()
    with together(site, len(CLASS)):
        await asyncio.gather(*(_started(student) for student in students))
    calls = site.ec2.calls()
    assert _made(calls, "RunInstances") <= 3
    assert _made(calls, "CreateTags") <= len(CLASS) + 3
    assert _made(calls, "CreateVolume") == _made(calls, "AttachVolume") == 0

    for name in CLASS:
        machines_of[name] = await _only_its_owners_server(site, name)
    assert len(set(machines_of.values())) == len(CLASS)
    assert len(await site.machines()) == len(CLASS)
    homes = [[home["VolumeId"] for home in await site.homes(name)] for name in CLASS]
    assert all(len(ids) == 1 for ids in homes)
    assert len({ids[0] for ids in homes}) == len(CLASS)


async def test_at_rest_forty_servers_cost_no_more_calls_than_two(site, machines_of):
    await _rests(site)
    students = await _all_here(site)
    site.ec2.reset_calls()
    with together(site, len(CLASS) - 2):
        await asyncio.gather(*(_stopped(student) for student in students[2:]))
    assert _made(site.ec2.calls(), "StopInstances") <= 5
    for name in CLASS[2:]:
        await site.machine_stopped(name)
    await _rests(site)


async def test_a_class_that_starts_at_once_finds_its_machines_again(site, machines_of):
    students = await _all_here(site)
    await asyncio.gather(*(_stopped(student) for student in students[:2]))
    for name in CLASS:
        await site.machine_stopped(name)
    site.ec2.reset_calls()
    with together(site, len(CLASS)):
        await asyncio.gather(*(_started(student) for student in students))
    calls = site.ec2.calls()
    assert _made(calls, "StartInstances") <= 3
    assert _made(calls, "RunInstances") == _made(calls, "CreateTags") == 0
    again = {name: await _only_its_owners_server(site, name) for name in CLASS}
    assert again == machines_of


async def _all_here(site):
    return await asyncio.gather(*(site.user(name) for name in CLASS))


async def _started(student):
    await student.start_server(deadline_seconds=280)


async def _stopped(student):
    await student.stop_server(deadline_seconds=280)


async def _only_its_owners_server(site, name):
    """The machine of the student, asked from inside whose server it runs."""
    machine = (await site.the_machine(name))["InstanceId"]
    servers = list(site.notebooks(machine).values())
    assert [server["JUPYTERHUB_USER"] for server in servers] == [name]
    inside = await asyncio.to_thread(
        site.ec2.machines.get(machine).run, ["sh", "-c", "echo $LOCALEC2_ID"]
    )
    assert inside.strip() == machine
    return machine


async def _rests(site):
    """While nothing happens EC2 is asked for one listing after each pause, and nothing else."""
    before = {machine: _logins(site, machine) for machine in await _ids(site)}
    looks = site.ec2.state_dir / "looks"
    # A start's last listing may be under way.
    await _looked(site, looks, 2)
    site.ec2.reset_calls()
    at = await _looked(site, looks, 4)
    assert set(site.ec2.calls()) == {"DescribeInstances"}
    pauses = [later - earlier for earlier, later in itertools.pairwise(at)]
    assert min(pauses) > 0.9 * QUIET_SECONDS, pauses
    assert {machine: _logins(site, machine) for machine in before} == before


async def _looked(site, looks, times):
    """When the hub looked so many more times."""
    past = len(looks.read_text().splitlines())

    def often_enough():
        return len(looks.read_text().splitlines()) >= past + times

    await site.until(f"{times} listings", often_enough)
    return [float(line) for line in looks.read_text().splitlines()[past:]]


def _made(calls, action):
    return sum(calls.get(action, {}).values())


def _logins(site, instance_id):
    return site.ec2.machines.get(instance_id).console().count("Accepted publickey")


async def _ids(site):
    return [machine["InstanceId"] for machine in await site.machines()]
