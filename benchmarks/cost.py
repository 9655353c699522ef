"""What a week of a class costs: machine hours and dollars, by what is done about idle machines.

A class is drawn from a seed and its week played through, without waiting for anything, under the
original's rule, JupyterHub's own and this project's. What people and jobs do is given as truth; a
rule sees of it what can be seen; every stop is compared with the truth.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

import readme_block
from bench import markdown_table, table
from cost_class import HOUR, WEEK, Habits, Person, people
from cost_life import Life, live
from cost_rules import NeverRule, OurRule, Rule, TabRule
from side_by_side import user_count

from cloudjhub.deploy import prices
from cloudjhub.idle_config import IdleConfig

# Amazon bills a minute at least for every start, https://aws.amazon.com/ec2/pricing/on-demand/
_LEAST_BILLED_SECONDS = 60.0
# While memory is written to a gp3 disk a machine is paid for, and that takes 125 MiB a second.
_WRITTEN_MIB_SECOND = 125.0
_HABITS = tuple(field.name for field in fields(Habits))


@dataclass(frozen=True)
class Plan:
    """What is asked of the benchmark."""

    users: int
    seed: int
    timeout_seconds: int
    max_age_hours: int
    habits: Habits
    instance_type: str
    memory_gib: float
    region: str
    root_gib: int
    home_gib: int

    @property
    def rules(self) -> tuple[Rule, ...]:
        """What is compared, besides no more than the work."""
        seconds = self.timeout_seconds
        own = {"JUPYTER_NOTEBOOK_TIMEOUT": seconds, "MAX_AGE_HOURS": self.max_age_hours}
        return (
            NeverRule(),
            TabRule("the original's rule: a tab counts", False, seconds),
            TabRule("JupyterHub's own: a tab or output counts", True, seconds, read_seconds=300.0),
            OurRule("ours, stopped", IdleConfig(**own)),
            OurRule("ours, hibernated", IdleConfig(**own, IDLE_ACTION="hibernate")),
        )


@dataclass(frozen=True)
class Bill:
    """A class's week under one rule."""

    name: str
    lives: Sequence[Life]
    machine_seconds: float
    machines_usd: float
    disks_usd: float

    @property
    def hours(self) -> float:
        """Of all machines."""
        return self.machine_seconds / HOUR

    @property
    def usd(self) -> float:
        """All of it."""
        return self.machines_usd + self.disks_usd

    @property
    def stops(self) -> int:
        """How often a machine was stopped."""
        return sum(len(life.stops) for life in self.lives)

    @property
    def wrong(self) -> int:
        """How often one was that worked, or whose owner sat before it."""
        return sum(stop.wrong for life in self.lives for stop in life.stops)

    @property
    def lost(self) -> Counter[str]:
        """Jobs that a stop ended, by kind; where memory survives they only came later."""
        return Counter(job.kind for life in self.lives for s in life.stops for job in s.lost)


def bills(plan: Plan) -> list[Bill]:
    """One for each rule, and the ideal: machines that run for work and for nothing else."""
    everybody = people(plan.users, plan.seed, plan.habits)
    found = [_bill(plan, rule, everybody) for rule in plan.rules]
    ideal = sum(person.work_seconds() for person in everybody)
    return [*found, _priced(plan, "ideal: work only", (), ideal, hibernates=False)]


def _bill(plan: Plan, rule: Rule, everybody: Iterable[Person]) -> Bill:
    lives = [live(person, rule) for person in everybody]
    writing = plan.memory_gib * 1024 / _WRITTEN_MIB_SECOND if rule.hibernates else 0.0
    runs = (end - begin for life in lives for begin, end in life.runs)
    seconds = sum(max(run, _LEAST_BILLED_SECONDS) for run in runs)
    seconds += writing * sum(len(life.stops) for life in lives)
    return _priced(plan, rule.name, lives, seconds, hibernates=rule.hibernates)


def _priced(
    plan: Plan, name: str, lives: Sequence[Life], seconds: float, *, hibernates: bool
) -> Bill:
    hour = prices.hour(plan.instance_type, plan.region)
    gib_month = prices.disk_gib_month(plan.region)
    if hour is None or gib_month is None:
        raise SystemExit(f"The price of {plan.instance_type} in {plan.region} is not known.")
    gib = plan.root_gib + plan.home_gib + (plan.memory_gib if hibernates else 0)
    months = WEEK / HOUR / prices.HOURS_PER_MONTH
    return Bill(name, lives, seconds, seconds / HOUR * hour, plan.users * gib * gib_month * months)


# What is printed ------------------------------------------------------------------------------

HEAD = ("", "machine hours", "of always on", "machines", "disks", "USD a week")
HEAD += ("stops", "wrong stops", "stops that end kernels", "jobs lost")


def rows(found: Sequence[Bill], plan: Plan) -> list[Sequence[object]]:
    """The table."""
    hibernating = {rule.name for rule in plan.rules if rule.hibernates}
    return [HEAD, *(_row(bill, found[0], bill.name in hibernating) for bill in found)]


def _row(bill: Bill, always: Bill, survives: bool) -> Sequence[object]:
    return (
        bill.name,
        f"{bill.hours:,.0f}",
        f"{bill.hours / always.hours:.0%}",
        f"{bill.machines_usd:,.2f}",
        f"{bill.disks_usd:,.2f}",
        f"{bill.usd:,.2f}",
        bill.stops,
        bill.wrong,
        0 if survives else bill.stops,
        sum(bill.lost.values()),
    )


def said(plan: Plan) -> str:
    """What was played through."""
    return (
        f"{plan.users} users, seed {plan.seed}, idle for {plan.timeout_seconds / 60:g} minutes, "
        f"{plan.instance_type} in {plan.region} (prices of {prices.DATED}, on demand, without "
        f"taxes), disks of {plan.root_gib} and {plan.home_gib} GiB each, {plan.memory_gib:g} GiB "
        "more for memory where machines hibernate."
    )


def losses(found: Sequence[Bill]) -> list[str]:
    """Which jobs were lost, for each rule that lost some."""
    return [f"{bill.name}: lost {_kinds(bill.lost)}" for bill in found if bill.lost]


def _kinds(lost: Counter[str]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in sorted(lost.items()))


# The command line -----------------------------------------------------------------------------


def parser() -> argparse.ArgumentParser:
    """The arguments."""
    command = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    add = command.add_argument
    add("--users", type=user_count, default=100, metavar="N", help="how many (100)")
    add("--seed", type=int, default=1, metavar="N", help="another week of the same kind (1)")
    add("--timeout-minutes", type=float, default=60.0, metavar="N", help="idle for so long (60)")
    add(
        "--max-age-hours",
        type=int,
        default=0,
        metavar="N",
        help="ours stops machines after so many hours, whatever they do (0: never)",
    )
    add(
        "--habit",
        type=_habit,
        action="append",
        default=[],
        metavar="NAME=SHARE",
        help=f"a share of cost_class.Habits that is another, may be repeated: {', '.join(_HABITS)}",
    )
    add("--instance-type", default="t3.medium", metavar="TYPE", help="EC2's name (t3.medium)")
    add("--memory-gib", type=float, default=4.0, metavar="N", help="of that type (4)")
    add("--region", default="us-east-1", help="whose prices count (us-east-1)")
    add("--root-gib", type=int, default=8, metavar="N", help="disk of a machine (8)")
    add("--home-gib", type=int, default=4, metavar="N", help="disk of a home (4)")
    add("--markdown", action="store_true", help="print the table for a README")
    add("--readme", action="store_true", help="put the table into this folder's README.md")
    return command


def _habit(text: str) -> tuple[str, float]:
    name, _, share = text.partition("=")
    if name not in _HABITS or not share:
        raise argparse.ArgumentTypeError(f"say NAME=SHARE, NAME one of {', '.join(_HABITS)}")
    return name, float(share)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print everything; 1 if this project's rule stopped a machine wrongly."""
    given = parser().parse_args(arguments)
    plan = Plan(
        users=given.users,
        seed=given.seed,
        timeout_seconds=round(60 * given.timeout_minutes),
        max_age_hours=given.max_age_hours,
        habits=Habits(**dict(given.habit)),
        instance_type=given.instance_type,
        memory_gib=given.memory_gib,
        region=given.region,
        root_gib=given.root_gib,
        home_gib=given.home_gib,
    )
    found = bills(plan)
    lines = "\n".join(losses(found))
    print(said(plan), (markdown_table if given.markdown else table)(rows(found, plan)), sep="\n\n")
    print(f"\n{lines}")
    if given.readme:
        text = f"{said(plan)}\n\n{markdown_table(rows(found, plan))}\n\n{lines}"
        readme_block.put("cost", text)
    ours = {rule.name for rule in plan.rules if isinstance(rule, OurRule)}
    return 1 if any(bill.wrong for bill in found if bill.name in ours) else 0


if __name__ == "__main__":
    sys.exit(main())
