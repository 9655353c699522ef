"""Servers that are hibernated with their machines as the culler does it, and what tells of them."""

import sqlite3
from contextlib import closing
from datetime import datetime, timezone

import aiohttp


async def server_of(site, name):
    """Machine, pid and environment of the user's one server process."""
    machine = (await site.the_machine(name))["InstanceId"]
    ((pid, environment),) = site.notebooks(machine).items()
    return machine, pid, environment


def token_of(server):
    return server[2]["JUPYTERHUB_API_TOKEN"]


async def idle_stop(site, name, server="", action="hibernate"):
    which = f"servers/{server}" if server else "server"

    async def begun():
        seen = (await site.server(name, server))["last_activity"]
        body = {"last_activity": seen, "action": action, "reason": "a test"}
        path = f"/cloudjhub/users/{name}/{which}/idle-stop"
        status, answer = await site.api("POST", path, **body)
        # 409: the server has told of activity since.
        assert status in (202, 204, 409), answer
        return status != 409

    await site.until(f"the hub to begin to {action} the server of {name}", begun)
    await site.no_server(name, server)


async def hibernated(site, name, server=""):
    """The culler has the user's server hibernated."""
    await idle_stop(site, name, server)
    await site.machine_stopped(name, server)
    machine = await site.the_machine(name, server)
    assert machine["StateReason"]["Code"] == "Client.UserInitiatedHibernate"


async def reports(server, moment=None):
    """The hub's answer to a report of activity as the server's process sends it."""
    environment = server[2]
    moment = moment or datetime.now(timezone.utc)
    headers = {"Authorization": f"token {token_of(server)}"}
    body = {"servers": {"": {"last_activity": moment.isoformat()}}}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(environment["JUPYTERHUB_ACTIVITY_URL"], json=body) as answer,
    ):
        return answer.status


def oauth_client(site, name):
    """What JupyterHub forgets when a token is used again, in its user.py; and where it leads."""
    with closing(sqlite3.connect(site.demo.folder / "jupyterhub.sqlite")) as database:
        (client,) = database.execute(
            "select allowed_scopes, description, redirect_uri from oauth_clients"
            " where identifier = ?",
            [f"jupyterhub-user-{name}"],
        ).fetchall()
    assert "read:users!user" in client[0], client
    return client
