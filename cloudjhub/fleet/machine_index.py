"""The machines as last known, and which of them are whose, without a walk over all of them."""

from collections import defaultdict
from collections.abc import Iterator

from cloudjhub.ec2_values import Instance, Tags
from cloudjhub.naming import (
    RETIRED_TAG,
    SERVER_TAG,
    SHAPE_TAG,
    USER_TAG,
    Owner,
    owner_tags,
    retired_from,
    was_somebodys,
)

_Group = tuple[str, ...]


class MachineIndex:
    """A dictionary of machines by id whose groups are kept up to date with every change.

    A login asks for one owner's machines or for the spares of one shape. What it costs depends
    on how many there are of those and not on how many machines the cluster has.
    """

    def __init__(self) -> None:
        self._machines: dict[str, Instance] = {}
        self._groups: defaultdict[_Group, set[str]] = defaultdict(set)
        self._by_state: defaultdict[str, set[str]] = defaultdict(set)

    def __iter__(self) -> Iterator[Instance]:
        """Every machine; what is put or removed meanwhile does not disturb."""
        return iter(list(self._machines.values()))

    def ids(self) -> list[str]:
        """The id of every machine."""
        return list(self._machines)

    def get(self, instance_id: str) -> Instance | None:
        """One machine."""
        return self._machines.get(instance_id)

    def put(self, machine: Instance) -> None:
        """Take the machine up, or as it is now."""
        before = self._machines.get(machine.id)
        if before is machine:
            return
        self._machines[machine.id] = machine
        if before is not None:
            self._by_state[before.state].discard(machine.id)
        self._by_state[machine.state].add(machine.id)
        if before is not None and before.tags == machine.tags:
            return
        old = _groups_of(before.tags) if before is not None else set()
        new = _groups_of(machine.tags)
        self._leave(machine.id, old - new)
        for group in new - old:
            self._groups[group].add(machine.id)

    def remove(self, instance_id: str) -> None:
        """Forget the machine, if it is known."""
        machine = self._machines.pop(instance_id, None)
        if machine is not None:
            self._by_state[machine.state].discard(instance_id)
            self._leave(instance_id, _groups_of(machine.tags))

    def in_state(self, state: str) -> set[str]:
        """Ids of those in that state of EC2's. Not to be changed."""
        return self._by_state.get(state, set())

    def counts(self) -> dict[str, int]:
        """How many are in each state that any was in so far."""
        return {state: len(ids) for state, ids in self._by_state.items()}

    def owned_by(self, owner: Owner) -> list[Instance]:
        """Those whose tags name the owner, in whatever state."""
        return self._members(_group_of_owner(owner_tags(owner)))

    def set_aside_from(self, owner: Owner) -> list[Instance]:
        """Those whose tags say that they were taken from the owner, in whatever state."""
        return self._members(("aside", retired_from(owner)))

    def ownerless(self, shape: str) -> set[str]:
        """Ids of those of the shape that nobody ever had by their tags. Not to be changed."""
        return self._groups.get(("ownerless", shape), set())

    def _members(self, group: _Group) -> list[Instance]:
        return [self._machines[instance_id] for instance_id in self._groups.get(group, ())]

    def _leave(self, instance_id: str, groups: set[_Group]) -> None:
        for group in groups:
            members = self._groups[group]
            members.discard(instance_id)
            if not members:
                del self._groups[group]


def _groups_of(tags: Tags) -> set[_Group]:
    groups: set[_Group] = set()
    if USER_TAG in tags and SERVER_TAG in tags:
        groups.add(_group_of_owner(tags))
    if RETIRED_TAG in tags:
        groups.add(("aside", tags[RETIRED_TAG]))
    if SHAPE_TAG in tags and not was_somebodys(tags):
        groups.add(("ownerless", tags[SHAPE_TAG]))
    return groups


def _group_of_owner(tags: Tags) -> _Group:
    return ("owner", tags[USER_TAG], tags[SERVER_TAG])
