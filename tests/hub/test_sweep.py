"""The sweep against a real hub and a local EC2, round by round, by a clock of its own."""

import asyncio

import pytest
import pytest_asyncio
from hub.asleep import hibernated
from hub.sweeping import (
    Sweeping,
    behind_its_back,
    press_start,
    printed_sweep,
    ready,
    refused,
    running,
    spare_of,
    stopped,
    volume,
    volumes,
)
from sites import BRISK

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

# The hub's own service sweeps too, often; what it stops must have run for its whole grace.
PACE = {"sweep_seconds": 2}
SITE = {
    "more_config": f"""{BRISK}
import json, os
from cloudjhub.culler import pace
os.environ[pace.VARIABLE] = json.dumps({PACE!r})
""",
}
BLANK = {"cloudjhub:cluster": "demo", "cloudjhub:role": "disk", "cloudjhub:shape": "abc"}


@pytest_asyncio.fixture(loop_scope="module")
async def sweeping(no_faults, monkeypatch):
    """Sweeps that EC2 takes for the hub's own service."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "local")
    return lambda **config: Sweeping(no_faults, **config)


async def test_a_machine_started_behind_the_hubs_back_is_stopped(sweeping):
    sweep = sweeping()
    site = sweep.site
    hers, his = [await site.user(name) for name in ("student01", "student02")]
    await asyncio.gather(hers.start_server(), his.start_server())
    stray = await behind_its_back(site, "student01", hers)
    dry = await sweep.sweeper.round(dry=True)
    assert f"machine {stray} of student01: runs without server" in dry.text()
    for report in await sweep.rounds(4):
        assert [(each.id, each.step) for each in report.machines] == [(stray, "")]
    assert await site.machine_state("student01") == "running"

    (report,) = await sweep.rounds(1)
    assert [(each.id, each.step, each.outcome) for each in report.machines] == [
        (stray, "stop", "done")
    ]
    await site.machine_stopped("student01")
    assert f"{stray} is stopped by the sweep: runs without server" in site.hub_log()
    assert await site.machine_state("student02") == "running"
    assert (await site.server("student02"))["ready"]
    # It is hers as before.
    await hers.start_server()
    assert (await site.the_machine("student01"))["InstanceId"] == stray


async def test_a_machine_whose_owner_is_starting_it_is_left_alone(sweeping):
    sweep = sweeping()
    site = sweep.site
    hers, his = [await site.user(name) for name in ("student03", "student04")]
    await asyncio.gather(hers.start_server(), his.start_server())
    await hers.stop_server()
    await site.machine_stopped("student03")
    await his.stop_server()
    await site.machine_stopped("student04")
    # Both run for EC2 and neither answers yet; one is started by its owner.
    site.ec2.faults.hold("boot")
    starting = (await site.the_machine("student03"))["InstanceId"]
    stray = (await site.the_machine("student04"))["InstanceId"]
    await asyncio.to_thread(site.boto().start_instances, InstanceIds=[stray])
    await site.begin("student03")
    await running(site, "student03", "student04")
    reports = await sweep.rounds(6)
    assert {each.id for report in reports for each in report.machines} == {stray}
    assert reports[-1].machines[0].outcome == "done"
    await site.machine_stopped("student04")
    # Nor is it stopped for whoever asks, without two rounds and a grace.
    status, answer = await site.api("POST", f"/cloudjhub/machines/{starting}/stop", reason="no")
    assert status == 409, answer
    site.ec2.faults.let_go("boot")
    await ready(site, "student03")
    assert await site.machine_state("student03") == "running"
    status, answer = await site.api("POST", f"/cloudjhub/machines/{starting}/stop", reason="no")
    assert (status, answer["message"]) == (409, "A server has it, or is about to.")


async def test_an_owner_who_comes_back_while_it_is_stopped_gets_a_server(sweeping):
    sweep = sweeping()
    site = sweep.site
    person = await site.user("student05")
    await person.start_server()
    stray = await behind_its_back(site, "student05", person)
    site.ec2.faults.surprise("StopInstances", lambda: press_start(site, "student05"), naming=stray)
    reports = await sweep.rounds(6)
    assert "done" in [each.outcome for report in reports for each in report.machines]
    await ready(site, "student05")
    assert (await site.the_machine("student05"))["InstanceId"] == stray
    assert len(site.notebooks(stray)) == 1


async def test_machines_of_deleted_users_and_lost_tags_are_stopped_and_spares_are_not(sweeping):
    sweep = sweeping()
    site = sweep.site
    gone, lost = [await site.user(name) for name in ("student06", "student07")]
    await asyncio.gather(gone.start_server(), lost.start_server())
    of_gone = await behind_its_back(site, "student06", gone)
    of_lost = await behind_its_back(site, "student07", lost)
    assert (await site.api("DELETE", "/users/student06"))[0] == 204
    await site.until("the hub to let go of it", lambda: stopped(site, of_gone))
    await asyncio.to_thread(site.boto().start_instances, InstanceIds=[of_gone])
    await running(site, "student06")
    tags = [{"Key": "cloudjhub:user"}, {"Key": "cloudjhub:server"}]
    await asyncio.to_thread(site.boto().delete_tags, Resources=[of_lost], Tags=tags)
    with site.config(POOL=1):
        spare = await site.until("a spare to be ready", lambda: spare_of(site))
        reports = await sweep.rounds(6)
        done = {each.id for report in reports for each in report.machines if each.outcome == "done"}
        assert done == {of_gone, of_lost}
        status, answer = await site.api("POST", f"/cloudjhub/machines/{spare}/stop", reason="no")
        assert status == 409, answer
    for each in (of_gone, of_lost):
        await site.until(f"{each} to be stopped", lambda each=each: stopped(site, each))


async def test_nothing_is_done_while_ec2_or_the_hub_cannot_be_read(sweeping):
    sweep = sweeping()
    site = sweep.site
    person = await site.user("student08")
    await person.start_server()
    stray = await behind_its_back(site, "student08", person)
    await sweep.rounds(3)
    site.ec2.faults.refuse("DescribeInstances", "UnauthorizedOperation", status=403, times=1000)
    for report in await sweep.rounds(4):
        assert "DescribeInstances" in report.unreadable and not report.machines
    site.ec2.faults.clear()
    ask, sweep.sweeper._ask = sweep.sweeper._ask, refused(site)
    for report in await sweep.rounds(4):
        assert "403" in report.unreadable and not report.machines
    sweep.sweeper._ask = ask
    assert await site.machine_state("student08") == "running"
    for report in await sweep.rounds(3):
        assert [(each.id, each.step) for each in report.machines] == [(stray, "")]
    await sweep.rounds(1)
    await site.machine_stopped("student08")


async def test_a_sweep_that_only_reports_stops_nothing(sweeping):
    sweep = sweeping(sweep="report")
    site = sweep.site
    person = await site.user("student09")
    await person.start_server()
    stray = await behind_its_back(site, "student09", person)
    for report in await sweep.rounds(8):
        assert [(each.id, each.step) for each in report.machines] == [(stray, "")]
    assert await site.machine_state("student09") == "running"
    del sweep.changes["sweep"]
    await sweep.rounds(1)
    await site.machine_stopped("student09")


async def test_blank_volumes_are_removed_when_told_and_homes_never(sweeping):
    sweep = sweeping(sweep="stop")
    site = sweep.site
    blank = await volume(site, BLANK)
    home = await volume(site, {**BLANK, "cloudjhub:user": "nobody", "cloudjhub:server": ""})
    foreign = await volume(site, {**BLANK, "cloudjhub:cluster": "demo2"})
    sweep.ahead_seconds += 10 * 86400
    for _ in range(3):
        report = await sweep.sweeper.round()
        sweep.ahead_seconds += 3600
        assert not report.leftovers_unreadable
        ids = {each.id: each.why for each in report.leftovers}
        assert "blank" in ids[blank] and "no user of the hub" in ids[home]
        assert foreign not in ids
    sweep.changes["sweep"] = "remove"
    report = await sweep.sweeper.round()
    assert [each.id for each in report.leftovers if each.outcome == "done"] == [blank]
    assert await volumes(site, blank, home, foreign) == {home, foreign}


async def test_the_hubs_own_service_sweeps_and_says_so(sweeping):
    site = sweeping().site
    person = await site.user("student10")
    await person.start_server()
    stray = await behind_its_back(site, "student10", person)
    found = f"machine {stray} of student10: runs without server"
    assert found in await printed_sweep(site)
    assert await site.machine_state("student10") == "running"
    await site.until("the service to find it", lambda: found in site.hub_log())
    with site.config(SWEEP_GRACE_SECONDS=10, IDLE_TIMEOUT_OF_USER={"student10": 10}):
        await site.machine_stopped("student10")
    await site.until("the log to say so", lambda: f"{found} -> stop: done" in site.hub_log())
    admin = await site.user("admin")

    async def shown():
        page = await admin.page("/services/culler/")
        rows = page[page.index('id="deeds"') :].split("<tr>")
        return [row for row in rows if stray in row and "student10" in row and "done" in row]

    await site.until("the page to show it", shown)


async def test_a_long_sleep_is_renewed_and_the_same_server_wakes_up(sweeping):
    sweep = sweeping()
    site = sweep.site
    person = await site.user("student11")
    with site.config(IDLE_ACTION="hibernate"):
        await person.start_server()
    machine = (await site.the_machine("student11"))["InstanceId"]
    before = set(site.notebooks(machine))
    await hibernated(site, "student11")
    assert [report.machines for report in await sweep.rounds(3)] == [()] * 3

    sweep.ahead_seconds += 56 * 86400
    (report,) = await sweep.rounds(1)
    assert [(each.id, each.step, each.outcome) for each in report.machines] == [
        (machine, "wake", "done")
    ]
    await running(site, "student11")
    *others, last = await sweep.rounds(4)
    assert {each.step for report in others for each in report.machines} == {""}
    assert [(each.id, each.step, each.outcome) for each in last.machines] == [
        (machine, "hibernate", "done")
    ]
    await site.machine_stopped("student11")
    reason = (await site.the_machine("student11"))["StateReason"]["Code"]
    assert reason == "Client.UserInitiatedHibernate"
    await person.start_server()
    assert set(site.notebooks(machine)) == before


async def test_the_hub_says_whose_limit_is_not_everybodys(no_faults):
    site = no_faults
    for name in ("student12", "student13", "student14"):
        await site.user(name)
    assert (await site.api("POST", "/groups/gpu"))[0] == 201
    members = ["student12", "student13"]
    assert (await site.api("POST", "/groups/gpu/users", users=members))[0] == 200
    own = {"IDLE_TIMEOUT_OF_USER": {"student13": 0}}
    with site.config(IDLE_TIMEOUT_OF_GROUP={"gpu": 900}, **own):
        _, answer = await site.api("GET", "/cloudjhub/machines")
    assert answer["limits"] == {"student12": 900, "student13": 0}


async def test_strangers_may_neither_ask_nor_stop(no_faults):
    site = no_faults
    ask = refused(site)
    assert (await ask("GET", "/cloudjhub/machines", None))[0] == 403
    assert (await ask("POST", "/cloudjhub/machines/i-1/stop", {"reason": "no"}))[0] == 403
    status, answer = await site.api("POST", "/cloudjhub/machines/i-00000000/stop", reason="no")
    assert status == 404, answer
    assert (await site.api("POST", "/cloudjhub/machines/i-1/stop", hibernate="maybe"))[0] == 400
