"""A class that logs in at once: everybody presses Start My Server at the same moment.

The local EC2 refuses calls as EC2's documentation says (token buckets per action).
"""

import argparse
import asyncio
import math
import os
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
import jupyterhub
import notebook_standin
from bench import busy_since, conditions, cpu_ticks, quiet_cores, run, running_demo, table
from ownership import wrong_machines

from cloudjhub.demo.browserless import HubUser
from cloudjhub.demo.stack import Demo, local_settings
from cloudjhub.errors import CloudJHubError, TimedOut

MOST_REAL_USERS = 10  # above that only when told: a real server takes 100 MB and a core's second
DEADLINE_SECONDS = 900.0
SET_UP_AT_ONCE = 4


@dataclass(frozen=True)
class Plan:
    """What is asked of the benchmark."""

    users: int
    boot_seconds: float
    stopped: bool  # machines exist and are stopped; else they are made
    real: bool  # jupyterhub-singleuser; else the stand-in

    @property
    def names(self) -> tuple[str, ...]:
        """Who logs in."""
        return tuple(f"user{number:03d}" for number in range(self.users))


def hub_config(plan: Plan) -> str:
    """What runs on the machines."""
    if plan.real:
        return ""
    command = [sys.executable, str(Path(notebook_standin.__file__).resolve())]
    environment = {"BENCHMARK_HUB_VERSION": jupyterhub.__version__}
    return f"c.Spawner.cmd = {command!r}\nc.Spawner.environment = {environment!r}\n"


@dataclass(frozen=True)
class Outcome:
    """How it went: per user the seconds from the request to ready, or the error."""

    users: dict[str, float | Exception]
    calls: dict[str, dict[str, int]]  # EC2 action -> ok, throttled, error
    hub_cpu_seconds: float
    busy: float  # share of all cores that was used meanwhile, by whomever
    seconds: float  # from the first request until the last user is ready or has failed

    @property
    def times(self) -> list[float]:
        """Of those who got their server, shortest first."""
        return sorted(value for value in self.users.values() if isinstance(value, float))

    @property
    def failures(self) -> dict[str, Exception]:
        """Of those who did not."""
        return {name: v for name, v in self.users.items() if isinstance(v, Exception)}


async def surge(plan: Plan) -> int:
    """Print everything; 1 if a user failed or a machine runs somebody else's server."""
    local = replace(local_settings(plan.boot_seconds), throttle=True)
    async with (
        running_demo(lambda folder: hub_config(plan), users=plan.names, local=local) as demo,
        AsyncExitStack() as people,
    ):
        users = [HubUser(demo.url, name, demo.password(name)) for name in plan.names]
        for user in users:
            people.push_async_callback(user.close)
        await asyncio.gather(*(user.login() for user in users))
        if plan.stopped:
            await _make_machines(demo, users)
        print(_conditions(demo, plan, await quiet_cores()), flush=True)
        outcome = await _press(demo, users)
        print(_report(outcome), flush=True)
        wrong = await wrong_machines(demo, plan.names)
        print(_ownership(plan, wrong), flush=True)
    print("Nothing was left running.")
    return 1 if outcome.failures or wrong else 0


async def _make_machines(demo: Demo, users: Sequence[HubUser]) -> None:
    """Everybody has been here before: one stopped machine each. Takes no part in the result."""
    demo.ec2.faults.throttle(False)
    slots = asyncio.Semaphore(SET_UP_AT_ONCE)

    async def visit(user: HubUser) -> None:
        async with slots:
            await user.start_server(deadline_seconds=DEADLINE_SECONDS)
            await user.stop_server()

    await asyncio.gather(*map(visit, users))
    deadline = time.monotonic() + 120
    instances = demo.ec2.engine.backend.instances
    while any(instance.state != "stopped" for instance in instances.values()):
        if time.monotonic() > deadline:
            raise TimedOut("Not every machine was stopped within 120 s.")
        await asyncio.sleep(0.2)
    demo.ec2.faults.throttle(True)


async def _press(demo: Demo, users: Sequence[HubUser]) -> Outcome:
    """Everybody starts at the same moment."""
    demo.ec2.reset_calls()
    cpu, ticks = _hub_cpu_seconds(demo), cpu_ticks()
    began = time.monotonic()
    results = await asyncio.gather(*map(_seconds_to_ready, users))
    return Outcome(
        busy=busy_since(ticks),
        users={user.name: result for user, result in zip(users, results, strict=True)},
        calls=demo.ec2.calls(),
        hub_cpu_seconds=_hub_cpu_seconds(demo) - cpu,
        seconds=time.monotonic() - began,
    )


async def _seconds_to_ready(user: HubUser) -> float | Exception:
    try:
        return (await user.start_server(deadline_seconds=DEADLINE_SECONDS)).seconds
    except (CloudJHubError, aiohttp.ClientError, asyncio.TimeoutError) as error:
        return error


def _hub_cpu_seconds(demo: Demo) -> float:
    fields = Path(f"/proc/{demo.hub.pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# What is printed ------------------------------------------------------------------------------


def _conditions(demo: Demo, plan: Plan, busy: float) -> str:
    return conditions(
        **{
            "cores busy before": f"{busy:.0%}",
            "users": plan.users,
            "machines": f"{'stopped' if plan.stopped else 'new'} ({demo.ec2.variant})",
            "machine start": f"{plan.boot_seconds} s",
            "server": "jupyterhub-singleuser" if plan.real else "notebook stand-in",
            "EC2's limits": "on",
        }
    )


def _report(outcome: Outcome) -> str:
    ready, asked = len(outcome.times), len(outcome.users)
    lines = [f"\n{ready} of {asked} users ready ({ready / asked:.0%})"]
    if outcome.times:
        shares = {"first": 0.0, "p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
        said = [f"{name} {percentile(outcome.times, at):.1f}" for name, at in shares.items()]
        lines.append("request to ready, seconds: " + ", ".join(said))
    lines.append(
        f"hub: {outcome.hub_cpu_seconds:.1f} s of CPU in {outcome.seconds:.1f} s, "
        f"{outcome.hub_cpu_seconds / asked:.2f} s per user; all cores {outcome.busy:.0%} busy"
    )
    lines += [f"  {name}: {type(e).__name__}: {e}" for name, e in outcome.failures.items()]
    kinds = ("ok", "throttled", "error")
    rows = [[a, *(counts[kind] for kind in kinds)] for a, counts in sorted(outcome.calls.items())]
    return "\n".join([*lines, "", table([["EC2 calls", *kinds], *rows])])


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed."""
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1]


def _ownership(plan: Plan, wrong: Sequence[str]) -> str:
    right = plan.users - len(wrong)
    head = (
        f"\n{right} of {plan.users} machines, asked from inside, run exactly their owner's server"
    )
    return "\n".join([head, *(f"  {complaint}" for complaint in wrong)])


def main() -> int:
    """The command line."""
    command = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    command.add_argument("--users", type=int, default=30, metavar="N", help="how many (30)")
    command.add_argument(
        "--boot-seconds",
        type=float,
        default=10.0,
        metavar="N",
        help="what EC2 and the machine take from the call to sshd, seconds (10)",
    )
    command.add_argument(
        "--kind", choices=("new", "stopped"), default="new", help="machines they have (new: none)"
    )
    server = command.add_mutually_exclusive_group()
    server.add_argument(
        "--real",
        action="store_true",
        help=f"run jupyterhub-singleuser; the default for up to {MOST_REAL_USERS} users",
    )
    server.add_argument(
        "--stand-in", action="store_true", help="run a notebook stand-in; the default above that"
    )
    given = command.parse_args()
    real = given.real or (not given.stand_in and given.users <= MOST_REAL_USERS)
    plan = Plan(given.users, given.boot_seconds, given.kind == "stopped", real)
    return run(lambda: surge(plan))


if __name__ == "__main__":
    sys.exit(main())
