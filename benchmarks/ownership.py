"""Whether each user's machine runs that user's server and no other; asked on the machine itself.

Stand-ins write down whose server they run; other machines are asked over SSH.
"""

import asyncio
import json
from collections.abc import Callable, Iterable
from typing import Any

import aiohttp

from cloudjhub import remote
from cloudjhub.demo.stack import Demo
from cloudjhub.ec2 import EC2
from cloudjhub.ec2_values import Instance
from cloudjhub.errors import CloudJHubError
from cloudjhub.naming import Owner, is_owned_by

SSH_SECONDS = 30.0
AT_ONCE = 4

# Runs on the machine: the owners of its servers. A process that a server started has the same
# owner in its environment, so it does not count; on plain machines other machines' are in sight.
_WHOSE = """
import json, os, pathlib
owners, parents = {}, {}
for process in pathlib.Path("/proc").iterdir():
    try:
        pairs = (process / "environ").read_text(errors="replace").split(chr(0))
        parent = (process / "stat").read_text().rpartition(") ")[2].split()[1]
    except OSError:
        continue
    environment = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
    mine = environment.get("LOCALEC2_ID") == os.environ["LOCALEC2_ID"]
    if process.name.isdigit() and mine and "JUPYTERHUB_USER" in environment:
        owners[process.name], parents[process.name] = environment["JUPYTERHUB_USER"], parent
print(json.dumps([owners[pid] for pid in owners if parents[pid] not in owners]))
"""


async def wrong_machines(demo: Demo, users: Iterable[str]) -> list[str]:
    """A sentence for everything that is not as it should be: empty if all is well."""
    config = demo.server_config
    endpoint = config["EC2_ENDPOINT_URL"]
    ec2 = EC2(cluster=config["CLUSTER_NAME"], region=config["REGION"], endpoint_url=endpoint)
    machines = [m for m in await asyncio.to_thread(ec2.instances) if m.state != "terminated"]
    routes = await _routes(demo)
    ask = _asked(demo)
    slots = asyncio.Semaphore(AT_ONCE)

    async def look(user: str) -> str | None:
        async with slots:
            mine = [m for m in machines if is_owned_by(m.tags, Owner(user))]
            return await _complaint(demo, ask, user, mine, routes.get(user))

    complaints = await asyncio.gather(*map(look, users))
    return [complaint for complaint in complaints if complaint]


def _asked(demo: Demo) -> Callable[[Instance], list[str]]:
    """What tells the owners of a machine's servers."""
    if demo.ec2.variant != "standin":
        return lambda machine: _owners_of_servers(demo.server_config, machine)
    running = {
        record["instance_id"]: [_owner(record["running"])] if record["running"] else []
        for record in demo.ec2.servers()
    }
    return lambda machine: running.get(machine.id, [])


def _owner(server: dict[str, Any]) -> str:
    return str(Owner(server["user"], server["server"]))


async def _complaint(
    demo: Demo,
    ask: Callable[[Instance], list[str]],
    user: str,
    mine: list[Instance],
    route: str | None,
) -> str | None:
    if len(mine) != 1:
        return f"{user} owns {len(mine)} machines: {[machine.id for machine in mine]}"
    machine = mine[0]
    try:
        found = await asyncio.to_thread(ask, machine)
    except CloudJHubError as error:
        words = demo.ec2.machines.get(machine.id).console()[-400:]
        return f"{machine.id} of {user} ({machine.state}) cannot be asked: {error}\n{words}"
    if found != [user]:
        return f"{machine.id} of {user} runs the servers of {found}"
    if route is None or f"//{machine.private_ip}:" not in route:
        return f"The proxy sends {user} to {route}, not to {machine.private_ip}"
    return None


def _owners_of_servers(config: dict[str, Any], machine: Instance) -> list[str]:
    target = remote.Target(
        host=machine.private_ip or "",
        port=config["WORKER_SSH_PORT"],
        username=config["WORKER_USERNAME"],
        key_file=config["WORKER_KEY_FILE"],
    )
    with remote.connect(target, timeout_seconds=SSH_SECONDS) as session:
        output = session.run("python3 -", stdin=_WHOSE.encode(), timeout_seconds=SSH_SECONDS)
    try:
        return json.loads(output.text.splitlines()[-1])
    except (ValueError, IndexError):
        return [f"? ({output.text[-500:]})"]


async def _routes(demo: Demo) -> dict[str, str]:
    """User -> where the proxy sends whoever opens the user's server."""
    headers = {"Authorization": f"token {demo.secrets.proxy_token}"}
    address = f"http://127.0.0.1:{demo.plan.proxy_api_port}/api/routes"
    async with aiohttp.ClientSession(headers=headers) as http, http.get(address) as answer:
        routes = await answer.json()
    return {
        path.strip("/").partition("/")[2]: route["target"]
        for path, route in routes.items()
        if path.startswith("/user/")
    }
