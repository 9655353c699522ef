"""Homes on the move: hubs that come and go, and die at any write of a move."""

import asyncio
import functools
from dataclasses import replace

import pytest
from unit.worlds import ADA, TYPES, NoLimits, World, homes_asked_for, quick_plan

from cloudjhub import home as home_module
from cloudjhub import homes, relocation, remains, renewal
from cloudjhub import machine as machine_module
from cloudjhub.fleet import Fleet
from cloudjhub.home import home_volume_of
from cloudjhub.launch_spec import types_to_start
from cloudjhub.naming import RETIRED_TAG, is_owned_by, owner_tags
from cloudjhub.ownership import make_mine
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
        fleet._calls.limits = NoLimits()
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
