"""Servers at rest: what a hub asks and uses while nobody does anything, and how it comes back.

N servers run and nobody touches them. Counted for a while: EC2 calls, SSH logins, CPU, stalls.
Then the hub is killed and started again; timed until it has taken up all servers. The same with a
spawner that does nothing.
"""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import aiohttp
import readme_block
import steady_report
from bench import as_lines, as_sentence, busy_since, conditions, cpu_ticks, run
from hub_under_test import WAYS, HubUnderTest, Setup, hub_under_test
from ownership import wrong_machines
from steady_report import Rest, Restart, Steadiness
from usage import memory_mib

from cloudjhub.demo.stack import local_settings
from cloudjhub.errors import TimedOut
from cloudjhub.local.settings import Variant

BOOT_SECONDS = 2.0
START_SECONDS = 900.0
RESTART_SECONDS = 300.0
SETTLE_SECONDS = (
    45.0  # longer than the interval between two looks at a server, and than a quiet one
)
_LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class Plan:
    """What is asked of the benchmark."""

    users: int
    seconds: float
    settle_seconds: float
    ways: tuple[str, ...]
    machines: Variant
    markdown: bool
    readme: bool

    @property
    def names(self) -> tuple[str, ...]:
        """Whose servers run."""
        return tuple(f"user{number:04d}" for number in range(self.users))


async def steady(plan: Plan) -> int:
    """Print everything; 1 if a server is lost or runs on somebody else's machine."""
    said = conditions(**_said(plan))
    print(as_lines(said), flush=True)
    found = []
    for way in plan.ways:
        found.append(await _one_way(plan, way))
        print(steady_report.one_way(found[-1]), flush=True)
    print(steady_report.tables(found, markdown=plan.markdown), flush=True)
    if plan.readme:
        tables = steady_report.tables(found, markdown=True)
        readme_block.put(f"steady {plan.users}", f"{as_sentence(said)}\n{tables}")
    print("\nNothing was left running.")
    return 1 if any(steadiness.is_failure for steadiness in found) else 0


def _said(plan: Plan) -> dict[str, object]:
    return {
        "servers": plan.users,
        "machines": plan.machines,
        "server": "notebook stand-in, which reports no activity; no page is open",
        "watched for": f"{plan.seconds:g} s",
        "EC2's limits": "on",
    }


async def _one_way(plan: Plan, way: str) -> Steadiness:
    local = replace(local_settings(BOOT_SECONDS, plan.machines), throttle=True)
    async with hub_under_test(Setup(way=way, names=plan.names, local=local), say=_say) as hub:
        _say(f"{WAYS[way]}: the first server starts, then the hub again")
        await _start(hub, plan.names[:1])
        async with _watcher(hub) as watcher:
            first = await watcher.restart(1)
            await asyncio.sleep(plan.settle_seconds)
            with_one = memory_mib(hub.hub_pid)
            _say(f"{WAYS[way]}: all servers start")
            await _start(hub, plan.names[1:])
            await asyncio.sleep(plan.settle_seconds)
            _say(f"{WAYS[way]}: at rest for {plan.seconds:g} s")
            rest = await _rest(hub, plan.seconds)
            _say(f"{WAYS[way]}: the hub is killed")
            restart = await watcher.restart(plan.users)
            await asyncio.sleep(plan.settle_seconds)
            restart = replace(restart, memory_mib=memory_mib(hub.hub_pid))
            still_ready = await watcher.ready_servers()
        wrong = [] if way == "nothing" else await wrong_machines(hub.demo, plan.names)
    return Steadiness(
        way=way,
        servers=plan.users,
        memory_with_one_mib=with_one,
        first_restart_seconds=first.adopted_seconds,
        rest=rest,
        restart=restart,
        still_ready=still_ready,
        wrong=wrong,
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


async def _rest(hub: HubUnderTest, seconds: float) -> Rest:
    hub.demo.ec2.reset_calls()
    used, ssh, ticks = hub.usage(), hub.ssh(), cpu_ticks()
    load, began = os.getloadavg()[0], time.monotonic()
    await asyncio.sleep(seconds)
    ended = time.monotonic()
    rest = Rest(
        seconds=ended - began,
        calls=hub.demo.ec2.calls(),
        ssh=hub.ssh() - ssh,
        usage=hub.usage() - used,
        memory_mib=memory_mib(hub.hub_pid),
        busy=busy_since(ticks),
        load_before=load,
    )
    await asyncio.sleep(1.5)  # the meter writes once a second
    return replace(rest, lateness=hub.lateness(began, ended))


@asynccontextmanager
async def _watcher(hub: HubUnderTest):
    headers = {"Authorization": f"token {hub.demo.secrets.api_token}"}
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout) as http:
        yield Watcher(hub, http)


class Watcher:
    """Kills the hub and sees it come back, by its own metrics and REST API."""

    def __init__(self, hub: HubUnderTest, http: aiohttp.ClientSession):
        self._hub = hub
        self._http = http
        self._url = f"{hub.demo.plan.hub_url}/hub"

    async def restart(self, servers: int) -> Restart:
        """Kill the hub as a crash does; it is started again. Raises TimedOut."""
        began = time.monotonic()
        await self._hub.demo.hub.crash()
        killed = time.monotonic()
        answered = None
        while (running := await self._running()) != servers:
            if running is not None:
                answered = answered or time.monotonic()
            if time.monotonic() > began + RESTART_SECONDS:
                raise TimedOut(f"The hub has taken up {running} of {servers} servers.")
            await asyncio.sleep(_LOOK_SECONDS)
        adopted = time.monotonic()
        await asyncio.sleep(1.5)  # the meter writes once a second
        return Restart(
            answered_seconds=(answered or adopted) - killed,
            adopted_seconds=adopted - killed,
            lateness=self._hub.lateness(killed, adopted),
        )

    async def _running(self) -> int | None:
        """What JupyterHub's gauge says, which it sets when all servers are taken up."""
        try:
            async with self._http.get(f"{self._url}/metrics") as answer:
                text = await answer.text()
        except (aiohttp.ClientError, asyncio.TimeoutError):
            return None
        for line in text.splitlines():
            if line.startswith("jupyterhub_running_servers "):
                return int(float(line.split()[1]))
        return None

    async def ready_servers(self) -> int:
        """How many servers the hub calls ready."""
        found, offset = 0, 0
        while True:
            query = {"state": "ready", "limit": "200", "offset": str(offset)}
            async with self._http.get(f"{self._url}/api/users", params=query) as answer:
                answer.raise_for_status()
                users = await answer.json()
            if not users:
                return found
            found += sum(server["ready"] for user in users for server in user["servers"].values())
            offset += len(users)


def _say(text: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


# The command line -----------------------------------------------------------------------------


def _ways(text: str) -> tuple[str, ...]:
    ways = tuple(text.split(","))
    if not set(ways) <= {"ours", "nothing"}:
        raise argparse.ArgumentTypeError("name ours, nothing, or both with a comma between")
    return ways


def main() -> int:
    """The command line."""
    command = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    add = command.add_argument
    add("--users", type=int, default=30, metavar="N", help="how many servers run (30)")
    add("--seconds", type=float, default=120.0, metavar="N", help="how long they are watched (120)")
    add(
        "--settle-seconds",
        type=float,
        default=SETTLE_SECONDS,
        metavar="N",
        help=f"how long all is left alone before something is measured ({SETTLE_SECONDS:.0f})",
    )
    add("--ways", type=_ways, default=("ours", "nothing"), help="ours, nothing or both (both)")
    add(
        "--machines",
        choices=("standin", "auto", "userns", "plain"),
        default="standin",
        help="standin: one process stands for all of them (standin)",
    )
    add("--markdown", action="store_true", help="print the tables for a README")
    add("--readme", action="store_true", help="put the tables into this folder's README.md")
    given = command.parse_args()
    plan = Plan(**vars(given))
    return run(lambda: steady(plan))


if __name__ == "__main__":
    sys.exit(main())
