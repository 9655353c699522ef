"""A class logs in at the same moment: few EC2 calls, and nobody on somebody else's machine."""

import asyncio

import pytest
from sites import BRISK, USERS

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

QUIET_SECONDS = 1.0  # as BRISK has it
SITE = {"more_config": BRISK}
CLASS = USERS[:40]


@pytest.fixture(scope="module")
def machines_of():
    """What the first test finds and the second compares with: user -> instance id."""
    return {}


async def test_a_class_that_logs_in_at_once_shares_calls_and_nothing_else(site, machines_of):
    students = await _all_here(site)
    site.ec2.reset_calls()
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
    many = await _listings_at_rest(site)
    students = await _all_here(site)
    site.ec2.reset_calls()
    await asyncio.gather(*(student.stop_server() for student in students[2:]))
    assert _made(site.ec2.calls(), "StopInstances") <= 5
    for name in CLASS[2:]:
        await site.machine_stopped(name)
    few = await _listings_at_rest(site)
    assert many <= few + 1, (many, few)


async def test_a_class_that_starts_at_once_finds_its_machines_again(site, machines_of):
    students = await _all_here(site)
    await asyncio.gather(*(student.stop_server() for student in students[:2]))
    for name in CLASS:
        await site.machine_stopped(name)
    site.ec2.reset_calls()
    await asyncio.gather(*(_started(student) for student in students))
    calls = site.ec2.calls()
    assert _made(calls, "StartInstances") <= 3
    assert _made(calls, "RunInstances") == _made(calls, "CreateTags") == 0
    again = {name: await _only_its_owners_server(site, name) for name in CLASS}
    assert again == machines_of


async def _all_here(site):
    return await asyncio.gather(*(site.user(name) for name in CLASS))


async def _started(student):
    return await student.start_server(deadline_seconds=240)


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


async def _listings_at_rest(site):
    """Listings in the time of six, while nothing happens; there must be no other call."""
    before = {machine: _logins(site, machine) for machine in await _ids(site)}
    # A start's last listing may be under way.
    site.ec2.reset_calls()
    await _listed(site, 1)
    site.ec2.reset_calls()
    began = asyncio.get_running_loop().time()
    await _listed(site, 6)
    calls = site.ec2.calls()
    assert set(calls) == {"DescribeInstances"}, calls
    assert {machine: _logins(site, machine) for machine in before} == before
    seconds = asyncio.get_running_loop().time() - began
    return round(_made(calls, "DescribeInstances") * QUIET_SECONDS * 6 / seconds)


async def _listed(site, times):
    def often_enough():
        return _made(site.ec2.calls(), "DescribeInstances") >= times

    await site.until(f"{times} listings", often_enough, 90)


def _made(calls, action):
    return sum(calls.get(action, {}).values())


def _logins(site, instance_id):
    return site.ec2.machines.get(instance_id).console().count("Accepted publickey")


async def _ids(site):
    return [machine["InstanceId"] for machine in await site.machines()]
