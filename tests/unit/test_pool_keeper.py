"""The keeper of the pool on the EC2 in memory. Rounds, clock and answers are the test's."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from unit.fake_ec2 import called

from cloudjhub.config import ClusterConfig
from cloudjhub.errors import (
    EC2Unreachable,
    MachineNotAnswering,
    NoCapacity,
    NotPermitted,
    QuotaReached,
)
from cloudjhub.fleet.admission import Limit
from cloudjhub.fleet.upkeep import Upkeep
from cloudjhub.launch_spec import launch_spec
from cloudjhub.naming import SHAPE_TAG, Owner, owner_tags
from cloudjhub.pool.keeper import Keeper, Surroundings
from cloudjhub.pool.watch import Questions

ADA, BOB = Owner("ada"), Owner("bob")


class Pool:
    """A keeper, what it is told, and what is around it."""

    def __init__(self, fleet, ec2, values, image):
        self.fleet, self.ec2 = fleet, ec2
        self._values, self._image = values, image
        self._now = datetime.now(timezone.utc)
        self.deaf: set[str] = set()
        self.slow: set[str] = set()
        self.keys: dict[str, str] = {}
        self.configure(POOL=2)
        fleet.admission._limit = lambda: Limit(self.config.max_machines)
        self.keeper = self.another()

    def configure(self, **changes):
        """server_config.json as it is from now on."""
        self._values |= changes
        self.config = ClusterConfig.model_validate(self._values)

    def another(self) -> Keeper:
        """The keeper of a hub that has just started; rounds are the test's."""
        questions = Questions(self._prepare, self._answers, self.fleet.spares.ready)
        keeper = Keeper(
            Surroundings(self.fleet, lambda: self.config, self._kinds, questions, self.now)
        )
        keeper._task.cancel()
        return keeper

    def now(self):
        return self._now

    @property
    def spec(self):
        """What is launched first."""
        return launch_spec(self.config, self._image)

    async def _kinds(self, config):
        image = replace(self._image, id=config.worker_ami)
        types = config.worker_instance_types
        return tuple(launch_spec(config, image, instance_type=each) for each in types)

    async def _prepare(self, machine, key):
        await asyncio.sleep(0)
        if machine.id in self.deaf | self.slow:
            raise MachineNotAnswering("Not yet.")
        return self.keys.setdefault(machine.id, f"SHA256:{machine.id}")

    async def _answers(self, machine):
        return machine.id not in self.deaf

    async def round(self, times=1):
        """Rounds with everything that they began, and what EC2 shows afterwards."""
        for _ in range(times):
            await self.keeper.round()
            await asyncio.gather(*self.keeper._watch.asking())
            await self.see()

    async def see(self):
        await self.fleet.view.next_listing()
        await self.fleet.view.next_listing()

    def pass_by(self, **time):
        """So much time passes for the keeper."""
        self._now += timedelta(**time)

    def hours(self, *minutes: int) -> str:
        """A timetable's entry from one minute of the day that begins now to another."""
        self._now = self._now.replace(second=0, microsecond=0)
        begin, end = ((self._now + timedelta(minutes=m)).strftime("%H:%M") for m in minutes)
        return f"* {begin}-{end} UTC"

    def states(self) -> list[str]:
        """Of everything that still costs money."""
        ended = ("shutting-down", "terminated")
        return sorted(m.state for m in self.ec2.machines.values() if m.state not in ended)

    def launched(self) -> list[int]:
        """How many machines each launch asked for."""
        return [arguments["MaxCount"] for (arguments,) in self.ec2.made("run")]

    def free(self) -> set[str]:
        return {m.id for m in self.fleet.view.all() if self.fleet.spares.is_free(m)}


@pytest.fixture
async def pool(fleet, ec2, config_values, image, unlimited):
    pool = Pool(fleet, ec2, dict(config_values), image)
    yield pool
    await pool.keeper.aclose()


@pytest.fixture
async def upkeep(pool):
    """What removes the pool's surplus; its rounds are the test's."""
    upkeep = Upkeep(pool.fleet, lambda: pool.config.spare_seconds)
    await upkeep.aclose()
    return upkeep


# -- refilling


async def test_all_that_are_missing_come_with_one_launch(pool):
    await pool.round(3)
    assert pool.launched() == [2]
    assert pool.states() == ["running", "running"]
    assert pool.keeper.counts()["ready"] == 2


async def test_what_is_booting_is_not_launched_again(pool, ec2):
    ec2.held |= {"i-00000001", "i-00000002"}
    await pool.round(3)
    assert pool.launched() == [2]
    assert pool.keeper.counts()["pending"] == 2


async def test_a_launch_that_no_listing_shows_yet_counts(pool, ec2):
    ec2.shown = lambda machines: []
    await pool.round(3)
    assert pool.launched() == [2]


async def test_who_takes_one_gets_a_ready_one_without_a_launch_and_it_is_refilled(pool, fleet):
    await pool.round(2)
    slow = (await fleet.launch(pool.spec, ADA)).id
    await pool.round(2)
    assert pool.launched() == [2, 1]
    assert slow not in pool.free() and len(pool.free()) == 2


async def test_machines_of_logins_that_were_given_up_count(pool, fleet, ec2):
    machine = await fleet.launch(pool.spec, ADA)
    fleet.spares.release(machine.id)
    await pool.see()
    await pool.round(2)
    assert pool.launched() == [1, 1]
    assert len(ec2.machines) == 2


async def test_a_new_hub_goes_on_with_what_there_is(pool, fleet, ec2):
    await pool.round(2)
    await pool.keeper.aclose()
    for machine in ec2.machines:
        fleet.spares.ready(machine, False)  # a new process has no marks
    pool.keeper = pool.another()
    await pool.round()
    assert pool.launched() == [2]
    assert pool.keeper.counts()["ready"] == 2


async def test_a_hub_that_died_before_the_answer_asks_for_the_same_machines(pool, ec2, gate):
    answer = gate("run")
    dying = asyncio.ensure_future(pool.keeper.round())
    await called(ec2, "run")
    dying.cancel()
    another = pool.another()
    other = asyncio.ensure_future(another.round())
    await called(ec2, "run", times=2)
    answer.set()
    await other
    await another.aclose()
    first, second = (arguments["ClientToken"] for (arguments,) in ec2.made("run"))
    assert first == second
    await pool.see()
    pool.configure(POOL=6)
    await pool.keeper.round()
    assert ec2.made("run")[2][0]["ClientToken"] != first


async def test_machines_that_ended_long_ago_are_not_taken_for_new_ones(pool, ec2):
    real_run, ended = ec2.run, []

    def remembers_tokens(arguments):
        if not ended:
            ended.append(arguments["ClientToken"])
        machines = real_run(arguments)
        if arguments["ClientToken"] == ended[0]:
            for machine in machines:
                del ec2.machines[machine.id]  # an hour ago, and no listing shows them any more
            return [replace(machine, state="terminated") for machine in machines]
        return machines

    ec2.run = remembers_tokens
    await pool.round(3)
    assert pool.launched() == [2, 2]
    assert pool.keeper.counts()["ready"] == 2


# -- refusals


async def test_another_type_is_tried_at_once(pool, ec2):
    pool.configure(WORKER_INSTANCE_TYPE=["t3.medium", "t3a.medium"])
    ec2.failures["run"].append(NoCapacity("None.", action="RunInstances", code="Insufficient"))
    await pool.round(2)
    types = [arguments["InstanceType"] for (arguments,) in ec2.made("run")]
    assert types == ["t3.medium", "t3a.medium"]
    assert pool.keeper.counts()["ready"] == 2


@pytest.mark.parametrize("error", [NotPermitted, EC2Unreachable])
async def test_a_refusal_is_said_once_and_tried_again_after_growing_pauses(
    pool, ec2, caplog, error, monkeypatch
):
    monkeypatch.setattr("cloudjhub.fleet.calls._PATIENCE_SECONDS", 0.0)
    refusal = error("No.", action="RunInstances", code="Whatever")
    ec2.failures["run"].extend([refusal] * 3)
    await pool.round(3)
    assert ec2.count("run") == 1
    pool.pass_by(seconds=61)
    await pool.round(3)
    assert ec2.count("run") == 2
    pool.pass_by(seconds=61)
    await pool.round(2)
    assert ec2.count("run") == 2
    pool.pass_by(seconds=61)
    await pool.round(2)
    assert ec2.count("run") == 3
    assert caplog.text.count("The pool cannot be filled now") == 1
    pool.pass_by(seconds=241)
    await pool.round(2)
    assert pool.keeper.counts()["ready"] == 2


async def test_what_has_no_capacity_is_not_asked_for_as_long_as_that_is_remembered(
    pool, fleet, ec2, caplog
):
    ec2.failures["run"].append(NoCapacity("None.", action="RunInstances", code="Insufficient"))
    for _ in range(3):
        await pool.round()
        pool.pass_by(seconds=901)
    assert ec2.count("run") == 1 and caplog.text.count("cannot be filled now") == 1
    fleet.capacity.granted(pool.spec.instance_type, pool.spec.zone)
    await pool.round(2)
    assert pool.keeper.counts()["ready"] == 2


async def test_what_the_quota_leaves_is_taken(pool, ec2):
    pool.configure(POOL=8)
    quota = QuotaReached("Full.", action="RunInstances", code="VcpuLimitExceeded")
    ec2.failures["run"].extend([quota, quota])
    await pool.keeper.round()
    assert pool.launched() == [8, 4, 2]


async def test_machines_that_never_come_up_are_not_replaced_without_end(pool, ec2, upkeep, caplog):
    pool.configure(POOL=1)
    for _ in range(30):
        pool.deaf = set(ec2.machines) | {f"i-{n:08x}" for n in range(1, 200)}
        await pool.round()
        await upkeep.round()
        pool.pass_by(seconds=301)
    assert ec2.count("run") < 16
    assert "in a row did not come up" in caplog.text
    pool.deaf = set()
    for _ in range(8):
        pool.pass_by(seconds=901)
        await pool.round()
    assert pool.keeper.counts()["ready"] == 1


async def test_the_limit_of_the_cluster_wins_and_users_win_over_the_pool(pool, fleet, ec2):
    pool.configure(POOL=5, MAX_MACHINES=3)
    ec2.add(tags=owner_tags(BOB))
    await pool.see()
    await pool.round(3)
    assert pool.launched() == [2]
    await fleet.tag([(await fleet.launch(pool.spec, ADA)).id], owner_tags(ADA))
    await pool.round(2)
    assert pool.launched() == [2] and len(pool.free()) == 1


# -- shrinking


async def test_a_smaller_pool_ends_the_least_ready_at_once(pool, ec2, upkeep):
    pool.configure(POOL=3)
    await pool.round(2)
    pool.slow = {max(ec2.machines)}
    pool.deaf = pool.slow
    pool.pass_by(seconds=61)
    await pool.round()
    pool.configure(POOL=2)
    await pool.round()
    await upkeep.round()
    assert [call[0] for call in ec2.made("terminate")] == [sorted(ec2.machines)[-1:]]
    await pool.round(2)
    assert pool.states() == ["running", "running"]


async def test_a_pool_of_none_goes_whole_and_blank_homes_with_it(pool, ec2, upkeep):
    await pool.round(2)
    pool.configure(POOL=0, SPARE_SECONDS=60)
    for _ in range(3):
        await pool.round()
        await upkeep.round()
    assert pool.states() == []


async def test_what_somebody_has_is_never_ended(pool, fleet, ec2, upkeep):
    await pool.round(2)
    claimed = await fleet.launch(pool.spec, ADA)
    tagged = await fleet.launch(pool.spec, BOB)
    await fleet.tag([tagged.id], owner_tags(BOB))
    pool.configure(POOL=0)
    for _ in range(3):
        await pool.round()
        await upkeep.round()
    assert ec2.count("terminate") == 0
    assert {claimed.id, tagged.id} == set(ec2.machines)


async def test_what_is_being_ended_is_given_to_nobody(pool, fleet, ec2, upkeep, gate):
    """A login comes when the spare's end is decided, is sent, and is answered."""
    pool.configure(POOL=1)
    await pool.round(2)
    (spare,) = ec2.machines
    pool.configure(POOL=0)
    await pool.keeper.round()
    given = [await fleet.launch(pool.spec, ADA)]
    answer = gate("terminate")
    ending = asyncio.ensure_future(upkeep.round())
    await called(ec2, "terminate")
    given.append(await fleet.launch(pool.spec, BOB))
    answer.set()
    await ending
    assert spare not in {machine.id for machine in given}
    assert ec2.made("terminate") == [([spare],)]


async def test_a_login_that_comes_first_keeps_its_machine(pool, fleet, ec2, upkeep):
    pool.configure(POOL=1)
    await pool.round(2)
    pool.configure(POOL=0)
    machine = await fleet.launch(pool.spec, ADA)
    await pool.round()
    await upkeep.round()
    assert (machine.id, ec2.count("terminate")) == (min(ec2.machines), 0)


async def test_another_ami_replaces_what_nobody_can_be_given_any_more(pool, ec2, upkeep):
    await pool.round(2)
    old = set(ec2.machines)
    pool.configure(WORKER_AMI="ami-00000000000000001")
    await pool.round()
    await upkeep.round()
    await pool.round(2)
    assert {call for (ids,) in ec2.made("terminate") for call in ids} == old
    shapes = {m.tags[SHAPE_TAG] for m in ec2.machines.values() if m.id not in old}
    assert len(pool.free()) == 2 and len(shapes) == 1


async def test_what_the_pool_keeps_does_not_expire_with_abandoned_machines(pool, ec2, upkeep):
    await pool.round(2)
    for machine in list(ec2.machines.values()):
        ec2.change(machine.id, launched_at=machine.launched_at - timedelta(hours=2))
    await pool.round()
    await upkeep.round()
    assert ec2.count("terminate") == 0


async def test_before_the_first_round_nothing_expires(pool, ec2, upkeep):
    ec2.add(age_seconds=5000)
    await pool.see()
    await upkeep.round()
    assert ec2.count("terminate") == 0
    pool.configure(POOL=0)
    await pool.round()
    await upkeep.round()
    assert ec2.count("terminate") == 1


async def test_too_old_spares_are_replaced_one_after_another(pool, ec2, upkeep):
    pool.configure(POOL_SPARE_HOURS=2)
    await pool.round(2)
    old = set(ec2.machines)
    pool.pass_by(hours=3)
    fewest = 2
    for _ in range(12):
        for machine in list(ec2.machines.values()):
            if machine.id not in old:
                ec2.change(machine.id, launched_at=pool.now())
        await pool.round()
        await upkeep.round()
        await pool.see()
        fewest = min(fewest, pool.keeper.counts()["ready"])
        assert len(pool.states()) <= 3
    assert fewest == 2 and not old & pool.free() and len(pool.free()) == 2
    assert pool.launched() == [2, 1, 1]


# -- machines that fall silent


async def test_a_spare_that_falls_silent_is_replaced(pool, ec2, upkeep):
    await pool.round(2)
    silent = min(ec2.machines)
    pool.deaf = {silent}
    for _ in range(4):
        pool.pass_by(seconds=61)
        await pool.round()
    await upkeep.round()
    assert ec2.made("terminate") == [([silent],)]
    await pool.round(2)
    assert pool.keeper.counts()["ready"] == 2


async def test_while_all_are_silent_none_is_ended(pool, ec2, upkeep):
    await pool.round(2)
    pool.deaf = set(ec2.machines)
    for _ in range(6):
        pool.pass_by(seconds=61)
        await pool.round()
        await upkeep.round()
    assert ec2.count("terminate") == 0
    assert pool.keeper.counts()["running"] == 2
    pool.deaf = set()
    pool.pass_by(seconds=61)
    await pool.round(2)
    assert pool.keeper.counts()["ready"] == 2


# -- timetable


async def test_machines_are_ready_when_their_hours_begin_and_go_when_they_end(pool, ec2, upkeep):
    pool.configure(POOL={pool.hours(10, 50): 3}, SPARE_SECONDS=60)
    await pool.round()
    assert (pool.launched(), pool.keeper.wanted()) == ([], 0)
    pool.pass_by(minutes=7)  # three before they begin: a boot's time
    await pool.round(2)
    assert (pool.launched(), pool.keeper.wanted()) == ([3], 0)
    assert pool.keeper.counts()["ready"] == 3
    pool.pass_by(minutes=42)
    await pool.round()
    await upkeep.round()
    assert pool.keeper.wanted() == 3 and len(pool.states()) == 3
    pool.pass_by(minutes=2)
    await pool.round()
    await upkeep.round()
    assert pool.keeper.wanted() == 0 and pool.states() == []


async def test_a_short_break_between_hours_costs_no_machine(pool, ec2, upkeep):
    pool.configure(POOL={pool.hours(0, 30): 2, pool.hours(40, 60): 2}, SPARE_SECONDS=60)
    await pool.round(2)
    pool.pass_by(minutes=32)
    await pool.round()
    await upkeep.round()
    assert len(pool.states()) == 2 and pool.keeper.wanted() == 0
    pool.pass_by(minutes=10)
    await pool.round()
    assert pool.launched() == [2]


# -- stopped pools


async def test_a_stopped_pool_boots_each_machine_once_and_stops_it(pool, ec2):
    pool.configure(POOL_STATE="stopped")
    pool.slow = {"i-00000001"}
    await pool.round(4)
    assert pool.states() == ["running", "stopped"]
    pool.slow = set()
    await pool.round(4)
    assert pool.states() == ["stopped", "stopped"]
    assert pool.launched() == [2]


async def test_a_stopped_spare_is_given_to_who_comes_and_refilled(pool, fleet, ec2):
    pool.configure(POOL_STATE="stopped")
    await pool.round(5)
    machine = await fleet.launch(pool.spec, ADA)
    assert machine.state == "stopped"
    await fleet.start(machine.id)
    await pool.round(5)
    assert pool.states() == ["running", "stopped", "stopped"]


async def test_what_is_being_stopped_is_given_to_nobody(pool, fleet, ec2, gate):
    pool.configure(POOL=1, POOL_STATE="stopped")
    answer = gate("stop")
    await pool.round()
    while not ec2.count("stop"):
        stopping = asyncio.ensure_future(pool.keeper.round())
        await asyncio.sleep(0.05)
    assert (await fleet.launch(pool.spec, ADA)).id != min(ec2.machines)
    answer.set()
    await stopping


async def test_a_pool_told_to_run_starts_what_was_stopped(pool, ec2):
    pool.configure(POOL_STATE="stopped")
    await pool.round(5)
    pool.configure(POOL_STATE="running")
    await pool.round(3)
    assert pool.launched() == [2] and ec2.count("start") == 1
    assert pool.keeper.counts()["ready"] == 2


async def test_a_spare_that_cannot_be_stopped_stays_one(pool, fleet, ec2):
    pool.configure(POOL=1, POOL_STATE="stopped")
    ec2.failures["stop"].append(NotPermitted("No.", action="StopInstances", code="No"))
    await pool.round(2)
    while not ec2.count("stop"):
        await pool.round()
    assert pool.free() == set(ec2.machines)
    await pool.round(3)
    assert pool.states() == ["stopped"]
