"""Plans for notebook servers on the machines of this folder, and how they are looked at."""

import json
import socket
import sys
import urllib.request
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from cloudjhub.notebook import NotebookPlan

STAND_IN = str(Path(__file__).with_name("stand_in_server.py"))
TOKEN = "s3cret-t0ken-of-the-user"


def free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]


def plan_for(machine, mode: str = "serve", **changes) -> NotebookPlan:
    host = machine.target.host
    port = free_port(host)
    plan = NotebookPlan(
        command=(sys.executable, STAND_IN, mode, str(port)),
        environment={
            "JUPYTERHUB_API_TOKEN": TOKEN,
            "JUPYTERHUB_SERVICE_URL": f"http://{host}:{port}/user/x/",
            "ODD": 'two words, "quotes", $HOME, back\\slash,\nand a second line',
        },
        account="jupyter",
        port=port,
        home_volume_id=None,
    )
    return replace(plan, **changes)


def ask(machine, plan: NotebookPlan) -> dict:
    url = f"http://{machine.target.host}:{plan.port}/"
    with urllib.request.urlopen(url, timeout=60) as answer:
        return json.load(answer)


def answering(machine, plan: NotebookPlan, wait_for) -> dict:
    def once():
        try:
            return ask(machine, plan)
        except OSError:
            return None

    return wait_for("the server's answer", once)


def alive(pids: set[int]) -> set[int]:
    """Those that exist and are not zombies (nobody may be there to collect them)."""
    found = set()
    for pid in pids:
        with suppress(OSError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found.add(pid)
    return found
