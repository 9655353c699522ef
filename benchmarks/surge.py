"""A class that logs in at once: everybody presses Start My Server at the same moment.

A real hub with its proxy works against the local EC2, which refuses calls as EC2's documentation
says (token buckets per action). The same class comes to our spawner, to ours with one EC2 call per
user, and to a spawner that does nothing: the limit of the hub itself.
"""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import preparing
import readme_block
import surge_report
from bench import (
    PATIENCE_SECONDS,
    as_lines,
    as_sentence,
    busy_since,
    conditions,
    cpu_ticks,
    quiet_cores,
    run,
)
from hub_under_test import WAYS, HubUnderTest, Setup, hub_under_test
from ownership import wrong_machines
from surge_report import Outcome
from usage import forget_peak, memory_mib

from cloudjhub.demo.stack import local_settings
from cloudjhub.local.settings import Variant

DEADLINE_SECONDS = 600.0
UNBATCHED_DEADLINE_SECONDS = 300.0


@dataclass(frozen=True)
class Plan:
    """What is asked of the benchmark."""

    users: int
    kind: str  # of preparing.KINDS
    boot_seconds: float
    ways: tuple[str, ...]
    machines: Variant
    real: bool  # jupyterhub-singleuser on the machines; else a stand-in for it
    over_seconds: float
    unbatched_seconds: float
    patience_seconds: float
    markdown: bool
    readme: bool

    @property
    def names(self) -> tuple[str, ...]:
        """Who logs in."""
        return tuple(f"user{number:04d}" for number in range(self.users))

    def deadline(self, way: str) -> float:
        """How long a class is waited for, seconds."""
        return self.unbatched_seconds if way == "unbatched" else DEADLINE_SECONDS


async def surge(plan: Plan) -> int:
    """Print everything; 1 if a user failed or a machine runs somebody else's server.

    That EC2's limits leave some without a server in the unbatched way is no failure.
    """
    said = conditions(**_said(plan))
    print(as_lines(said), flush=True)
    outcomes = []
    for way in plan.ways:
        outcomes.append(await _one_way(plan, way))
        print(surge_report.one_way(outcomes[-1]), flush=True)
    print(surge_report.tables(outcomes, markdown=plan.markdown), flush=True)
    if plan.readme:
        tables = surge_report.tables(outcomes, markdown=True)
        readme_block.put(f"surge {plan.users} {plan.kind}", f"{as_sentence(said)}\n{tables}")
    print("\nNothing was left running.")
    return 1 if any(outcome.is_failure for outcome in outcomes) else 0


def _said(plan: Plan) -> dict[str, object]:
    return {
        "users": plan.users,
        "machines": f"{plan.kind} ({plan.machines})",
        "machine start": f"{plan.boot_seconds:g} s",
        "server": "jupyterhub-singleuser" if plan.real else "notebook stand-in",
        "EC2's limits": "on",
        "arriving": f"over {plan.over_seconds:g} s" if plan.over_seconds else "at once",
    }


async def _one_way(plan: Plan, way: str) -> Outcome:
    local = replace(local_settings(plan.boot_seconds, plan.machines), throttle=True)
    kind = plan.kind if way != "nothing" else "new"
    preparation = preparing.KINDS[kind](plan.names)
    setup = Setup(
        way=way,
        names=plan.names,
        local=local,
        real=plan.real,
        server_config=preparation.server_config,
    )
    async with hub_under_test(setup, say=_say) as hub:
        await preparation.prepare(hub)
        busy = await quiet_cores(plan.patience_seconds)
        _say(f"{WAYS[way]}: {plan.users} people start (cores {busy:.0%} busy before)")
        outcome = await _press(plan, hub, busy)
        if way == "nothing":
            return outcome
        ready = [name for name, visit in outcome.rush.visits.items() if visit.ready is not None]
        return replace(outcome, wrong=await wrong_machines(hub.demo, ready))


async def _press(plan: Plan, hub: HubUnderTest, busy: float) -> Outcome:
    """Everybody starts; what that took of everything."""
    demo, way = hub.demo, hub.setup.way
    demo.ec2.reset_calls()
    forget_peak(hub.hub_pid)
    memory, ssh = memory_mib(hub.hub_pid), hub.ssh()
    used, ticks, load = hub.usage(), cpu_ticks(), os.getloadavg()[0]
    rush = await hub.crowd.start(
        plan.names, deadline_seconds=plan.deadline(way), over_seconds=plan.over_seconds
    )
    ended = time.monotonic()
    outcome = Outcome(
        way=way,
        rush=rush,
        calls=demo.ec2.calls(),
        usage=hub.usage() - used,
        ssh=hub.ssh() - ssh,
        memory_before_mib=memory,
        memory_peak_mib=memory_mib(hub.hub_pid, peak=True),
        seconds=ended - rush.began,
        busy_before=busy,
        busy=busy_since(ticks),
        load_before=load,
        deadline_seconds=plan.deadline(way),
    )
    await asyncio.sleep(1.5)  # the meter writes once a second
    return replace(outcome, lateness=hub.lateness(rush.began, ended))


def _say(text: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


# The command line -----------------------------------------------------------------------------


def _ways(text: str) -> tuple[str, ...]:
    ways = tuple(text.split(","))
    if not set(ways) <= set(WAYS):
        raise argparse.ArgumentTypeError(f"name some of {', '.join(WAYS)}, with commas between")
    return ways


def parser() -> argparse.ArgumentParser:
    """The arguments."""
    command = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    add = command.add_argument
    add("--users", type=int, default=30, metavar="N", help="how many (30)")
    add(
        "--kind",
        choices=tuple(preparing.KINDS),
        default="new",
        help="the machines they find (new: none)",
    )
    add(
        "--boot-seconds",
        type=float,
        default=10.0,
        metavar="N",
        help="what EC2 and the machine take from the call to sshd, seconds (10)",
    )
    add(
        "--ways",
        type=_ways,
        default=tuple(WAYS),
        metavar="WAYS",
        help="which spawners, with commas between: " + ", ".join(WAYS) + " (all)",
    )
    add(
        "--over-seconds",
        type=float,
        default=0.0,
        metavar="N",
        help="they arrive evenly over this time (0: at once)",
    )
    add(
        "--unbatched-seconds",
        type=float,
        default=UNBATCHED_DEADLINE_SECONDS,
        metavar="N",
        help="how long a class is waited for that shares no calls: EC2 alone holds up the last of "
        f"1000 for 500 s ({UNBATCHED_DEADLINE_SECONDS:.0f})",
    )
    add(
        "--patience-seconds",
        type=float,
        default=PATIENCE_SECONDS,
        metavar="N",
        help=f"how long others are waited for who keep the cores busy ({PATIENCE_SECONDS:.0f})",
    )
    add(
        "--machines",
        choices=("standin", "auto", "userns", "plain"),
        help="standin: one process stands for all of them; the others have an sshd each "
        "(standin, with --real auto)",
    )
    add("--real", action="store_true", help="run jupyterhub-singleuser on real machines")
    add("--markdown", action="store_true", help="print the tables for a README")
    add("--readme", action="store_true", help="put the tables into this folder's README.md")
    return command


def plan_of(arguments: Sequence[str] | None = None) -> Plan:
    """The plan that a command line asks for; exits where that cannot be."""
    command = parser()
    given = command.parse_args(arguments)
    machines = given.machines or ("auto" if given.real else "standin")
    if given.real and machines == "standin":
        command.error("argument --real: stand-in machines run no real servers")
    if not 1 <= given.users <= 4000:
        command.error("argument --users: name 1 to 4000")
    return Plan(
        users=given.users,
        kind=given.kind,
        boot_seconds=given.boot_seconds,
        ways=given.ways,
        machines=machines,
        real=given.real,
        over_seconds=given.over_seconds,
        unbatched_seconds=given.unbatched_seconds,
        patience_seconds=given.patience_seconds,
        markdown=given.markdown,
        readme=given.readme,
    )


if __name__ == "__main__":
    plan = plan_of()
    sys.exit(run(lambda: surge(plan)))
