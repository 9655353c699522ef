"""A pool of ready machines: there before anybody logs in, refilled, shrunk, and never orphaned."""

import asyncio

import aiohttp
import pytest
from sites import BRISK

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

# What comes round every few seconds comes more often, for the test's own time.
OFTEN = """
from cloudjhub.fleet import upkeep
from cloudjhub.pool import aim, keeper
upkeep._ROUND_SECONDS = keeper._ROUND_SECONDS = 0.5
aim._BEFORE_SLEEP_SECONDS = 0
"""
SITE = {"more_config": BRISK + OFTEN, "more_server_config": {"POOL": 2}}


async def spares(site) -> dict[str, str]:
    """Machines of nobody and their states."""
    return {
        machine["InstanceId"]: machine["State"]["Name"]
        for machine in await site.machines()
        if not any(tag["Key"] == "cloudjhub:user" for tag in machine.get("Tags", []))
    }


async def metric(site, name: str) -> float:
    """A number from the hub's own metrics."""
    headers = {"Authorization": f"token {site.demo.secrets.api_token}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.get(f"{site.demo.url}/hub/metrics") as answer,
    ):
        text = await answer.text()
    found = [line for line in text.splitlines() if line.startswith(f"{name} ")]
    return float(found[0].rpartition(" ")[2]) if found else -1.0


async def ever_launched(site) -> set[str]:
    """Ids of all machines, those that have ended included."""
    answer = await asyncio.to_thread(site.boto().describe_instances)
    return {i["InstanceId"] for r in answer["Reservations"] for i in r["Instances"]}


async def ready(site, count: int) -> dict[str, str]:
    """Wait until so many spares let the hub in, and no others are there."""

    async def all_there():
        found = await spares(site)
        is_ready = await metric(site, 'cloudjhub_spares{state="ready"}') == count
        return found if is_ready and len(found) == count else None

    return await site.until(f"{count} spares to be ready", all_there)


async def stopped(site, count: int) -> dict[str, str]:
    """Wait until so many spares are stopped, no others are there, and the hub has seen it."""

    async def all_off():
        found = await spares(site)
        if list(found.values()) != ["stopped"] * count:
            return None
        states = [machine["State"]["Name"] for machine in await site.machines()]
        seen = await metric(site, 'cloudjhub_machines{state="stopped"}')
        return found if seen == states.count("stopped") else None

    return await site.until(f"{count} spares to be stopped", all_off)


async def test_the_pool_is_there_before_anybody_logs_in(site):
    before = await ready(site, 2)
    assert set(before.values()) == {"running"}
    assert await metric(site, "cloudjhub_pool_wanted") == 2
    assert site.ec2.calls()["RunInstances"]["ok"] == 1


async def test_a_login_gets_one_and_it_is_refilled(site):
    before = await ready(site, 2)
    student = await site.user("student01")
    site.ec2.faults.hold("pending")  # what is launched now stays out of reach
    try:
        await student.start_server()
        machine = (await site.the_machine("student01"))["InstanceId"]
        assert machine in before
        assert len(site.notebooks(machine)) == 1
        assert len(await site.homes("student01")) == 1

        async def another():
            return len(await spares(site)) == 2

        await site.until("another spare to be launched", another)
    finally:
        site.ec2.faults.let_go("pending")
    after = await ready(site, 2)
    assert len(after.keys() - before.keys()) == 1
    await student.stop_server()


async def test_a_pool_that_is_changed_in_the_file_grows_and_shrinks(site):
    before = await ready(site, 2)
    with site.config(POOL={"always": 1, "* 00:00-00:00 UTC": 9}, POOL_MAX=3):
        grown = await ready(site, 3)
        assert before.keys() < grown.keys()
        assert await metric(site, "cloudjhub_pool_wanted") == 3
        site.demo.folder.path.joinpath("server_config.json").write_text("{")
        assert (await ready(site, 3)).keys() == grown.keys()
    shrunk = await ready(site, 2)
    assert shrunk.keys() < grown.keys()


async def test_a_hub_killed_while_it_refills_has_the_right_number_in_the_end(no_faults):
    """The next hub is shown nothing of what the killed one launched, and asks for it again."""
    site = no_faults
    before = await ready(site, 2)
    known = await ever_launched(site)
    site.ec2.faults.hold("pending")
    site.ec2.faults.lag(3600)

    def launches() -> int:
        return site.ec2.calls()["RunInstances"]["ok"]

    done = launches()
    with site.config(POOL=4):
        await site.until("two more to be launched", lambda: launches() == done + 1)
        await site.demo.hub.crash()
        await site.hub_again()
        await site.until("the next hub to ask for two more", lambda: launches() == done + 2)
        site.ec2.faults.clear()
        after = await ready(site, 4)
    assert before.keys() < after.keys()
    assert await ever_launched(site) - known == after.keys() - before.keys()
    await ready(site, 2)


async def test_a_stopped_pool_boots_once_and_is_started_for_who_comes(site):
    await ready(site, 2)
    with site.config(POOL_STATE="stopped"):
        before = await stopped(site, 2)
        student = await site.user("student02")
        await student.start_server()
        machine = (await site.the_machine("student02"))["InstanceId"]
        assert machine in before
        await stopped(site, 2)
        await student.stop_server()
    await ready(site, 2)


async def test_a_hibernated_pool_sleeps_and_wakes_up_for_who_comes(site):
    others = await ready(site, 2)
    with site.config(IDLE_ACTION="hibernate", POOL_STATE="hibernated"):
        before = await stopped(site, 2)
        assert not before.keys() & others.keys()  # those could not hibernate
        asleep = [m for m in await site.machines() if m["InstanceId"] in before]
        reasons = {machine["StateReason"]["Code"] for machine in asleep}
        assert reasons == {"Client.UserInitiatedHibernate"}
        running = {each: set(site.ec2.machines.get(each).pids()) for each in before}
        student = await site.user("student03")
        await student.start_server()
        machine = (await site.the_machine("student03"))["InstanceId"]
        assert machine in before
        assert running[machine] & set(site.ec2.machines.get(machine).pids())  # it has not booted
        assert len(site.notebooks(machine)) == 1
        await stopped(site, 2)
        await student.stop_server()
    await ready(site, 2)


async def test_without_a_pool_all_spares_go_and_what_somebody_has_stays(site):
    await ready(site, 2)
    owned = {machine["InstanceId"] for machine in await site.machines("student01")}
    with site.config(POOL=0):

        async def gone():
            return not await spares(site)

        await site.until("all spares to go", gone)
    assert {machine["InstanceId"] for machine in await site.machines("student01")} == owned
