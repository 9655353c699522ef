"""What the hub looks at before it stops a machine for the sweep: its own claims and servers."""

import asyncio
import threading
from dataclasses import replace

from cloudjhub.culler.strays import Server
from cloudjhub.deadlines import timeout
from cloudjhub.hub_machines import kept_by
from cloudjhub.naming import Owner, owner_tags

ADA = owner_tags(Owner("ada"))


async def seen(fleet, machine):
    await fleet.view.next_listing()
    return fleet.view.get(machine.id)


async def test_only_who_runs_for_nobody_may_be_stopped(ec2, fleet):
    stray = await seen(fleet, ec2.add(tags=ADA))
    assert kept_by(fleet, stray, []) == ""
    bob = Server(user="bob", server="", instance_id="i-2", pending=None)
    assert kept_by(fleet, stray, [bob]) == ""
    ada = Server(user="ada", server="", instance_id=None, pending="spawn")
    assert "A server has it" in kept_by(fleet, stray, [bob, ada])
    assert "being started" in kept_by(fleet, replace(stray, state="pending"), [])
    other = {**stray.tags, "cloudjhub:cluster": "other"}
    assert kept_by(fleet, replace(stray, tags=other), [])


async def test_a_spare_is_the_pools(ec2, fleet):
    assert "pool" in kept_by(fleet, await seen(fleet, ec2.add()), [])


async def test_one_that_lost_its_tags_is_kept_while_somebody_claims_it(ec2, fleet):
    stray = await seen(fleet, ec2.add(tags={"cloudjhub:host-key": "x"}))
    assert kept_by(fleet, stray, []) == ""
    fleet.untagged(stray.id, Owner("ada"))
    assert "being started" in kept_by(fleet, stray, [])
    fleet.spares.release(stray.id)
    assert kept_by(fleet, stray, []) == ""
    fleet.spares.condemn(stray.id)
    assert "removed" in kept_by(fleet, stray, [])


async def test_one_whose_start_ec2_has_not_answered_is_kept(ec2, fleet):
    stopped = await seen(fleet, ec2.add("stopped", tags=ADA))
    ec2.gates["start"] = threading.Event()
    start = asyncio.ensure_future(fleet.start(stopped.id))
    try:
        async with timeout(60):
            while not fleet.is_being_started(stopped.id):
                await asyncio.sleep(0)
        assert "being started" in kept_by(fleet, replace(stopped, state="running"), [])
    finally:
        ec2.gates["start"].set()
        await asyncio.wait_for(start, 60)
    assert kept_by(fleet, replace(stopped, state="running"), []) == ""
