"""What is to be done about the spares of a pool, as a table."""

from dataclasses import replace

import pytest

from cloudjhub.pool.plan import Aim, Spare, Steps, next_steps

HOUR = 3600.0
AIM = Aim(count=2, keep=2, most=50, stopped=False, shapes=("new", "other"), oldest_seconds=HOUR)
STOPPED = replace(AIM, stopped=True)


def spares(*stages, shape="new", age=60.0, kept=True, first=1) -> list[Spare]:
    """Spares a, b, c... in these stages, each a second older than the one before."""
    names = "abcdefghijkl"[first - 1 :]
    return [
        Spare(name, stage, shape, age + place, kept)
        for place, (name, stage) in enumerate(zip(names, stages, strict=False))
    ]


def done(steps: Steps) -> dict:
    """What is to be done, without what stays."""
    words = {"launch": steps.launch, "start": steps.start, "stop": steps.stop, "end": steps.end}
    return {
        word: sorted(what) if isinstance(what, tuple) else what
        for word, what in words.items()
        if what
    }


@pytest.mark.parametrize(
    ("stages", "steps"),
    [
        ([], {"launch": 2}),
        (["pending"], {"launch": 1}),
        (["pending", "pending"], {}),
        (["ready", "ready"], {}),
        (["running", "pending", "ready"], {"end": ["b"]}),
        (["ready", "ready", "ready", "ready"], {"end": ["c", "d"]}),
        (["stopped", "ready"], {"start": ["a"]}),
        (["stopping", "ready"], {}),
        (["stopped", "stopped", "stopped"], {"end": ["c"], "start": ["a", "b"]}),
    ],
)
def test_a_pool_of_running_machines(stages, steps):
    assert done(next_steps(spares(*stages), AIM)) == steps


@pytest.mark.parametrize(
    ("stages", "steps"),
    [
        ([], {"launch": 2}),
        (["running", "pending"], {}),
        (["ready", "running"], {"stop": ["a"]}),
        (["stopping", "stopped"], {}),
        (["stopped", "stopped", "ready"], {"end": ["c"]}),
        (["stopped", "stopped", "stopped"], {"end": ["c"]}),
    ],
)
def test_a_pool_of_stopped_machines(stages, steps):
    assert done(next_steps(spares(*stages), STOPPED)) == steps


def test_what_was_not_the_pools_is_left_to_the_upkeep():
    abandoned = spares("ready", "ready", "ready", kept=False)
    assert done(next_steps(abandoned, AIM)) == {}
    assert next_steps(abandoned, AIM).keep == {"a", "b"}


def test_machines_of_another_shape_do_not_count_and_go():
    outdated = spares("ready", "ready", shape="old")
    assert done(next_steps(outdated, AIM)) == {"launch": 2, "end": ["a", "b"]}
    of_a_user = spares("ready", shape="gpu", kept=False)
    assert done(next_steps(of_a_user, AIM)) == {"launch": 2}
    assert next_steps(of_a_user, AIM).keep == frozenset()


def test_machines_of_the_other_types_of_today_count():
    assert done(next_steps(spares("ready", "ready", shape="other"), AIM)) == {}


def test_what_will_be_wanted_soon_stays_but_nothing_is_launched_for_it():
    soon = replace(AIM, count=0, keep=2)
    assert done(next_steps(spares("ready", "ready", "ready"), soon)) == {"end": ["c"]}
    assert done(next_steps([], soon)) == {}


def test_there_are_never_more_than_the_most():
    small = replace(AIM, count=2, keep=9, most=2)
    assert done(next_steps(spares(*["ready"] * 4), small)) == {"end": ["c", "d"]}


@pytest.mark.parametrize(
    ("room", "steps"),
    [
        (None, {"start": ["b", "c"], "launch": 2}),
        (3, {"start": ["b", "c"], "launch": 1}),
        (1, {"start": ["b"]}),
        (0, {}),
    ],
)
def test_no_more_are_powered_on_than_the_cluster_may_have(room, steps):
    five = replace(AIM, count=5, keep=5, room=room)
    assert done(next_steps(spares("ready", "stopped", "stopped"), five)) == steps


def test_a_pool_of_none_goes():
    none = replace(AIM, count=0, keep=0)
    assert done(next_steps(spares("ready", "stopped"), none)) == {"end": ["a", "b"]}


@pytest.mark.parametrize("aim", [AIM, replace(AIM, most=2)], ids=["room", "at the most"])
def test_old_machines_are_replaced_one_after_another(aim):
    """Follows the steps until nothing is to be done; never fewer than one less than wanted."""
    pool, births, rounds = spares("ready", "ready", age=2 * HOUR), iter("fghijkl"), []
    for _ in range(20):
        steps = next_steps(pool, aim)
        if not done(steps):
            break
        assert steps.launch + len(steps.end) == 1
        pool = [spare for spare in pool if spare.id not in steps.end]
        pool += [Spare(next(births), "pending", "new", 0.0) for _ in range(steps.launch)]
        assert len(pool) in ((2, 3) if aim.most > 2 else (1, 2))
        rounds.append(done(steps))
        pool = [replace(spare, stage="ready", kept=True) for spare in pool]
    assert len(rounds) == 4
    assert all(spare.age_seconds < HOUR for spare in pool) and len(pool) == 2


def test_while_one_boots_no_other_is_replaced():
    pool = [*spares("ready", "ready", age=2 * HOUR), Spare("f", "pending", "new", 0.0)]
    assert done(next_steps(pool, AIM)) == {}
