"""A class's week, played through under rules about idle machines, with every stop compared."""

from dataclasses import replace
from pathlib import Path

import pytest

from cloudjhub.idle_config import IdleConfig

SEED = 5


@pytest.fixture
def cost(monkeypatch: pytest.MonkeyPatch):
    """The benchmark."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    import cost

    return cost


@pytest.fixture
def busy(cost):
    """Habits of people who often leave something running."""
    return cost.Habits(
        forgotten_tabs=0.5,
        silent=0.2,
        printing=0.15,
        background=0.2,
        terminal=0.1,
        quiet=0.1,
        stuck=0.0,
        editor=0.0,
        by_ssh=0.15,
    )


def stops_of(cost, everybody, rule):
    return [stop for person in everybody for stop in cost.live(person, rule).stops]


def test_a_week_comes_from_its_seed_alone(cost, busy):
    few, more = cost.people(4, SEED, busy), cost.people(8, SEED, busy)
    assert few == more[:4]
    assert few != cost.people(4, SEED + 1, busy)
    assert len({person.touches for person in map(_frozen, more)}) == len(more)
    for person in more:
        assert all(0 < span.begin < span.end <= cost.WEEK for span in person.presences)
        assert all(person.is_there(touch) for touch in person.touches)
        assert list(person.touches) == sorted(person.touches)


def _frozen(person):
    return replace(person, touches=tuple(person.touches))


@pytest.mark.slow
def test_ours_stops_nobody_who_works_and_the_others_are_seen_to(cost, busy):
    everybody = cost.people(10, SEED, busy)
    kinds = {job.kind for person in everybody for job in person.jobs}
    assert kinds >= {"silent", "printing", "background", "terminal", "ssh", "quiet"}
    ours = stops_of(cost, everybody, cost.OurRule("ours", IdleConfig()))
    assert len(ours) > 30 and not [stop for stop in ours if stop.wrong]
    tabs = stops_of(cost, everybody, cost.TabRule("tabs", output=False))
    assert {job.kind for stop in tabs for job in stop.lost} >= {"silent", "printing", "background"}
    stock = stops_of(cost, everybody, cost.TabRule("stock", output=True))
    lost = {job.kind for stop in stock for job in stop.lost}
    assert "silent" in lost and "printing" not in lost


@pytest.mark.slow
def test_a_tracker_that_sees_too_little_is_found_out(cost, busy, monkeypatch):
    import cost_rules

    everybody = cost.people(6, SEED, busy)
    rule = cost.OurRule("ours", IdleConfig())
    assert not [stop for stop in stops_of(cost, everybody, rule) if stop.wrong]
    seen = cost_rules.Seen
    monkeypatch.setattr(cost_rules, "Seen", lambda **signs: seen(acted=signs["acted"]))
    blind = [stop for stop in stops_of(cost, everybody, rule) if stop.wrong]
    assert {job.kind for stop in blind for job in stop.lost} >= {"silent", "background", "ssh"}


@pytest.mark.slow
def test_work_that_shows_no_sign_is_lost_unless_the_machine_is_kept(cost, busy):
    only_quiet = replace(busy, silent=0, printing=0, background=0, terminal=0, quiet=0.6, by_ssh=0)
    rule = cost.OurRule("ours", IdleConfig())
    kept = stops_of(cost, cost.people(4, SEED, only_quiet), rule)
    assert kept and not [stop for stop in kept if stop.wrong]
    unkept = cost.people(4, SEED, replace(only_quiet, keep=0.0))
    wrong = [stop for stop in stops_of(cost, unkept, rule) if stop.wrong]
    assert {job.kind for stop in wrong for job in stop.lost} == {"quiet"}
    # An admin who allows nobody to keep machines has the same.
    strict = cost.OurRule("ours", IdleConfig(KEEP_HOURS=0))
    kept = cost.people(4, SEED, only_quiet)
    assert [stop for stop in stops_of(cost, kept, strict) if stop.wrong]


@pytest.mark.slow
def test_hours_become_dollars(cost, capsys):
    plan_arguments = ["--users", "3", "--seed", str(SEED), "--markdown"]
    assert cost.main(plan_arguments) == 0
    printed = capsys.readouterr().out
    lines = [line.strip("|").split("|") for line in printed.splitlines() if line.startswith("|")]
    head, _, *rows = [[cell.strip() for cell in line] for line in lines]
    bills = {row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in rows}
    always, tabs, _, stopped, hibernated, ideal = bills.values()
    hours = [float(bill["machine hours"].replace(",", "")) for bill in bills.values()]
    assert hours[5] < hours[3] < hours[0] <= 3 * 168
    assert tabs["wrong stops"] != "0" == stopped["wrong stops"] == hibernated["wrong stops"]
    assert (
        stopped["stops that end kernels"]
        == stopped["stops"]
        != "0"
        == hibernated["stops that end kernels"]
    )
    # t3.medium in us-east-1: 0.0416 an hour; 12 GiB of disks for each at 0.08 a month.
    assert float(always["machines"]) == pytest.approx(hours[0] * 0.0416, abs=0.03)
    assert float(ideal["disks"]) == pytest.approx(3 * 12 * 0.08 * 168 / 730, abs=0.01)
    assert float(hibernated["disks"]) == pytest.approx(3 * 16 * 0.08 * 168 / 730, abs=0.01)
    assert cost.main(plan_arguments) == 0
    assert capsys.readouterr().out == printed
