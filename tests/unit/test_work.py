"""What counts as work on a machine, by a clock of the test's own."""

import pytest

from cloudjhub.worker.idle.work import Limits, Seen, Sign, Work

MINUTE = 60.0


def looked(work, begin, end, step=10.0, **seen):
    """Look again and again after ``begin`` until ``end``; a value may be a function of time."""
    now = begin
    while now < end:
        now += step
        values = {name: v(now) if callable(v) else v for name, v in seen.items()}
        work.look(now, Seen(**values))
    return work


def rate(percent, since=0.0):
    """A counter of processor seconds that has gone up by so much of a core since a moment."""
    return lambda now: max(0.0, now - since) * percent / 100


def test_a_machine_begins_with_work_and_idles_from_then_on():
    work = Work(1000.0)
    assert looked(work, 1000.0, 5000.0).last_work == 1000.0
    assert work.signs == ()


@pytest.mark.parametrize(
    ("seen", "sign"),
    [
        ({"kernels": ("a.ipynb",)}, Sign("kernel", "a.ipynb")),
        ({"terminals": ("make",)}, Sign("terminal", "make")),
        ({"sessions": ("ada",)}, Sign("ssh", "ada")),
    ],
)
def test_work_that_is_there_counts_for_as_long_as_it_is_there(seen, sign):
    work = looked(Work(0.0), 0.0, 7200.0, **seen)
    assert (work.last_work, work.signs) == (7200.0, (sign,))
    looked(work, 7200.0, 9000.0)
    assert (work.last_work, work.signs) == (7200.0, ())


def test_what_somebody_did_counts_from_when_it_was_done():
    work = Work(0.0)
    looked(work, 0.0, 600.0, acted=95.0)
    assert work.last_work == 95.0
    looked(work, 600.0, 700.0, acted=10_000.0)
    assert work.last_work == 700.0, "a moment that is still to come is no more than now"


def test_processors_count_by_their_average_over_the_busy_minutes():
    work = looked(Work(0.0), 0.0, 1200.0, cpu_seconds=rate(49))
    assert work.last_work == 0.0
    looked(work, 1200.0, 1800.0, cpu_seconds=lambda now: 588 + (now - 1200.0) * 0.6)
    assert (work.last_work, work.signs) == (1800.0, (Sign("cpu", 60),))


def test_a_short_burst_is_no_work():
    burst = looked(Work(0.0), 0.0, 3000.0, cpu_seconds=lambda now: min(max(now - 900, 0), 100.0))
    assert burst.last_work == 0.0
    long = looked(Work(0.0), 0.0, 3000.0, cpu_seconds=lambda now: min(max(now - 900, 0), 400.0))
    assert 1300.0 <= long.last_work <= 1300.0 + 5 * MINUTE


def test_processor_time_that_ends_with_its_process_is_not_taken_back():
    work = looked(Work(0.0), 0.0, 400.0, cpu_seconds=rate(100))
    assert work.last_work == 400.0
    looked(work, 400.0, 900.0, cpu_seconds=lambda now: now - 400.0)
    assert work.last_work == 900.0


def test_a_gpu_counts_by_its_average():
    work = looked(Work(0.0), 0.0, 1200.0, gpu_percent=9)
    assert work.last_work == 0.0
    looked(work, 1200.0, 1800.0, gpu_percent=lambda now: 30 if now % 20 else 0)
    assert (work.last_work, work.signs) == (1800.0, (Sign("gpu", 15),))


@pytest.mark.parametrize("timeout", [60.0, 120.0, 600.0, 3600.0])
def test_work_that_begins_is_seen_before_the_machine_is_stopped(timeout):
    work = Work(0.0, Limits(50.0, 10.0, 300.0, timeout))
    looked(work, 0.0, 6000.0, step=5.0, cpu_seconds=0.0)
    assert work.last_work == 0.0
    looked(work, 6000.0, 6000.0 + timeout, step=5.0, cpu_seconds=rate(55, since=6000.0))
    assert work.last_work == 6000.0 + timeout


def test_without_a_timeout_the_busy_minutes_hold():
    work = Work(0.0, Limits(50.0, 10.0, 300.0, 0.0))
    assert looked(work, 0.0, 290.0, cpu_seconds=rate(100)).last_work == 0.0
    assert looked(work, 290.0, 310.0, cpu_seconds=rate(100)).last_work == 310.0


def test_a_user_keeps_the_machine_until_the_moment_asked_for():
    work = Work(0.0)
    work.keep(5000.0)
    looked(work, 0.0, 4000.0)
    assert (work.last_work, work.signs) == (4000.0, (Sign("kept", 5000.0),))
    looked(work, 4000.0, 6000.0)
    assert (work.last_work, work.signs) == (4990.0, ())
    work.keep(9000.0)
    looked(work, 6000.0, 6010.0)
    work.keep(0.0)
    assert looked(work, 6010.0, 8000.0).last_work == 6010.0


def test_time_asleep_is_no_time_without_work():
    work = looked(Work(0.0), 0.0, 1000.0, cpu_seconds=rate(0))
    woken = 1000.0 + 8 * 3600
    # What the processors did before, or in no time at all, says nothing of now.
    work.look(woken, Seen(cpu_seconds=500_000.0))
    assert (work.last_work, work.signs) == (woken, ())
    looked(work, woken, woken + 1000.0, cpu_seconds=500_000.0)
    assert work.last_work == woken


def test_a_clock_that_is_put_back_starts_the_idle_time_again():
    work = looked(Work(10_000.0), 10_000.0, 11_000.0)
    work.look(4_000.0, Seen())
    assert work.last_work == 4_000.0
    assert looked(work, 4_000.0, 5_000.0).last_work == 4_000.0


def test_looks_may_lie_as_far_apart_as_the_caller_says():
    work = Work(0.0, gap_seconds=900.0)
    looked(work, 0.0, 9000.0, step=600.0, cpu_seconds=rate(10))
    assert work.last_work == 0.0
    looked(work, 9000.0, 12_000.0, step=600.0, cpu_seconds=lambda now: 900 + (now - 9000))
    assert work.last_work == 12_000.0
