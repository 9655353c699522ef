"""Servers at rest: what a hub asks and uses while nobody does anything, and how it comes back.

N servers run and nobody touches them. Counted for a while: EC2 calls, SSH logins, CPU, stalls.
Then the hub is killed and started again; timed until it has taken up all servers. The same with a
spawner that does nothing.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import steady_report
from bench import run, say
from hub_under_test import WAYS, HubUnderTest, Setup, hub_under_test
from ownership import wrong_machines
from side_by_side import Plan, Report, command_line, side_by_side
from span import Counting
from steady_report import Restart, Steadiness
from usage import memory_mib

from cloudjhub.demo.stack import local_settings
from cloudjhub.errors import TimedOut

BOOT_SECONDS = 2.0
START_SECONDS = 900.0
RESTART_SECONDS = 300.0
#: longer than the interval between two looks at a server, and than a quiet one
SETTLE_SECONDS = 45.0
_LOOK_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class Steady(Plan):
    """What is asked of the benchmark."""

    seconds: float
    settle_seconds: float


async def steady(plan: Steady) -> int:
    """Print everything; 1 if a server is lost or runs on somebody else's machine."""
    report = Report(f"steady {plan.users}", steady_report.one_way, steady_report.tables)
    return await side_by_side(plan, _said(plan), partial(_one_way, plan), report)


def _said(plan: Steady) -> dict[str, object]:
    return {
        "servers": plan.users,
        "machines": plan.machines,
        "server": "notebook stand-in, which reports no activity; no page is open",
        "watched for": f"{plan.seconds:g} s",
        "EC2's limits": "on",
    }


async def _one_way(plan: Steady, way: str) -> Steadiness:
    local = replace(local_settings(BOOT_SECONDS, plan.machines), throttle=True)
    async with hub_under_test(Setup(way=way, names=plan.names, local=local)) as hub:
        say(f"{WAYS[way]}: the first server starts, then the hub again")
        await _start(hub, plan.names[:1])
        first = await _restart(hub, 1, plan.settle_seconds)
        say(f"{WAYS[way]}: all servers start")
        await _start(hub, plan.names[1:])
        await asyncio.sleep(plan.settle_seconds)
        say(f"{WAYS[way]}: at rest for {plan.seconds:g} s")
        counting = Counting(hub)
        await asyncio.sleep(plan.seconds)
        rest = await counting.end()
        say(f"{WAYS[way]}: the hub is killed")
        restart = await _restart(hub, plan.users, plan.settle_seconds)
        return Steadiness(
            way=way,
            servers=plan.users,
            first_restart=first,
            rest=rest,
            restart=restart,
            still_ready=await hub.ask.ready_servers(),
            wrong=[] if way == "nothing" else await wrong_machines(hub.demo, plan.names),
        )


async def _start(hub: HubUnderTest, names: Sequence[str]) -> None:
    """Start servers; EC2's limits and what it takes are no part of what is measured."""
    if not names:
        return
    hub.demo.ec2.faults.throttle(False)
    rush = await hub.crowd.start(names, deadline_seconds=START_SECONDS)
    hub.demo.ec2.faults.throttle(True)
    if rush.failures:
        name, visit = next(iter(rush.failures.items()))
        raise TimedOut(f"{len(rush.failures)} servers did not start, {name}: {visit.error}")


async def _restart(hub: HubUnderTest, servers: int, settle_seconds: float) -> Restart:
    """Kill the hub as a crash does; it is started again, and rests a while. Raises TimedOut."""
    began = time.monotonic()
    await hub.demo.hub.crash()
    killed = time.monotonic()
    answered = None
    # JupyterHub sets this gauge when all servers are taken up.
    while (running := await hub.ask.gauge("jupyterhub_running_servers")) != servers:
        if running is not None:
            answered = answered or time.monotonic()
        if time.monotonic() > began + RESTART_SECONDS:
            raise TimedOut(f"The hub has taken up {running} of {servers} servers.")
        await asyncio.sleep(_LOOK_SECONDS)
    adopted = time.monotonic()
    lateness = await hub.lateness(killed, adopted)
    await asyncio.sleep(settle_seconds)
    return Restart(
        answered_seconds=(answered or adopted) - killed,
        adopted_seconds=adopted - killed,
        lateness=lateness,
        memory_mib=memory_mib(hub.hub_pid),
    )


# The command line -----------------------------------------------------------------------------


def plan_of(arguments: Sequence[str] | None = None) -> Steady:
    """The plan that a command line asks for; exits where that cannot be."""
    command = command_line(
        __doc__, users="how many servers run", ways=("ours", "nothing"), machines="standin"
    )
    add = command.add_argument
    add("--seconds", type=float, default=120.0, metavar="N", help="how long they are watched (120)")
    add(
        "--settle-seconds",
        type=float,
        default=SETTLE_SECONDS,
        metavar="N",
        help=f"how long all is left alone before something is measured ({SETTLE_SECONDS:.0f})",
    )
    given = command.parse_args(arguments)
    given.machines = given.machines or "standin"
    return Steady(**vars(given))


if __name__ == "__main__":
    plan = plan_of()
    sys.exit(run(lambda: steady(plan)))
