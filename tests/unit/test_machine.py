"""From whatever state a user's machine is in to one that answers."""

import asyncio

import pytest

from cloudjhub import machine as machine_module
from cloudjhub.errors import (
    EC2Unreachable,
    LaunchFailed,
    MachineNotAnswering,
    NoCapacity,
    WrongState,
)
from cloudjhub.launch_spec import launch_spec
from cloudjhub.machine import Machine, Patience, Plan
from cloudjhub.naming import RETIRED_TAG, Owner, owner_tags
from cloudjhub.progress import StartReport, UsualTimes

ADA, BOB = Owner("ada"), Owner("bob")


class World:
    """One user's start on the EC2 in memory. Machines answer while they run, unless deaf."""

    def __init__(self, fleet, ec2, plan):
        self.fleet, self.ec2, self.plan = fleet, ec2, plan
        self.deaf: set[str] = set()
        self.report = StartReport(UsualTimes())
        self.machine = self.another()

    def another(self, plan=None) -> Machine:
        return Machine(self.fleet, plan or self.plan, self.report, self.answers)

    async def answers(self, instance):
        actual = self.ec2.machines.get(instance.id)
        return actual is not None and actual.state == "running" and instance.id not in self.deaf

    async def see(self):
        await self.fleet.view.next_listing()
        await self.fleet.view.next_listing()

    async def start(self, known_id=None, machine=None):
        self.fleet.view._listed_at = None  # the last listing was long before the login
        return await asyncio.wait_for((machine or self.machine).answering(known_id), 20)


@pytest.fixture
async def world(fleet, ec2, spec, config, image, monkeypatch):
    monkeypatch.setattr(machine_module, "_PROBE_SECONDS", 0.005)
    monkeypatch.setattr(machine_module, "_LISTING_LAG_SECONDS", 0.3)
    plan = Plan(
        owner=ADA,
        with_home=spec,
        without_home=launch_spec(config, image, with_home=False),
        patience=Patience(boot_seconds=0.6, running_seconds=0.05, stop_seconds=5.0),
    )
    return World(fleet, ec2, plan)


def homes_asked_for(ec2) -> list[bool]:
    return [len(arguments["BlockDeviceMappings"]) == 2 for (arguments,) in ec2.made("run")]


# -- each state


async def test_without_a_machine_one_is_launched_with_a_home(world):
    machine = await world.start()
    assert homes_asked_for(world.ec2) == [True]
    assert [own.id for own in world.fleet.owned_by(ADA)] == [machine.id]
    assert world.ec2.count("start") == 0


async def test_without_a_machine_a_home_that_exists_is_not_made_twice(world):
    world.ec2.add_disk(tags=owner_tags(ADA))
    await world.start()
    assert homes_asked_for(world.ec2) == [False]


@pytest.mark.parametrize("state", ["pending", "running"])
async def test_a_machine_that_is_up_is_waited_for_and_not_touched(world, state):
    machine = world.ec2.add(state, tags=owner_tags(ADA))
    assert (await world.start()).id == machine.id
    assert {call[0] for call in world.ec2.calls} == {"list"}


async def test_a_stopped_machine_is_started(world):
    machine = world.ec2.add("stopped", tags=owner_tags(ADA))
    assert (await world.start()).id == machine.id
    assert world.ec2.made("start") == [([machine.id],)]
    assert world.ec2.count("run") == 0


async def test_a_machine_that_is_shutting_down_is_started_when_it_has(world):
    machine = world.ec2.add("stopping", tags=owner_tags(ADA))
    assert (await world.start()).id == machine.id
    assert world.ec2.made("start") == [([machine.id],)]


@pytest.mark.parametrize("state", ["shutting-down", "terminated"])
async def test_a_machine_that_ended_is_replaced_and_the_home_is_kept(world, state):
    machine = world.ec2.add(state, home=True, tags=owner_tags(ADA))
    assert (await world.start(known_id=machine.id)).id != machine.id
    assert homes_asked_for(world.ec2) == [False]


async def test_a_machine_ec2_knows_no_more_is_replaced(world):
    await world.start(known_id="i-ffffffff")
    assert world.ec2.count("run") == 1


async def test_starting_again_is_the_same_machine(world):
    first = await world.start()
    world.fleet.view.tell_tags(first.id, owner_tags(ADA))
    again = await world.start(first.id, world.another())
    assert again.id == first.id
    assert world.ec2.count("run") == 1


# -- which machine


async def test_the_hubs_state_decides_between_several(world, caplog):
    world.ec2.add(tags=owner_tags(ADA), age_seconds=1000)
    known = world.ec2.add(tags=owner_tags(ADA))
    assert (await world.start(known.id)).id == known.id
    assert "owns several machines" in caplog.text


async def test_without_the_hubs_state_the_oldest_is_the_one(world):
    world.ec2.add(tags=owner_tags(ADA))
    oldest = world.ec2.add(tags=owner_tags(ADA), age_seconds=1000)
    assert (await world.start()).id == oldest.id


async def test_a_machine_that_is_someone_elses_by_now_is_not_used(world):
    machine = world.ec2.add(tags=owner_tags(BOB))
    assert (await world.start(known_id=machine.id)).id != machine.id


async def test_a_machine_that_lost_its_tags_is_found_by_the_hubs_state(world):
    machine = world.ec2.add()
    assert (await world.start(known_id=machine.id)).id == machine.id


async def test_another_server_of_the_same_user_has_its_own_machine(world, spec):
    default = await world.start()
    named = Plan(**{**vars(world.plan), "owner": Owner("ada", "gpu")})
    assert (await world.start(machine=world.another(named))).id != default.id


# -- EC2 that cannot be asked


def outage(ec2, action="list", count=10_000):
    ec2.failures[action].extend(EC2Unreachable("Gone.", action=action) for _ in range(count))


async def test_while_ec2_is_away_a_machine_last_seen_running_is_used(world):
    machine = world.ec2.add(tags=owner_tags(ADA))
    await world.see()
    outage(world.ec2)
    assert (await world.start()).id == machine.id


@pytest.mark.parametrize("state", [None, "stopped"])
async def test_while_ec2_is_away_nothing_else_is_guessed(world, state):
    if state:
        world.ec2.add(state, tags=owner_tags(ADA))
    await world.see()
    outage(world.ec2)
    with pytest.raises(EC2Unreachable):
        await world.start()
    assert world.ec2.count("run") == world.ec2.count("start") == 0


# -- what goes wrong while it starts


async def test_a_launch_that_dies_is_an_error_with_amazons_reason(world):
    async def die():
        while not world.ec2.machines:
            await asyncio.sleep(0.001)
        (machine_id,) = world.ec2.machines
        world.ec2.change(
            machine_id, state="terminated", state_reason="Client.InternalError: no key"
        )

    dying = asyncio.ensure_future(die())
    with pytest.raises(LaunchFailed, match=r"Client\.InternalError: no key"):
        await world.start()
    await dying
    assert world.ec2.count("run") == 1


async def test_a_machine_that_stops_again_and_again_is_an_error_with_the_reason(world):
    machine = world.ec2.add("stopped", tags=owner_tags(ADA))
    machine_module._LISTING_LAG_SECONDS = 0.0  # put back by the world fixture's monkeypatch

    def falls_over(machines):
        if world.ec2.machines[machine.id].state in ("pending", "running"):
            world.ec2.change(machine.id, state="stopped", state_reason="Server.InternalError: disk")
        return list(world.ec2.machines.values())

    world.ec2.shown = falls_over
    with pytest.raises(LaunchFailed, match=r"stops again.*Server\.InternalError: disk"):
        await world.start()
    assert world.ec2.count("start") == 3


async def test_listings_that_still_say_stopped_after_a_start_are_no_reason_to_start_again(world):
    machine = world.ec2.add("stopped", tags=owner_tags(ADA))
    await world.see()
    lagging = {"until": world.ec2.count("list") + 4}

    def lag(machines):
        if world.ec2.count("list") < lagging["until"]:
            return [machine]
        return machines

    world.ec2.shown = lag
    world.ec2.held.add(machine.id)
    starting = asyncio.ensure_future(world.start())
    while world.ec2.count("start") < 1:
        await asyncio.sleep(0.001)
    world.ec2.change(machine.id, state="pending")
    while world.ec2.count("list") < lagging["until"] + 1:
        await asyncio.sleep(0.001)
    world.ec2.change(machine.id, state="running")
    assert (await starting).id == machine.id
    assert world.ec2.count("start") == 1


async def test_a_start_that_comes_too_early_for_ec2_is_repeated(world):
    machine = world.ec2.add("stopped", tags=owner_tags(ADA))
    world.ec2.failures["start"].append(WrongState("Busy.", action="StartInstances"))
    assert (await world.start()).id == machine.id
    assert world.ec2.count("start") == 2


async def test_a_start_without_capacity_says_so(world):
    world.ec2.add("stopped", tags=owner_tags(ADA))
    world.ec2.failures["start"].append(NoCapacity("No more.", action="StartInstances"))
    with pytest.raises(NoCapacity):
        await world.start()


# -- hung machines


async def test_a_hung_machine_is_switched_off_and_on(world):
    machine = world.ec2.add(home=True, tags=owner_tags(ADA))
    world.deaf.add(machine.id)
    starting = asyncio.ensure_future(world.start())
    while world.ec2.count("start") < 1:
        await asyncio.sleep(0.001)
    world.deaf.clear()
    assert (await starting).id == machine.id
    assert world.ec2.made("force-stop") == [([machine.id],)]
    assert world.ec2.count("run") == world.ec2.count("detach") == 0


async def test_a_machine_that_stays_silent_is_set_aside_and_its_home_goes_to_another(world):
    machine = world.ec2.add(home=True, tags=owner_tags(ADA))
    world.deaf.add(machine.id)
    other = await world.start()
    assert other.id != machine.id
    assert homes_asked_for(world.ec2) == [False]
    assert world.ec2.made("detach") == [(machine.home_volume_id, machine.id, "/dev/sdf")]
    aside = world.ec2.machines[machine.id]
    assert aside.state == "stopped"
    assert aside.tags[RETIRED_TAG] == "ada"
    assert "cloudjhub:user" not in aside.tags
    assert [home.id for home in await world.fleet.homes_of(ADA)] == [machine.home_volume_id]
    assert [own.id for own in world.fleet.owned_by(ADA)] == [other.id]


async def test_a_silent_machine_that_holds_the_files_is_not_replaced(world):
    machine = world.ec2.add(tags=owner_tags(ADA))
    world.deaf.add(machine.id)
    with pytest.raises(MachineNotAnswering, match=machine.id):
        await world.start()
    assert world.ec2.count("run") == world.ec2.count("terminate") == 0
    assert world.ec2.machines[machine.id].tags.items() >= owner_tags(ADA).items()


async def test_when_the_replacement_stays_silent_too_the_user_is_told(world):
    world.ec2.add(home=True, tags=owner_tags(ADA))

    async def nobody(instance):
        return False

    with pytest.raises(MachineNotAnswering):
        await world.start(machine=Machine(world.fleet, world.plan, world.report, nobody))
    assert world.ec2.count("run") == 1
    assert world.ec2.count("terminate") == world.ec2.count("delete-volume") == 0


# -- giving up


async def test_who_gives_up_leaves_a_spare(world):
    machine = await world.start()
    world.machine.release()
    assert world.fleet.owned_by(ADA) == []
    assert world.fleet.spares.is_free(world.fleet.view.get(machine.id))


async def test_a_machine_with_its_owners_tags_is_not_given_up(world):
    machine = await world.start()
    await world.fleet.tag([machine.id], owner_tags(ADA))
    world.machine.release()
    assert [own.id for own in world.fleet.owned_by(ADA)] == [machine.id]


async def test_giving_up_without_a_machine_changes_nothing(world):
    world.fleet.spares.claim("i-1", ADA)
    world.machine.release()
    assert world.fleet.spares.claimed_by(ADA) == ["i-1"]


async def test_a_start_cancelled_at_any_point_leaves_no_claim(world):
    for turns in range(1, 60, 3):
        machine = world.another()
        starting = asyncio.ensure_future(machine.answering(None))
        for _ in range(turns):
            await asyncio.sleep(0.001)
        starting.cancel()
        await asyncio.wait([starting])
        machine.release()
        await world.see()
        assert world.fleet.owned_by(ADA) == []
