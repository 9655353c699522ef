"""The rounds of a sweep, with a hub and an EC2 that say what a test wants."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from unit.listings import Clock
from unit.things import disk

from cloudjhub.account.inventory import Inventory
from cloudjhub.culler.sweep import Sweeper
from cloudjhub.ec2_values import Instance
from cloudjhub.errors import EC2Unreachable, NotPermitted
from cloudjhub.idle_config import IdleConfig
from cloudjhub.naming import Owner, owner_tags

OURS = {"cloudjhub:cluster": "class", "cloudjhub:role": "worker"}


class Config(IdleConfig):
    """Of server_config.json what a sweep reads."""

    spare_seconds: int = 3600


class World:
    """EC2 and hub as plain values; it writes down what it is told to do."""

    cluster = "class"

    def __init__(self, **config):
        self.config = Config(**config)
        self.listed: list[Instance] = []
        self.found = Inventory("class")
        self.servers: list[dict] = []
        self.done: list[tuple] = []
        self.failures: dict[str, Exception] = {}
        self.status = 200
        self.stop_answer: tuple[int, object] = (204, None)
        self.clock = Clock()
        self.now = datetime(2026, 11, 23, tzinfo=timezone.utc)
        self.sweeper = Sweeper(
            config=lambda: self.config,
            ask=self.ask,
            cloud=lambda config: self,
            clock=self.clock.monotonic,
            now=lambda: self.now,
        )

    async def round(self, after=60, **how):
        """One round, so many seconds after the last."""
        self.clock.ahead += after
        self.now += timedelta(seconds=after)
        return await self.sweeper.round(**how)

    def machine(self, owner="ada", state="running", **changes):
        tags = {**OURS, **owner_tags(Owner(owner))}
        self.listed.append(Instance(f"i-{owner}", state, tags=tags, **changes))

    def has(self, user, pending=None):
        self.servers.append(
            {"user": user, "server": "", "instance_id": f"i-{user}", "pending": pending}
        )

    def _called(self, name):
        if name in self.failures:
            raise self.failures[name]

    # -- as Cloud

    def machines(self):
        self._called("machines")
        return list(self.listed)

    def inventory(self):
        self._called("inventory")
        return self.found

    def wake(self, instance_id):
        self._called("wake")
        self.done.append(("wake", instance_id))

    def remove(self, thing):
        self._called("remove")
        self.done.append(("remove", thing.id))

    # -- as the hub

    async def ask(self, method, path, body):
        await asyncio.sleep(0)
        self._called(method)
        if method == "POST":
            self.done.append((path.split("/")[-2], body))
            return self.stop_answer
        users = ["ada", "bob"] if path.endswith("?users=1") else None
        return self.status, {"servers": self.servers, "users": users}


async def test_a_machine_without_a_server_is_stopped_when_its_time_is_over():
    world = World()
    world.machine("ada")
    world.machine("bob")
    world.has("bob")
    for _ in range(10):
        report = await world.round()
        assert [each.id for each in report.machines] == ["i-ada"]
        assert not world.done
    report = await world.round()
    assert world.done == [("i-ada", {"hibernate": False, "reason": "runs without server"})]
    assert [(each.step, each.outcome) for each in report.machines] == [("stop", "done")]
    assert report.counts() == {("machine", "stop", "done"): 1}


async def test_who_begins_to_start_in_the_meantime_is_left_alone():
    world = World(SWEEP_GRACE_SECONDS=60)
    world.machine("ada")
    await world.round()
    world.has("ada", pending="spawn")
    report = await world.round()
    assert not report.machines and not world.done
    world.servers.clear()
    await world.round()  # seen anew
    assert not world.done
    await world.round()
    assert world.done


async def test_what_the_hub_refuses_is_said_and_asked_again():
    world = World(SWEEP_GRACE_SECONDS=60)
    world.machine("ada")
    world.stop_answer = (409, {"message": "A server has it, or is about to."})
    await world.round()
    report = await world.round()
    assert report.machines[0].outcome == "A server has it, or is about to."
    assert report.counts() == {("machine", "stop", "refused"): 1}
    world.stop_answer = (500, None)
    report = await world.round()
    assert report.machines[0].outcome == "The hub answered 500."
    world.failures["POST"] = ConnectionError("gone")
    report = await world.round()
    assert report.machines[0].outcome == "gone"
    del world.failures["POST"]
    world.stop_answer = (204, None)
    assert (await world.round()).machines[0].outcome == "done"


UNREADABLE = {
    "EC2": ("machines", EC2Unreachable("Silence.", action="DescribeInstances")),
    "policy": ("machines", NotPermitted("No.", action="DescribeInstances")),
    "a fault of ours": ("machines", ZeroDivisionError()),
    "hub": ("GET", ConnectionRefusedError("refused")),
}


@pytest.mark.parametrize("trouble", UNREADABLE)
async def test_nothing_is_done_in_a_round_that_could_not_read_everything(trouble):
    world = World(SWEEP_GRACE_SECONDS=60)
    world.machine("ada")
    await world.round()
    name, error = UNREADABLE[trouble]
    world.failures[name] = error
    for _ in range(3):
        report = await world.round()
        assert report.unreadable and not report.machines
    world.failures.clear()
    report = await world.round()
    # That time did not count; the machine may have had a server.
    assert not report.unreadable and not world.done
    assert [each.seconds for each in report.machines] == [0]
    await world.round()
    assert world.done


@pytest.mark.parametrize("status", [403, 404, 500, 503])
async def test_a_hub_that_says_something_else_is_not_read(status):
    world = World(SWEEP_GRACE_SECONDS=60)
    world.machine("ada")
    await world.round()
    world.status = status
    assert str(status) in (await world.round()).unreadable
    assert not world.done
    world.status = 200
    world.servers = [{"nonsense": 1}]
    assert (await world.round()).unreadable
    assert not world.done
    world.servers = []
    await world.round()
    await world.round()
    assert world.done


async def test_a_dry_run_does_nothing_and_says_what_would_be_done():
    world = World(SWEEP="remove", SWEEP_GRACE_SECONDS=60)
    world.machine("ada")
    await world.round()
    report = await world.round(dry=True)
    assert [(each.step, each.outcome) for each in report.machines] == [("stop", "planned")]
    assert "machine i-ada of ada: runs without server -> stop" in report.text()
    assert not world.done


async def test_all_are_stopped_side_by_side():
    world = World(SWEEP_GRACE_SECONDS=60)
    for number in range(50):
        world.machine(f"user{number}")
    most, under_way = 0, 0
    all_here = asyncio.Event()
    ask = world.ask

    async def slow(method, path, body):
        nonlocal most, under_way
        if method == "POST":
            under_way += 1
            most = max(most, under_way)
            if under_way == 50:
                all_here.set()
            await asyncio.wait_for(all_here.wait(), 60)
        return await ask(method, path, body)

    world.sweeper._ask = slow
    await world.round()
    await world.round()
    assert most == 50 and len(world.done) == 50


async def test_a_sleeper_is_woken_and_hibernated_again():
    world = World(SWEEP_GRACE_SECONDS=3600)
    asleep = {"state_reason": "Client.UserInitiatedHibernate: ...", "hibernation_configured": True}
    world.machine("ada", "stopped", stopped_at=world.now - timedelta(days=56), **asleep)
    await world.round()
    assert world.done == [("wake", "i-ada")]
    world.listed[0] = replace(world.listed[0], state="pending")
    await world.round()
    world.listed[0] = replace(world.listed[0], state="running", state_reason="", stopped_at=None)
    for _ in range(5):
        await world.round()
        assert len(world.done) == 1
    await world.round()
    assert world.done[1] == ("i-ada", {"hibernate": True, "reason": "runs without server"})


async def test_a_machine_that_cannot_be_woken_is_said_so():
    world = World()
    asleep = {"state_reason": "Client.UserInitiatedHibernate: ...", "hibernation_configured": True}
    world.machine("ada", "stopped", stopped_at=world.now - timedelta(days=56), **asleep)
    world.failures["wake"] = NotPermitted("No.", action="StartInstances")
    report = await world.round()
    assert "StartInstances" in report.machines[0].outcome


# -- what nobody owns


def blank(world):
    return Inventory("class", disks=(disk(created_at=world.now - timedelta(days=9)),))


async def test_leftovers_are_looked_for_once_an_hour_and_removed_in_the_second_look():
    world = World(SWEEP="remove")
    world.found = blank(world)
    report = await world.round()
    assert [each.step for each in report.leftovers] == [""]
    for _ in range(59):
        report = await world.round()
        assert not world.done and len(report.leftovers) == 1
    report = await world.round()
    assert world.done == [("remove", "vol-1")]
    assert [(each.step, each.outcome) for each in report.leftovers] == [("remove", "done")]


@pytest.mark.parametrize("mode", ["report", "stop"])
async def test_leftovers_are_only_listed_unless_told_otherwise(mode):
    world = World(SWEEP=mode)
    world.found = blank(world)
    for _ in range(3):
        report = await world.round(after=3600)
        assert [(each.id, each.step) for each in report.leftovers] == [("vol-1", "")]
    assert not world.done


async def test_leftovers_that_could_not_all_be_read_are_left_alone_and_machines_are_not():
    world = World(SWEEP="remove", SWEEP_GRACE_SECONDS=60)
    world.machine("ada")
    world.found = blank(world)
    await world.round()
    world.failures["inventory"] = NotPermitted("No.", action="DescribeAddresses")
    report = await world.round(after=3600)
    assert "DescribeAddresses" in report.leftovers_unreadable
    assert [done[0] for done in world.done] == ["i-ada"]
    world.failures.clear()
    world.listed.clear()
    await world.round(after=3600)  # seen anew
    assert len(world.done) == 1
    await world.round(after=3600)
    assert world.done[1] == ("remove", "vol-1")


async def test_what_was_done_is_remembered_once_each():
    world = World(SWEEP="remove", SWEEP_GRACE_SECONDS=60)
    world.found = blank(world)
    world.machine("ada")
    await world.round()
    await world.round()
    world.listed.clear()
    world.failures["machines"] = EC2Unreachable("Silence.", action="DescribeInstances")
    await world.round(after=3600)
    world.failures.clear()
    report = await world.round()
    assert [(each.finding.id, each.finding.outcome) for each in report.deeds] == [
        ("vol-1", "done"),
        ("i-ada", "done"),
    ]
    assert report.deeds[0].at > report.deeds[1].at


async def test_what_cannot_be_removed_is_said_and_the_rest_goes():
    world = World(SWEEP="remove")
    world.found = blank(world)
    world.failures["remove"] = NotPermitted("No.", action="DeleteVolume")
    await world.round()
    report = await world.round(after=3600)
    assert "DeleteVolume" in report.leftovers[0].outcome
    assert report.counts() == {("volume", "remove", "refused"): 1}


async def test_the_log_says_each_thing_once_and_each_deed(caplog):
    caplog.set_level("INFO", logger="cloudjhub")
    world = World(SWEEP_GRACE_SECONDS=120)
    world.machine("ada")
    for _ in range(3):
        await world.round()
    lines = [record.getMessage() for record in caplog.records]
    assert len([line for line in lines if "stopped if that lasts" in line]) == 1
    assert len([line for line in lines if line.endswith("-> stop: done")]) == 1
    world.failures["machines"] = EC2Unreachable("Silence.", action="DescribeInstances")
    caplog.clear()
    for _ in range(3):
        await world.round()
    assert len([r for r in caplog.records if "No sweep of machines" in r.getMessage()]) == 1
