"""Machines that misbehave in the middle of a surge of a hundred: nothing double, nothing lost."""

import asyncio

import pytest
from surge.crowd import tags_of

from cloudjhub.naming import RETIRED_TAG

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.slow]

ALL = 100


async def test_boots_that_take_longer_than_anybody_waits(surge, crowd, ec2):
    ec2.faults.hold("boot")
    surge.begin()
    await crowd.until_machines("running")
    await crowd.until_heard("is booting", surge.everybody)
    (ec2.state_dir / "nobody-heard").touch()
    crowd.site.let_pass(1000)
    # Who is the first to find a silent machine may try it once more; the others see that it is all.
    await surge.others_done(ALL - 2)
    (ec2.state_dir / "nobody-heard").unlink()
    ec2.faults.let_go("boot")
    refused = await surge.end()
    assert all("does not answer, and neither do others" in words for words in refused.values())
    assert not await surge.again(refused)
    await crowd.judge(surge)
    assert len(await crowd.machines()) == ALL


async def test_machines_that_hang(surge, crowd, ec2):
    ec2.faults.hold("pending")
    surge.begin()
    pending = set(await crowd.until_machines("pending"))
    ids = {m["owner"]: m["InstanceId"] for m in await crowd.machines() if m["owner"]}
    back = surge.back[:2]
    new = sorted(pending - set(ids.values()))[:2]
    for instance_id in [*(ids[name] for name in back), *new]:
        ec2.faults.hang(instance_id, heals=False)
    ec2.faults.let_go("pending")
    await surge.others_ready(ALL - 4)
    crowd.site.let_pass(1000)
    # The new ones, which nobody ever used, give way at once; the old ones are tried once more.
    await surge.others_ready(ALL - 2)
    await crowd.until_heard("is booting", back, times=2)
    ec2.faults.release(ids[back[0]])
    await surge.others_ready(ALL - 1)
    crowd.site.let_pass(1000)
    assert not await surge.end()
    await crowd.judge(surge)
    machines = await crowd.machines()
    now = {m["owner"]: m for m in machines if RETIRED_TAG not in tags_of(m)}
    assert now[back[0]]["InstanceId"] == ids[back[0]]
    aside = [m for m in machines if RETIRED_TAG in tags_of(m)]
    assert [m["InstanceId"] for m in aside] == [ids[back[1]]]
    assert set(new).isdisjoint(m["InstanceId"] for m in machines)
    assert len(now) == ALL


async def test_machines_that_vanish(surge, crowd, ec2):
    ec2.faults.hold("pending")
    surge.begin()
    pending = set(await crowd.until_machines("pending"))
    ids = {m["owner"]: m["InstanceId"] for m in await crowd.machines() if m["owner"]}
    back, new = [ids[name] for name in surge.back], sorted(pending - set(ids.values()))
    silent = [*back[:6], *new[:6]]
    early = [*back[6:9], *new[6:9]]
    await asyncio.to_thread(crowd.terminate_at_once, early)
    for instance_id in silent:
        ec2.faults.hang(instance_id, heals=False)
    ec2.faults.let_go("pending")
    await surge.others_done(ALL - len(silent))
    late = [*back[:3], *new[:3]]
    await asyncio.to_thread(crowd.terminate_at_once, late)
    for instance_id in set(silent) - set(late):
        ec2.faults.release(instance_id)
    refused = await surge.end()
    assert all("Amazon ended your machine" in words for words in refused.values()), refused
    assert not await surge.again(refused)
    await crowd.judge(surge)
    machines = {m["owner"]: m["InstanceId"] for m in await crowd.machines()}
    assert {*early, *late}.isdisjoint(machines.values())
    assert [name for name in surge.back if machines[name] != ids[name]] == [
        *surge.back[:3],
        *surge.back[6:9],
    ]
    assert len(machines) == ALL
