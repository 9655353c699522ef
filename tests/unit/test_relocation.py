"""A home that moves into another zone: nothing double, nothing lost, whatever ends it half-way."""

import asyncio
import functools
from dataclasses import replace

import pytest
from unit.worlds import ADA, TYPES, World, homes_asked_for, quick_plan

from cloudjhub import ec2_errors, homes, relocation, remains, renewal
from cloudjhub import home as home_module
from cloudjhub import machine as machine_module
from cloudjhub.copy_spec import snapshot_arguments
from cloudjhub.errors import BadLaunch, HomeHeldUp, LoginRefused, NoCapacity, TimedOut
from cloudjhub.fleet import Fleet
from cloudjhub.fleet import calls as calls_module
from cloudjhub.home import home_volume_of
from cloudjhub.launch_spec import types_to_start
from cloudjhub.machine_end import remove_for_ever
from cloudjhub.naming import MOVING_TAG, RETIRED_TAG, SUPERSEDED_TAG, is_owned_by, owner_tags
from cloudjhub.ownership import make_mine
from cloudjhub.policy.documents import HUB_TAGS
from cloudjhub.relocation import Terms

WRITES = (
    "run",
    "start",
    "stop",
    "terminate",
    "tag",
    "untag",
    "attach",
    "detach",
    "modify_type",
    "create_snapshot",
    "create_volume",
    "delete_snapshot",
    "delete_volume",
)
FULL = {(each, "z"): 0 for each in TYPES}
#: the writes of a whole move, in order
MOVE = (
    "start",
    "modify_type",
    "start",
    "modify_type",
    "start",
    "modify_type",
    "run",
    "detach",
    "tag moving",
    "create_snapshot",
    "create_volume",
    "tag retired",
    "untag user",
    "tag superseded",
    "untag moving",
    "tag user",
    "untag moving",
    "attach",
    "terminate",
    "delete_snapshot",
)
ALWAYS = Terms("always")


class Killed(Exception):
    """The hub ended here."""


class Hubs:
    """One hub after the other on one EC2; each forgets what the one before knew."""

    def __init__(self, ec2, config, image, settings, clock):
        self.ec2, self.config, self.image = ec2, config, image
        self._settings, self._clock = settings, clock
        self._writes_left: int | None = None
        self._after = False
        self._dead = False
        self.done: list[str] = []
        for name in WRITES:
            setattr(ec2, name, functools.partial(self._write, name, getattr(ec2, name)))

    def kill_at(self, write: int, *, after: bool = False) -> None:
        """The hub dies at its write of that number, before or after EC2 did it."""
        self._writes_left, self._after = write + 1, after

    def _write(self, name, write, *arguments, **more):
        if self._dead:
            raise Killed
        if self._writes_left is not None:
            self._writes_left -= 1
        last = self._writes_left == 0
        self._dead = last
        if last and not self._after:
            raise Killed
        self.done.append(" ".join([name, *_what_is_tagged(name, arguments)]))
        answer = write(*arguments, **more)
        if last:
            raise Killed
        return answer

    async def start(self, terms=ALWAYS, known_id=None):
        """A whole start by a new hub, as server_start does it; gives its machine."""
        self._dead = False
        fleet = Fleet(self.ec2, self._settings)
        fleet._calls.limits = Unlimited()
        try:
            await fleet.view.refreshed()
            return await asyncio.wait_for(self._started(fleet, terms, known_id), 60)
        finally:
            self._writes_left = None
            await fleet.aclose()

    async def _started(self, fleet, terms, known_id):
        plan = quick_plan(self.config, self.image)
        types = functools.partial(types_to_start, self.config)
        world = World(fleet, self.ec2, replace(plan, types=types, moving=terms), self._clock)
        self.report, machine = world.report, world.machine
        try:
            new = await machine.answering(known_id)
            must_be = await renewal.succeed(fleet, self.config, ADA, machine.replaces, machine.move)
            new = await make_mine(
                fleet, ADA, new, fingerprint="SHA256:x", born_with_home=machine.born_with_home
            )
            volume = await home_volume_of(fleet, new, ADA, world.report, must_be)
            assert must_be in (None, volume)
            await renewal.end_replaced(fleet, ADA)
            await remains.tidy_if_due(fleet, ADA)
            return self.ec2.machines[new.id]
        finally:
            machine.release()

    # -- what there is

    def volumes(self):
        return [disk for disk in self.ec2.disks.values() if is_owned_by(disk.tags, ADA)]

    def the_home(self):
        """The one home; more or fewer is the fault that must not be."""
        (home,) = homes.present(self.volumes())
        return home

    def content(self) -> str:
        return self.ec2.contents[self.the_home().id]

    def owned(self):
        return [
            machine
            for machine in self.ec2.machines.values()
            if is_owned_by(machine.tags, ADA)
            and RETIRED_TAG not in machine.tags
            and machine.state not in ("shutting-down", "terminated")
        ]

    def up(self):
        return [m for m in self.owned() if m.state in ("pending", "running")]

    def off(self) -> None:
        """Everybody goes home."""
        for machine in self.up():
            self.ec2.change(machine.id, state="stopped")


def _what_is_tagged(name, arguments) -> list[str]:
    """The most telling of the tags that a call writes or removes."""
    keys = {key.partition(":")[2] for key in arguments[1]} if name in ("tag", "untag") else set()
    return [key for key in ("superseded", "moving", "retired", "user") if key in keys][:1]


class Unlimited:
    def is_free(self, action):
        return True

    async def reserve(self, action):
        pass

    async def admit(self, action, resources=0):
        pass


@pytest.fixture
def hubs(ec2, two_zones, image, quick_settings, world, hurry, monkeypatch):
    """Ada has a stopped machine with her files in a zone that has nothing."""
    for module in (relocation, home_module):
        hurry(module)
    monkeypatch.setattr(machine_module, "_PROBE_SECONDS", 0.002)
    hubs = Hubs(ec2, two_zones, image, quick_settings, world.clock)
    machine = ec2.add("stopped", home=True, tags=owner_tags(ADA))
    ec2.change(machine.id, instance_type="t3.medium")
    hubs.old_machine, hubs.old_home = machine.id, machine.home_volume_id
    ec2.contents[machine.home_volume_id] = "thesis"
    ec2.rooms = dict(FULL)
    ec2.calls.clear()
    return hubs


def moved_whole(hubs) -> None:
    """The files are in the other zone, at Ada's only machine; the old ones are kept."""
    home = hubs.the_home()
    assert (home.zone, hubs.content()) == ("y", "thesis")
    (machine,) = hubs.owned()
    assert (machine.zone, machine.state, home.attached_to) == ("y", "running", machine.id)
    assert hubs.ec2.machines[hubs.old_machine].state in ("shutting-down", "terminated")
    old = hubs.ec2.disks[hubs.old_home]
    assert homes.superseded_by(old) == home.id and old.state == "available"
    assert hubs.ec2.contents[old.id] == "thesis"
    assert not any(homes_asked_for(hubs.ec2))


async def test_a_home_moves_where_there_is_a_machine(hubs):
    assert (await hubs.start(known_id=hubs.old_machine)).zone == "y"
    moved_whole(hubs)
    assert hubs.done == list(MOVE) and not hubs.ec2.copies
    said = [event["message"] for event in hubs.report._events]
    assert any("Your files go where there is a machine for you" in text for text in said)
    assert any("Copying your files to another zone" in text for text in said)


EACH_WRITE = pytest.mark.parametrize(
    "write", range(len(MOVE)), ids=[f"{n}-{name.replace(' ', '-')}" for n, name in enumerate(MOVE)]
)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@EACH_WRITE
async def test_killed_at_any_write_and_started_again_it_is_one_home_with_everything(
    hubs, write, after
):
    hubs.kill_at(write, after=after)
    with pytest.raises((Killed, asyncio.CancelledError)):
        await hubs.start(known_id=hubs.old_machine)
    assert hubs.done == list(MOVE[: write + after])
    assert hubs.content() == "thesis"
    assert len(hubs.up()) <= 1
    await hubs.start()
    moved_whole(hubs)
    assert not hubs.ec2.copies and len(hubs.volumes()) == 2


@EACH_WRITE
async def test_killed_at_any_write_the_zone_has_machines_again_and_what_is_written_counts(
    hubs, write
):
    """What was copied before is old then, and is never taken for the home."""
    hubs.kill_at(write, after=True)
    with pytest.raises((Killed, asyncio.CancelledError)):
        await hubs.start(known_id=hubs.old_machine)
    hubs.ec2.rooms = {}
    await hubs.start(Terms("ask"))
    assert hubs.content() == "thesis"
    (machine,) = hubs.up()
    assert hubs.the_home().attached_to == machine.id
    hubs.ec2.contents[hubs.the_home().id] = "thesis, finished"
    hubs.off()
    zone = hubs.the_home().zone
    hubs.ec2.rooms = {(each, zone): 0 for each in TYPES}
    await hubs.start()
    assert hubs.content() == "thesis, finished" and hubs.the_home().zone != zone
    (machine,) = hubs.owned()
    assert hubs.the_home().attached_to == machine.id
    assert not any(homes_asked_for(hubs.ec2))
    assert not hubs.ec2.copies
    assert not any(homes.is_on_its_way(volume.tags) for volume in hubs.volumes())


async def test_it_moves_back_and_forth(hubs):
    await hubs.start()
    hubs.off()
    hubs.ec2.rooms = {(each, "y"): 0 for each in TYPES}
    assert (await hubs.start()).zone == "z"
    assert hubs.content() == "thesis" and hubs.the_home().zone == "z"
    assert len(hubs.volumes()) == 3 and not hubs.ec2.copies


async def test_without_a_machine_the_home_moves_too(hubs):
    hubs.ec2.change(hubs.old_machine, state="terminated")
    hubs.ec2.disks[hubs.old_home] = replace(
        hubs.ec2.disks[hubs.old_home], state="available", attached_to=None
    )
    assert (await hubs.start()).zone == "y"
    moved_whole(hubs)


# -- whether it moves


async def test_asked_for_it_says_so_and_nothing_has_happened(hubs):
    with pytest.raises(HomeHeldUp, match=r"in zone z just now\. Your files are there") as refused:
        await hubs.start(Terms("ask"))
    assert "moved to y" in refused.value.remedy
    assert len(hubs.volumes()) == 1 and list(hubs.ec2.machines) == [hubs.old_machine]
    assert (await hubs.start(Terms("ask", agreed=True))).zone == "y"
    moved_whole(hubs)


async def test_what_was_agreed_to_goes_on_without_being_asked_again(hubs):
    hubs.kill_at(MOVE.index("create_volume"))
    with pytest.raises(Killed):
        await hubs.start(Terms("ask", agreed=True))
    assert (await hubs.start(Terms("ask"))).zone == "y"
    moved_whole(hubs)
    hubs.off()
    hubs.ec2.rooms = {(each, "y"): 0 for each in TYPES}
    with pytest.raises(HomeHeldUp):
        await hubs.start(Terms("ask"))


async def test_never_is_never(hubs):
    with pytest.raises(NoCapacity) as refused:
        await hubs.start(Terms("never", agreed=True))
    assert not isinstance(refused.value, HomeHeldUp)
    assert "MOVE_HOMES" in refused.value.remedy
    assert len(hubs.volumes()) == 1


async def test_where_no_zone_has_anything_nothing_moves(hubs):
    hubs.ec2.rooms = {(each, zone): 0 for each in TYPES for zone in "zy"}
    with pytest.raises(NoCapacity, match="in zone y just now"):
        await hubs.start()
    assert list(hubs.ec2.machines) == [hubs.old_machine]
    assert hubs.ec2.disks[hubs.old_home].attached_to == hubs.old_machine


async def test_a_machine_whose_disk_is_not_the_home_is_no_case_for_a_move(hubs):
    hubs.ec2.disks[hubs.old_home] = replace(hubs.ec2.disks[hubs.old_home], tags={})
    hubs.ec2.add_disk(tags=owner_tags(ADA))
    with pytest.raises(NoCapacity):
        await hubs.start()
    assert list(hubs.ec2.machines) == [hubs.old_machine]


# -- what can go wrong


async def test_a_snapshot_that_fails_leaves_everything_as_it_was(hubs):
    listed = hubs.ec2.snapshots
    hubs.ec2.snapshots = lambda: [replace(each, state="error") for each in listed()]
    with pytest.raises(TimedOut, match="could not copy your files"):
        await hubs.start()
    assert hubs.content() == "thesis" and not hubs.up()
    hubs.ec2.snapshots = listed
    hubs.ec2.copies.clear()
    await hubs.start()
    moved_whole(hubs)


async def test_a_snapshot_that_vanishes_is_made_again(hubs):
    made = hubs.ec2.create_snapshot

    def vanishing(arguments):
        snapshot = made(arguments)
        if hubs.done.count("create_snapshot") == 1:
            del hubs.ec2.copies[snapshot.id]
        return snapshot

    hubs.ec2.create_snapshot = vanishing
    await hubs.start()
    moved_whole(hubs)
    assert hubs.done.count("create_snapshot") == 2


def spoil_copies(ec2, spoilt: set[str], how) -> None:
    """Of the same token the same volume, as EC2 does; of the first token what ``how`` makes."""
    made, of_token = ec2.create_volume, {}

    def create(arguments):
        token = arguments["ClientToken"]
        if token not in of_token:
            of_token[token] = made(arguments)
            if not spoilt:
                spoilt.add(token)
                how(of_token[token].id)
        return of_token[token]

    ec2.create_volume = create


async def test_a_copy_that_fails_is_made_again_under_another_token(hubs):
    disks = hubs.ec2.disks

    def fail(volume_id):
        disks[volume_id] = replace(disks[volume_id], state="error")

    spoilt: set[str] = set()
    spoil_copies(hubs.ec2, spoilt, fail)
    await hubs.start()
    moved_whole(hubs)
    assert spoilt and len(hubs.volumes()) == 2


async def test_a_copy_that_vanishes_is_made_again(hubs):
    spoilt: set[str] = set()
    spoil_copies(hubs.ec2, spoilt, hubs.ec2.disks.pop)
    await hubs.start()
    moved_whole(hubs)
    assert spoilt


@pytest.mark.parametrize("code", ["IdempotentParameterMismatch", "InvalidSnapshot.NotFound"])
async def test_an_attempt_that_ec2_refuses_to_go_on_with_is_begun_again(hubs, code, monkeypatch):
    monkeypatch.setattr(calls_module, "_PATIENCE_SECONDS", 0.0)
    hubs.kill_at(MOVE.index("create_volume"), after=True)
    with pytest.raises(Killed):
        await hubs.start()
    (copy,) = (v.id for v in hubs.volumes() if v.id != hubs.old_home)
    del hubs.ec2.disks[copy]
    error = ec2_errors.from_code("CreateVolume", code, "No.", "r")
    refusing = hubs.ec2.create_volume

    def refuse(arguments):
        if arguments["ClientToken"] == first:
            raise error
        return refusing(arguments)

    (first,) = (each["ClientToken"] for (each,) in hubs.ec2.made("create-volume"))
    hubs.ec2.create_volume = refuse
    await hubs.start()
    moved_whole(hubs)


async def test_two_attempts_that_fail_are_told_and_the_next_start_begins_another(hubs):
    made = hubs.ec2.create_snapshot
    hubs.ec2.create_snapshot = lambda arguments: replace(made(arguments), state="error")
    with pytest.raises(TimedOut, match="could not copy your files"):
        await hubs.start(Terms("ask", agreed=True))
    hubs.ec2.create_snapshot = made
    await hubs.start(Terms("ask"))
    moved_whole(hubs)
    attempts = [tags[MOVING_TAG] for _, tags in hubs.ec2.made("tag") if MOVING_TAG in tags]
    assert len(set(attempts)) == 3


async def test_a_mark_of_a_time_before_the_home_was_at_a_machine_brings_nothing_old_back(hubs):
    old = hubs.ec2.disks[hubs.old_home]
    hubs.ec2.disks[old.id] = replace(old, tags={**old.tags, MOVING_TAG: "a1"})
    snapshot = hubs.ec2.create_snapshot(
        snapshot_arguments(hubs.ec2.cluster, hubs.ec2.disks[old.id], "a1")
    )
    hubs.ec2.contents[snapshot.id] = "a draft of a thesis"
    hubs.ec2.snapshots()
    await hubs.start()
    moved_whole(hubs)


async def test_a_new_machine_that_stays_silent_moves_nothing(hubs, monkeypatch):
    async def silent(self, instance):
        self.clock.ahead += 1.0
        return instance.zone == "z"

    with monkeypatch.context() as patch:
        patch.setattr(World, "answers", silent)
        with pytest.raises(Exception, match="did not come up"):
            await hubs.start()
    assert hubs.the_home().id == hubs.old_home
    hubs.ec2.rooms = {}
    assert (await hubs.start()).id == hubs.old_machine
    assert hubs.the_home().attached_to == hubs.old_machine


async def test_listings_that_still_show_what_was_before_the_move_are_waited_for(hubs):
    listed = hubs.ec2.volumes
    lags = []

    def lagging():
        volumes = listed()
        if "tag superseded" in hubs.done and len(lags) < 3:
            lags.append(1)
            tags = dict(hubs.ec2.disks[hubs.old_home].tags)
            tags.pop(SUPERSEDED_TAG)
            return [replace(v, tags=tags) if v.id == hubs.old_home else v for v in volumes]
        return volumes

    hubs.ec2.volumes = lagging
    await hubs.start()
    assert len(lags) == 3 and hubs.done == list(MOVE)
    moved_whole(hubs)


async def test_a_home_that_moved_and_is_gone_is_never_replaced_by_an_empty_one(hubs):
    await hubs.start()
    hubs.off()
    (machine,) = hubs.owned()
    hubs.ec2.change(machine.id, state="terminated")
    del hubs.ec2.disks[hubs.the_home().id]
    with pytest.raises(BadLaunch, match=f"is missing; {hubs.old_home} is what it was"):
        await hubs.start()
    assert not any(homes_asked_for(hubs.ec2))


async def test_a_copy_that_was_never_used_is_neither_the_home_nor_replaced_by_an_empty_one(hubs):
    del hubs.ec2.disks[hubs.old_home]
    hubs.ec2.change(hubs.old_machine, state="terminated")
    tags = owner_tags(ADA) | homes.copy_marks(hubs.old_home, "a1")
    copy = hubs.ec2.add_disk(tags=tags, zone="y")
    with pytest.raises(BadLaunch, match=f"missing; {copy.id} is a copy of it") as refused:
        await hubs.start()
    assert MOVING_TAG in refused.value.remedy and not any(homes_asked_for(hubs.ec2))
    hubs.ec2.untag([copy.id], [MOVING_TAG])
    assert (await hubs.start()).home_volume_id == copy.id


async def test_a_new_machine_that_lets_nobody_in_is_told_as_a_move_that_was_not_made(hubs, world):
    fleet, ec2 = world.fleet, hubs.ec2
    plan = replace(world.plan, types=lambda present: TYPES, moving=ALWAYS)
    start = World(fleet, ec2, replace(plan, kinds=quick_plan(hubs.config, hubs.image).kinds), None)
    fleet._calls.limits = Unlimited()
    assert (await start.start(hubs.old_machine)).zone == "y" and start.machine.move is not None
    with pytest.raises(NoCapacity, match="in zone z just now"):
        await start.machine.back_to_old(LoginRefused("No."))
    assert hubs.the_home().id == hubs.old_home and not hubs.up()
    said = [event["message"] for event in start.report._events]
    assert any("files could not be moved just now" in text for text in said)
    assert not any("new version" in text for text in said)
    start.machine.release()


async def test_everything_of_a_user_goes_with_the_user(hubs, quick_settings):
    await hubs.start()
    assert len(hubs.volumes()) == 2
    fleet = Fleet(hubs.ec2, quick_settings)
    await fleet.view.refreshed()
    await asyncio.wait_for(remove_for_ever(fleet, ADA), 60)
    await fleet.aclose()
    assert hubs.volumes() == []


def test_the_hubs_policy_allows_the_tags_of_a_move():
    assert {MOVING_TAG, SUPERSEDED_TAG} <= set(HUB_TAGS)
