"""The time a login loses to the spawner, beside JupyterHub's own local spawner.

Overhead of ours = (server ready in the hub) - (the machine's sshd first answers)
- (the single-user server's own start-up, by hand on that machine).
Overhead of SimpleLocalProcessSpawner = (ready) - (request) - (start-up by hand).
"""

import argparse
import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import hub_steps
from bench import (
    PROBE_SECONDS,
    as_lines,
    conditions,
    first_answer,
    notebook_answer,
    quiet_cores,
    run,
    running_demo,
    table,
)
from by_hand import seconds_by_hand, server_among

from cloudjhub.demo.browserless import HubUser
from cloudjhub.demo.processes import descendants
from cloudjhub.demo.stack import Demo, local_settings
from cloudjhub.errors import TimedOut

AIM_SECONDS = 0.5
STEPS_FILE = "steps.jsonl"
PHASES = (
    "sshd answers -> noticed",
    "SSH login",
    "owner's tags",
    "home volume looked up",
    "helper until the server is launched",
    "server launched -> answers",
    "server answers -> noticed",
    "spawner done -> ready event",
)
OWN_START = 5
LOCAL_CONFIG = """
c.JupyterHub.spawner_class = "simple"
c.JupyterHub.cleanup_servers = True
c.SimpleLocalProcessSpawner.home_dir_template = {homes!r} + "/{{username}}"
c.SimpleLocalProcessSpawner.args = {args!r}
"""


@dataclass(frozen=True)
class Run:
    """One start; seconds."""

    total: float  # request -> ready
    before: float  # request -> EC2 has been asked for the machine
    boot: float  # -> sshd's first word
    after: float  # -> ready
    by_hand: float
    busy: float  # share of the cores that others used just before
    phases: dict[str, float] = field(default_factory=dict)

    @property
    def overhead(self) -> float:
        """What is left when machine and server are taken off."""
        return self.after - self.by_hand

    @property
    def besides_server(self) -> float:
        """The same with the server's start as it went this very time: others disturb it less."""
        return self.after - self.phases[PHASES[OWN_START]]


# Ours -----------------------------------------------------------------------------------------


async def our_start(demo: Demo, user: HubUser, machine_id: str | None) -> tuple[Run, str]:
    """Start the user's server on a new machine (None) or on this stopped one."""
    busy = await quiet_cores()
    watch = asyncio.create_task(_watch(demo, user, machine_id))
    clicked = time.monotonic()
    try:
        await user.start_server()
        ready = time.monotonic()
        machine_id, asked, banner, served = await watch
    finally:
        watch.cancel()
    machine = demo.ec2.machines.get(machine_id)
    server = server_among(machine.pids(), user.name)
    by_hand = await seconds_by_hand(server, machine.run, demo.folder.path)
    steps = hub_steps.read(demo.folder / STEPS_FILE, clicked)
    phases = _phases(steps, banner=banner, launched=server.began, served=served, ready=ready)
    total, before, boot, after = ready - clicked, asked - clicked, banner - asked, ready - banner
    return Run(total, before, boot, after, by_hand, busy, phases), machine_id


async def _watch(
    demo: Demo, user: HubUser, machine_id: str | None
) -> tuple[str, float, float, float]:
    """Id of the machine; when EC2 took the call, sshd spoke, the server answered."""
    known = set(demo.ec2.engine.backend.instances)
    while (found := _switched_on(demo, known, machine_id)) is None:
        await asyncio.sleep(PROBE_SECONDS)
    asked = time.monotonic()
    address = demo.ec2.machines.get(found).spec.address
    banner = await first_answer(address, demo.server_config["WORKER_SSH_PORT"], begins=b"SSH-")
    port = demo.server_config.get("NOTEBOOK_PORT", 8888)
    served = await notebook_answer(address, port, f"/user/{user.name}/")
    return found, asked, banner, served


def _switched_on(demo: Demo, known: set[str], machine_id: str | None) -> str | None:
    instances = demo.ec2.engine.backend.instances
    if machine_id is None:
        return next((new for new in list(instances) if new not in known), None)
    return machine_id if instances[machine_id].state in ("pending", "running") else None


def _phases(
    steps: dict[str, tuple[float, float]],
    *,
    banner: float,
    launched: float,
    served: float,
    ready: float,
) -> dict[str, float]:
    """Where the time went from sshd's first word on."""
    missing = set(hub_steps.STEPS) - set(steps)
    if missing:
        return {}
    took = {step: ended - began for step, (began, ended) in steps.items()}
    seconds = (
        steps["answering"][1] - banner,
        took["login"],
        took["tags"],
        took["home"],
        launched - steps["helper"][0],
        served - launched,
        max(steps["waiting"][1], steps["helper"][1]) - served,
        ready - steps["start"][1],
    )
    return dict(zip(PHASES, seconds, strict=True))


async def stop_machine(demo: Demo, user: HubUser, machine_id: str) -> None:
    """Stop the server and wait until its machine is stopped."""
    await user.stop_server()
    instance = demo.ec2.engine.backend.instances[machine_id]
    deadline = time.monotonic() + 60
    while instance.state != "stopped":
        if time.monotonic() > deadline:
            raise TimedOut(f"{machine_id} is {instance.state} 60 s after its server's stop.")
        await asyncio.sleep(0.1)


# JupyterHub's own -----------------------------------------------------------------------------


def local_config(homes: Path) -> str:
    """A hub with SimpleLocalProcessSpawner instead of ours."""
    # Jupyter refuses to run as root unless told.
    args = ["--allow-root"] if os.getuid() == 0 else []
    return LOCAL_CONFIG.format(homes=str(homes), args=args)


async def local_start(demo: Demo, user: HubUser) -> Run:
    """Start the user's server beside the hub, and stop it."""
    busy = await quiet_cores()
    clicked = time.monotonic()
    await user.start_server()
    total = time.monotonic() - clicked
    assert demo.hub.pid is not None
    server = server_among((p.pid for p in descendants(demo.hub.pid)), user.name)
    by_hand = await seconds_by_hand(server, _here, demo.folder.path)
    await user.stop_server()
    return Run(total, 0.0, 0.0, total, by_hand, busy)


def _here(command: Sequence[str]) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


# The whole ------------------------------------------------------------------------------------


async def one_round(ours: Demo, local: Demo, name: str) -> dict[str, Run]:
    """A person new to both hubs: a new machine, the same one again, a local server."""
    runs: dict[str, Run] = {}
    async with HubUser(ours.url, name, ours.password(name)) as user:
        await user.login()
        runs["new machine"], machine_id = await our_start(ours, user, None)
        await stop_machine(ours, user, machine_id)
        runs["stopped machine"], _ = await our_start(ours, user, machine_id)
        await stop_machine(ours, user, machine_id)
    async with HubUser(local.url, name, local.password(name)) as user:
        await user.login()
        runs["local process"] = await local_start(local, user)
    return runs


async def measure(rounds: int, boot_seconds: float) -> int:
    """Print everything; always 0, since a slow computer is no error."""
    names = tuple(f"user{number:02d}" for number in range(rounds + 1))
    async with (
        running_demo(
            lambda folder: hub_steps.hub_configuration(folder / STEPS_FILE),
            users=names,
            local=local_settings(boot_seconds),
        ) as ours,
        running_demo(lambda folder: local_config(folder / "homes"), users=names) as local,
    ):
        more = {"machine start": f"{boot_seconds} s", "machines": ours.ec2.variant}
        print(as_lines(conditions(**more)), flush=True)
        # The first start of a hub imports and connects what later ones find done.
        await one_round(ours, local, names[0])
        done = []
        for name in names[1:]:
            done.append(await one_round(ours, local, name))
            print(_one_line(len(done), done[-1]), flush=True)
    print(_result(done))
    return 0


def _one_line(number: int, runs: dict[str, Run]) -> str:
    """How a round went, and how busy others kept the cores."""
    said = [f"{kind} {run.overhead:.2f} s ({run.busy:.0%} busy)" for kind, run in runs.items()]
    return f"round {number}: overhead " + ", ".join(said)


def _result(rounds: Sequence[dict[str, Run]]) -> str:
    """The tables: medians over the rounds."""
    head = ["median of seconds", "total", "to EC2", "boot", "sshd to ready", "own start"]
    kinds = list(rounds[0])
    rows: list[list[object]] = [[*head, "OVERHEAD", "least", "most"]]
    for kind in kinds:
        runs = [one[kind] for one in rounds]
        columns = ("total", "before", "boot", "after", "by_hand", "overhead")
        overheads = [run.overhead for run in runs]
        middle = [median(getattr(run, column) for run in runs) for column in columns]
        rows.append([kind, *middle, min(overheads), max(overheads)])
    phases: list[list[object]] = [["where ours goes", *kinds[:2]]]
    for phase in PHASES:
        columns = [[r[kind].phases[phase] for r in rounds if r[kind].phases] for kind in kinds[:2]]
        phases.append([phase, *(median(column) if column else "-" for column in columns)])
    columns = [[r[kind].besides_server for r in rounds if r[kind].phases] for kind in kinds[:2]]
    label = f"all but {PHASES[OWN_START]!r}"
    phases.append([label, *(median(column) if column else "-" for column in columns)])
    aim = f"Aim: OVERHEAD below {AIM_SECONDS} s."
    return f"\n{table(rows)}\n{aim}\n\n{table(phases)}"


def main() -> int:
    """The command line."""
    command = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    command.add_argument("--runs", type=int, default=5, metavar="N", help="rounds to measure (5)")
    command.add_argument(
        "--boot-seconds",
        type=float,
        default=2.0,
        metavar="N",
        help="what EC2 and the machine take from the call to sshd, seconds (2)",
    )
    arguments = command.parse_args()
    return run(lambda: measure(arguments.runs, arguments.boot_seconds))


if __name__ == "__main__":
    sys.exit(main())
