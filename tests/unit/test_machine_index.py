"""Machines by owner and by shape, and that a login does not walk over all of them."""

import pytest
from unit.fake_ec2 import all_of, students

from cloudjhub.ec2_values import Instance
from cloudjhub.fleet import Fleet, machine_index
from cloudjhub.fleet import view as view_module
from cloudjhub.fleet.machine_index import MachineIndex
from cloudjhub.naming import RETIRED_TAG, SHAPE_TAG, Owner, owner_tags, retired_from

ADA, BOB = Owner("ada"), Owner("bob", "gpu")
SPARE = {SHAPE_TAG: "small"}


def machine(number, tags, state="running") -> Instance:
    return Instance(f"i-{number}", state, tags=dict(tags))


def found(index) -> tuple[list[str], ...]:
    """Ids of Ada's, Bob's, what was taken from Ada, and nobody's small ones."""
    groups = (index.owned_by(ADA), index.owned_by(BOB), index.set_aside_from(ADA))
    return (*(sorted(m.id for m in group) for group in groups), sorted(index.ownerless("small")))


@pytest.fixture
def index():
    return MachineIndex()


def test_a_machine_is_found_by_its_owner_and_by_nobody_else(index):
    index.put(machine(1, owner_tags(ADA)))
    index.put(machine(2, owner_tags(BOB)))
    index.put(machine(3, owner_tags(Owner("bob"))))
    assert found(index) == (["i-1"], ["i-2"], [], [])


def test_a_machine_changes_its_group_with_its_tags(index):
    index.put(machine(1, SPARE))
    assert found(index) == ([], [], [], ["i-1"])
    index.put(machine(1, SPARE | owner_tags(ADA)))
    assert found(index) == (["i-1"], [], [], [])
    index.put(machine(1, SPARE | owner_tags(BOB), "stopped"))
    assert found(index) == ([], ["i-1"], [], [])
    assert index.owned_by(BOB)[0].state == "stopped"
    index.put(machine(1, SPARE | {RETIRED_TAG: retired_from(ADA)}))
    assert found(index) == ([], [], ["i-1"], [])
    index.put(machine(1, SPARE))
    assert found(index) == ([], [], [], ["i-1"])


def test_machines_are_counted_by_the_state_they_are_in_now(index):
    index.put(machine(1, SPARE, "pending"))
    index.put(machine(2, SPARE))
    index.put(machine(1, SPARE))
    assert (index.in_state("running"), index.in_state("pending")) == ({"i-1", "i-2"}, set())
    index.put(machine(2, SPARE, "stopped"))
    index.remove("i-1")
    assert index.counts() == {"pending": 0, "running": 0, "stopped": 1}


def test_what_is_removed_is_in_no_group_and_leaves_nothing(index):
    for number in range(3):
        index.put(machine(number, SPARE | owner_tags(Owner(f"user-{number}"))))
        index.put(machine(number + 10, SPARE))
    for instance_id in index.ids():
        index.remove(instance_id)
    index.remove("i-99")
    assert (list(index), found(index), dict(index._groups)) == ([], ([], [], [], []), {})


def test_whoever_walks_over_all_is_not_disturbed_by_changes(index):
    for number in range(5):
        index.put(machine(number, SPARE))
    seen = []
    for each in index:
        seen.append(each.id)
        index.remove(each.id)
    assert len(seen) == 5


class CountedIndex(MachineIndex):
    """Counts the machines it hands out."""

    handed_out = 0

    def __iter__(self):
        for each in super().__iter__():
            self.handed_out += 1
            yield each

    def get(self, instance_id):
        self.handed_out += 1
        return super().get(instance_id)

    def _members(self, group):
        members = super()._members(group)
        self.handed_out += len(members)
        return members


@pytest.mark.parametrize("others", [10, 400])
async def test_a_login_looks_at_as_many_machines_however_many_there_are(
    ec2, quick_settings, spec, monkeypatch, others
):
    monkeypatch.setattr(view_module, "MachineIndex", CountedIndex)
    for owner in students(others):
        ec2.add("running", tags={SHAPE_TAG: spec.shape, **owner_tags(owner)})
    mine = ec2.add("running", tags={SHAPE_TAG: spec.shape, **owner_tags(ADA)})
    fleet = Fleet(ec2, quick_settings)
    try:
        await fleet.view.refreshed()
        index = fleet.view._machines
        index.handed_out = 0
        assert [m.id for m in fleet.owned_by(ADA)] == [mine.id]
        assert fleet.set_aside_from(ADA) == []
        assert index.handed_out == 1
        booting = students(others + 50)[others:]
        await all_of(*(fleet.launch(spec, owner) for owner in booting))
        index.handed_out = 0
        newest = await fleet.launch(spec, BOB)
        assert [m.id for m in fleet.owned_by(BOB)] == [newest.id]
        assert index.handed_out <= 5, "what others claim is not walked over either"
    finally:
        await fleet.aclose()


async def test_a_listing_that_shows_nothing_new_regroups_nothing(fleet, ec2, monkeypatch):
    for owner in students(20):
        ec2.add("running", tags=owner_tags(owner))
    grouped = []
    groups_of = machine_index._groups_of
    monkeypatch.setattr(
        machine_index, "_groups_of", lambda tags: grouped.append(tags) or groups_of(tags)
    )
    await fleet.view.next_listing()
    await fleet.view.next_listing()
    assert len(grouped) == 20
    before = list(fleet.view.all())
    await fleet.view.next_listing()
    await fleet.view.next_listing()
    assert len(grouped) == 20
    assert all(one is other for one, other in zip(before, fleet.view.all(), strict=True))
