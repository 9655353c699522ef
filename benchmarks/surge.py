"""A class that logs in at once: everybody presses Start My Server at the same moment.

A real hub with its proxy works against the local EC2, which refuses calls as EC2's documentation
says (token buckets per action). The same class comes to our spawner, to ours with one EC2 call per
user, and to a spawner that does nothing: the limit of the hub itself.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import preparing
import surge_report
from bench import PATIENCE_SECONDS, quiet_cores, run, say
from hub_under_test import WAYS, HubUnderTest, Setup, hub_under_test
from ownership import wrong_machines
from side_by_side import Plan, Report, command_line, side_by_side
from span import Counting
from surge_report import Outcome
from usage import forget_peak, memory_mib

from cloudjhub.demo.stack import local_settings

DEADLINE_SECONDS = 600.0
UNBATCHED_DEADLINE_SECONDS = 300.0


@dataclass(frozen=True, kw_only=True)
class Surge(Plan):
    """What is asked of the benchmark."""

    kind: str  # of preparing.KINDS
    boot_seconds: float
    real: bool  # jupyterhub-singleuser on the machines; else a stand-in for it
    over_seconds: float
    unbatched_seconds: float
    patience_seconds: float

    def deadline(self, way: str) -> float:
        """How long a class is waited for, seconds."""
        return self.unbatched_seconds if way == "unbatched" else DEADLINE_SECONDS


async def surge(plan: Surge) -> int:
    """Print everything; 1 if a user failed or a machine runs somebody else's server.

    That EC2's limits leave some without a server in the unbatched way is no failure.
    """
    place = f"surge {plan.users} {plan.kind}"
    report = Report(place, surge_report.one_way, surge_report.tables)
    return await side_by_side(plan, _said(plan), partial(_one_way, plan), report)


def _said(plan: Surge) -> dict[str, object]:
    return {
        "users": plan.users,
        "machines": f"{plan.kind} ({plan.machines})",
        "machine start": f"{plan.boot_seconds:g} s",
        "server": "jupyterhub-singleuser" if plan.real else "notebook stand-in",
        "EC2's limits": "on",
        "arriving": f"over {plan.over_seconds:g} s" if plan.over_seconds else "at once",
    }


async def _one_way(plan: Surge, way: str) -> Outcome:
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
    async with hub_under_test(setup) as hub:
        await preparation.prepare(hub)
        busy = await quiet_cores(plan.patience_seconds)
        say(f"{WAYS[way]}: {plan.users} people start (cores {busy:.0%} busy before)")
        outcome = await _press(plan, hub, busy)
        if way == "nothing":
            return outcome
        ready = [name for name, visit in outcome.rush.visits.items() if visit.ready is not None]
        return replace(outcome, wrong=await wrong_machines(hub.demo, ready))


async def _press(plan: Surge, hub: HubUnderTest, busy: float) -> Outcome:
    """Everybody starts; what that took of everything."""
    way, deadline = hub.setup.way, plan.deadline(hub.setup.way)
    forget_peak(hub.hub_pid)
    memory, counting = memory_mib(hub.hub_pid), Counting(hub)
    rush = await hub.crowd.start(
        plan.names, deadline_seconds=deadline, over_seconds=plan.over_seconds
    )
    peak = memory_mib(hub.hub_pid, peak=True)
    return Outcome(
        way=way,
        rush=rush,
        span=await counting.end(rush.began),
        memory_before_mib=memory,
        memory_peak_mib=peak,
        busy_before=busy,
        deadline_seconds=deadline,
    )


# The command line -----------------------------------------------------------------------------


def plan_of(arguments: Sequence[str] | None = None) -> Surge:
    """The plan that a command line asks for; exits where that cannot be."""
    command = command_line(
        __doc__, users="how many", ways=tuple(WAYS), machines="standin, with --real auto"
    )
    add = command.add_argument
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
    add("--real", action="store_true", help="run jupyterhub-singleuser on real machines")
    given = command.parse_args(arguments)
    given.machines = given.machines or ("auto" if given.real else "standin")
    if given.real and given.machines == "standin":
        command.error("argument --real: stand-in machines run no real servers")
    return Surge(**vars(given))


if __name__ == "__main__":
    plan = plan_of()
    sys.exit(run(lambda: surge(plan)))
