"""When a machine that no hub looks after powers itself off: judged by a clock that is handed in."""

import pytest

from cloudjhub.worker.patience import Patience, Seen, Settings, limit_of, pause_seconds

HOUR = 3600.0
SETTINGS = Settings(
    limit_seconds=3600,
    grace_seconds=600,
    hub_url="http://10.0.0.1:8081/hub/api",
    busy_cpu_percent=50,
    busy_gpu_percent=10,
    busy_minutes=5,
)
ONE = (4711, 12345)
QUIET_SERVER = Seen(server=ONE, cpu_seconds=0.0)


class Machine:
    """A machine that is looked at once a minute; ``verdicts`` are the words that end it."""

    def __init__(self, settings=SETTINGS):
        self.settings = settings
        self.now = 5000.0
        self.patience = Patience(self.now)

    def look(self, seen, seconds=60.0):
        self.now += seconds
        return self.patience.look(self.now, self.settings, seen)

    def goes_off(self, seen, *, hours=24.0):
        """Minutes until it powers itself off if every look finds this; None: it does not.

        ``seen``: a Seen, or a function of the minute that gives one.
        """
        for minute in range(1, int(hours * 60) + 1):
            if self.look(seen(minute) if callable(seen) else seen):
                return minute
        return None


def note(**changes):
    """What a server writes while nothing works and nobody answers it."""
    return {
        "written": 1.0,
        "last_work": 1.0,
        "hub_heard": 1.0,
        "limit_seconds": 3600,
        "signs": [],
        "quiet_until": None,
        **changes,
    }


# -- what ends it ----------------------------------------------------------------------------------


def test_a_machine_without_a_server_goes_off_after_the_limit():
    machine = Machine()
    assert machine.goes_off(Seen()) == 60


def test_a_server_that_no_hub_looks_after_goes_off_after_the_limit():
    machine = Machine()
    assert machine.goes_off(lambda m: QUIET_SERVER._replace(note=note(written=float(m)))) == 61
    assert "hub is out of reach" in machine.look(QUIET_SERVER)


def test_the_time_without_a_server_begins_when_it_ends():
    machine = Machine()
    heard = lambda m: QUIET_SERVER._replace(note=note(hub_heard=float(m)))  # noqa: E731
    assert machine.goes_off(heard, hours=3) is None
    assert machine.goes_off(Seen()) == 60
    assert "no notebook server" in machine.look(Seen())


# -- what keeps it ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(lambda m: QUIET_SERVER._replace(hub_answers=True), id="the hub answers"),
        pytest.param(
            lambda m: QUIET_SERVER._replace(note=note(hub_heard=float(m))), id="the server heard it"
        ),
        pytest.param(
            lambda m: QUIET_SERVER._replace(
                note=note(written=float(m), signs=[{"kind": "kernel"}])
            ),
            id="a kernel computes in silence",
        ),
        pytest.param(
            lambda m: QUIET_SERVER._replace(note=note(written=float(m), last_work=float(m // 30))),
            id="somebody does something every half hour",
        ),
        pytest.param(lambda m: Seen(sessions=("ada@pts/0",)), id="a shell is open"),
        pytest.param(lambda m: Seen(cpu_seconds=40.0 * m), id="a job without a notebook"),
        pytest.param(lambda m: Seen(gpu_percent=30.0), id="a GPU is busy"),
        pytest.param(lambda m: Seen(quiet=True), id="nothing is stopped in these hours"),
        pytest.param(lambda m: Seen(helper=m % 45 == 0), id="the hub is at work on the machine"),
        pytest.param(lambda m: Seen(note=note(limit_seconds=0)), id="the hub said never"),
    ],
)
def test_it_stays_on(seen):
    machine = Machine()
    assert machine.goes_off(seen) is None
    # And goes off once that is over.
    assert machine.goes_off(Seen(cpu_seconds=1e6)) in range(1, 67)


def test_one_whose_user_has_no_limit_stays_on():
    assert Machine(SETTINGS._replace(limit_seconds=0)).goes_off(Seen()) is None


def test_a_note_that_nobody_writes_any_more_keeps_nothing():
    frozen = note(signs=[{"kind": "kernel"}], written=77.0, hub_heard=77.0)
    assert Machine().goes_off(QUIET_SERVER._replace(note=frozen)) == 61


def test_a_little_of_the_processors_is_no_work():
    assert Machine().goes_off(lambda m: Seen(cpu_seconds=6.0 * m)) == 60


# -- clocks ----------------------------------------------------------------------------------------


def test_a_sleep_begins_everything_anew():
    machine = Machine()
    assert machine.goes_off(Seen(), hours=0.9) is None
    assert machine.look(Seen(), seconds=9 * HOUR) == ""
    assert machine.goes_off(Seen()) == 60


def test_looks_that_come_late_are_no_sleep():
    machine = Machine()
    looks = [machine.look(Seen(), seconds=180.0) for _ in range(20)]
    assert not any(looks[:19]) and looks[19]


def test_the_servers_clock_may_jump_and_is_never_compared_with_ours():
    machine = Machine()
    jumps = [1e12, -5.0, 1.7e9, 0.0, 3.0]
    for minute, at in enumerate(jumps * 13):
        works = QUIET_SERVER._replace(note=note(written=at, last_work=at, hub_heard=float(minute)))
        assert machine.look(works) == ""
    assert machine.goes_off(QUIET_SERVER._replace(note=note(written=jumps[-1]))) in (60, 61)


def test_after_a_start_a_machine_has_all_of_its_time():
    machine = Machine()
    assert machine.goes_off(Seen(), hours=0.9) is None
    # The hub's helper may have come and gone between two looks: its server is there.
    other = Seen(server=(99, 1), cpu_seconds=0.0)
    assert machine.goes_off(other) == 61


# -- settings --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "noted", "expected"),
    [
        (3600, 7200, 7200.0),  # the hub's latest word, as the server heard it
        (3600, 60, 3600.0),  # which is the user's to write, and so can only prolong
        (3600, None, 3600.0),
        (3600, "soon", 3600.0),
        (3600, True, 3600.0),
        (30, 60, 600.0),  # never less than a login takes
        (0, 60, None),
        (3600, 0, None),
        (3600, -1, None),
        (3600, float("nan"), 3600.0),
        (3600, float("inf"), float("inf")),
    ],
)
def test_the_limit(limit, noted, expected):
    assert limit_of(SETTINGS._replace(limit_seconds=limit), {"limit_seconds": noted}) == expected


def test_looks_are_a_minute_apart_at_most_and_a_second_at_least():
    assert [pause_seconds(limit) for limit in (None, 86400.0, 120.0, 3.0)] == [
        60.0,
        60.0,
        20.0,
        1.0,
    ]


def test_the_hub_is_asked_only_while_it_is_not_heard_of():
    machine = Machine()
    asked = 0
    for minute in range(1, 10 * 60):
        seen = QUIET_SERVER._replace(note=note(written=float(minute)))
        if machine.patience.asks_hub(machine.now + 60, SETTINGS, seen):
            asked += 1
            seen = seen._replace(hub_answers=True)
        assert machine.look(seen) == ""
    # A quarter of the limit apart: a hub with a thousand servers has one question a second.
    assert 30 <= asked <= 40
    assert not machine.patience.asks_hub(machine.now + 10 * HOUR, SETTINGS, Seen())
    heard = QUIET_SERVER._replace(note=note(hub_heard=2.0))
    assert not machine.patience.asks_hub(machine.now + 10 * HOUR, SETTINGS, heard)
