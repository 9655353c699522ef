"""Machines of nobody: who gets one, and when one goes."""

import asyncio
from datetime import datetime, timedelta, timezone

import pytest

from cloudjhub.ec2_values import Instance
from cloudjhub.fleet.spares import Spares
from cloudjhub.naming import RETIRED_TAG, SHAPE_TAG, Owner, owner_tags

SHAPE = "0123456789abcdef"
ADA, BOB = Owner("ada"), Owner("bob")


def spare(number=1, state="running", age_seconds=0.0, **tags) -> Instance:
    return Instance(
        f"i-{number}",
        state,
        launched_at=datetime.now(timezone.utc) - timedelta(seconds=age_seconds),
        tags={SHAPE_TAG: SHAPE, **tags},
    )


@pytest.fixture
def spares():
    return Spares()


def ids(machines):
    return [machine.id for machine in machines]


def test_a_running_spare_is_preferred(spares):
    machines = [spare(1, "pending"), spare(2, "running"), spare(3, "pending")]
    assert [spares.take(machines, SHAPE, ADA).id for _ in range(3)] == ["i-2", "i-1", "i-3"]
    assert spares.take(machines, SHAPE, ADA) is None


def test_one_that_let_the_hub_in_comes_first_and_one_to_be_started_last(spares):
    machines = [spare(1, "stopped"), spare(2, "pending"), spare(3), spare(4)]
    spares.ready("i-4")
    taken = [spares.take(machines, SHAPE, ADA).id for _ in range(4)]
    assert taken == ["i-4", "i-3", "i-2", "i-1"]


def test_one_that_is_ready_no_more_is_one_of_many(spares):
    spares.ready("i-2")
    spares.ready("i-2", False)
    assert spares.take([spare(2), spare(1)], SHAPE, ADA).id == "i-1"


def test_among_equals_the_first_shape_is_preferred(spares):
    other = spare(1, **{SHAPE_TAG: "other"})
    assert spares.take([other, spare(2)], [SHAPE, "other"], ADA).id == "i-2"
    assert spares.take([other, spare(2)], [SHAPE, "other"], ADA).id == "i-1"


@pytest.mark.parametrize("state", ["stopping", "shutting-down", "terminated"])
def test_a_spare_that_is_on_its_way_out_is_given_to_nobody(spares, state):
    assert spares.take([spare(1, state)], SHAPE, ADA) is None


def test_a_spare_of_another_shape_is_left(spares):
    other = Instance("i-9", "running", tags={SHAPE_TAG: "other"})
    shapeless = Instance("i-8", "running")
    assert spares.take([other, shapeless], SHAPE, ADA) is None


def test_an_owned_or_retired_machine_is_no_spare(spares):
    machines = [spare(1, **owner_tags(BOB)), spare(2, **{RETIRED_TAG: "bob"})]
    assert spares.take(machines, SHAPE, ADA) is None


def test_what_one_took_the_other_does_not_get(spares):
    machines = [spare(1)]
    assert spares.take(machines, SHAPE, ADA).id == "i-1"
    assert spares.take(machines, SHAPE, BOB) is None
    assert (spares.claimed_by(ADA), spares.claimed_by(BOB)) == (["i-1"], [])


def test_what_was_released_is_free_again(spares):
    machines = [spare(1)]
    spares.take(machines, SHAPE, ADA)
    spares.release("i-1")
    spares.release("i-1")
    assert spares.take(machines, SHAPE, BOB).id == "i-1"


@pytest.mark.parametrize("error", [RuntimeError, asyncio.CancelledError, KeyboardInterrupt])
def test_who_leaves_a_launch_by_an_error_holds_no_claim(spares, error):
    with pytest.raises(error), spares.ticket(ADA) as ticket:
        spares.hand_out("i-1", ticket)
        assert spares.claimed_by(ADA) == ["i-1"]
        raise error
    assert spares.claimed_by(ADA) == []


def test_who_leaves_a_launch_well_keeps_the_claim(spares):
    with spares.ticket(ADA) as ticket:
        spares.hand_out("i-1", ticket)
    assert spares.claimed_by(ADA) == ["i-1"]


def test_who_leaves_a_launch_in_any_way_wants_nothing_more(spares):
    with pytest.raises(RuntimeError), spares.ticket(ADA) as given_up:
        assert given_up.wanted
        raise RuntimeError
    with spares.ticket(ADA) as served:
        pass
    assert not given_up.wanted and not served.wanted


def test_two_attempts_of_one_owner_are_two_tickets(spares):
    with spares.ticket(ADA) as one, spares.ticket(ADA) as other:
        assert len({one, other}) == 2


def test_an_attempt_that_ends_badly_leaves_the_owners_other_claims(spares):
    spares.claim("i-1", ADA)
    with pytest.raises(RuntimeError), spares.ticket(ADA) as ticket:
        spares.hand_out("i-2", ticket)
        raise RuntimeError
    assert spares.claimed_by(ADA) == ["i-1"]


@pytest.mark.parametrize("state", ["pending", "running", "stopping", "stopped"])
def test_an_old_spare_is_expired_in_any_state_that_costs(spares, state):
    assert ids(spares.expired([spare(1, state, age_seconds=61)], 60)) == ["i-1"]


@pytest.mark.parametrize(
    "machine",
    [
        spare(1, age_seconds=-3600),  # made when tests are collected, which may be long ago
        spare(1, "terminated", age_seconds=900),
        spare(1, "shutting-down", age_seconds=900),
        spare(1, age_seconds=900, **owner_tags(BOB)),
        spare(1, age_seconds=900, **{RETIRED_TAG: "bob"}),
        Instance("i-1", "running"),
    ],
    ids=["young", "ended", "ending", "owned", "retired", "of unknown age"],
)
def test_nothing_else_is_expired(spares, machine):
    assert spares.expired([machine], 60) == []


def test_a_claimed_machine_is_not_expired(spares):
    spares.claim("i-1", ADA)
    assert spares.expired([spare(1, age_seconds=900)], 60) == []


def test_what_the_pool_keeps_does_not_expire_until_it_keeps_it_no_more(spares):
    machines = [spare(1, age_seconds=900), spare(2, age_seconds=900)]
    spares.keep_for_pool({"i-1"})
    assert ids(spares.expired(machines, 60)) == ["i-2"]
    spares.keep_for_pool(())
    assert ids(spares.expired(machines, 60)) == ["i-1"]


def test_what_is_withheld_is_given_to_nobody_until_it_is_kept(spares):
    machines = [spare(1, age_seconds=900)]
    spares.withhold("i-1")
    assert spares.take(machines, SHAPE, ADA) is None
    assert spares.expired(machines, 60) == []
    spares.keep("i-1")
    assert spares.take(machines, SHAPE, ADA).id == "i-1"


def test_an_expired_spare_is_given_to_nobody_and_not_expired_twice(spares):
    machines = [spare(1, age_seconds=900)]
    assert ids(spares.expired(machines, 60)) == ["i-1"]
    assert spares.take(machines, SHAPE, ADA) is None
    assert spares.expired(machines, 60) == []


def test_a_spare_whose_removal_failed_is_one_again(spares):
    machines = [spare(1, age_seconds=900)]
    spares.expired(machines, 60)
    spares.keep("i-1")
    assert spares.take(machines, SHAPE, ADA).id == "i-1"


def test_a_condemned_machine_is_nobodys_and_given_to_nobody(spares):
    spares.claim("i-1", ADA)
    spares.condemn("i-1")
    assert spares.claimed_by(ADA) == []
    assert spares.take([spare(1)], SHAPE, BOB) is None


def test_a_condemned_machine_is_expired_at_once_and_again_if_its_removal_failed(spares):
    spares.condemn("i-1")
    machines = [spare(1), spare(2)]
    assert ids(spares.expired(machines, 3600)) == ["i-1"]
    assert ids(spares.expired(machines, 3600)) == []
    spares.keep("i-1")
    assert spares.take(machines[:1], SHAPE, BOB) is None
    assert ids(spares.expired(machines, 3600)) == ["i-1"]


def test_a_condemned_machine_that_is_gone_is_forgotten(spares):
    spares.condemn("i-1")
    spares.forget_missing(set())
    assert spares.is_free(spare(1))


def test_what_ec2_lists_no_more_is_forgotten(spares):
    spares.claim("i-1", ADA)
    spares.claim("i-2", ADA)
    spares.expired([spare(3, age_seconds=900)], 60)
    spares.forget_missing({"i-2"})
    assert spares.claimed_by(ADA) == ["i-2"]
    assert spares.is_free(spare(1)) and spares.is_free(spare(3))
