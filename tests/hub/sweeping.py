"""What tests of the sweep do behind the hub's back, and ask."""

import asyncio
import json
import os
import sys
import urllib.error
import urllib.request
from datetime import datetime, timedelta, timezone

from cloudjhub.config_file import ConfigFile
from cloudjhub.culler.sweep import Sweeper


class Sweeping:
    """A sweep of the site, with the token of its service unless told otherwise.

    Nobody's own limit is longer than SWEEP_GRACE_SECONDS.
    """

    def __init__(self, site, **config):
        self.site = site
        self.file = ConfigFile(site.demo.folder / "server_config.json")
        self.changes = {"idle_timeout_seconds": 10, **config}
        self.ahead_seconds = 0.0
        self.sweeper = Sweeper(config=self._config, ask=self._ask, clock=self._clock, now=self._now)

    def _config(self):
        return self.file.current().model_copy(update=self.changes)

    async def _ask(self, method, path, body):
        return await self.site.api(method, path, **(body or {}))

    def _clock(self):
        return self.ahead_seconds

    def _now(self):
        return datetime.now(timezone.utc) + timedelta(seconds=self.ahead_seconds)

    async def rounds(self, count):
        """So many rounds, each of them two minutes after the one before."""
        reports = []
        for _ in range(count):
            self.ahead_seconds += 120
            reports.append(await self.sweeper.round())
        return reports


async def behind_its_back(site, user, person):
    """The user's server is stopped, and then the machine is started by somebody else; its id."""
    await person.stop_server()
    await site.machine_stopped(user)
    machine = (await site.the_machine(user))["InstanceId"]
    await asyncio.to_thread(site.boto().start_instances, InstanceIds=[machine])
    await running(site, user)
    return machine


async def running(site, *users):
    async def all_run():
        return {await site.machine_state(user) for user in users} == {"running"}

    await site.until(f"the machines of {users} to run", all_run)


async def ready(site, user):
    async def ready():
        server = await site.server(user)
        return server and server["ready"]

    await site.until(f"the server of {user} to be ready", ready)


async def stopped(site, instance_id):
    states = {each["InstanceId"]: each["State"]["Name"] for each in await site.machines()}
    return states[instance_id] == "stopped"


async def spare_of(site):
    for machine in await site.machines():
        names = {tag["Key"] for tag in machine["Tags"]}
        if machine["State"]["Name"] == "running" and "cloudjhub:host-key" not in names:
            return machine["InstanceId"]
    return None


def press_start(site, user):
    """What a login does, from a thread."""
    request = urllib.request.Request(
        f"{site.demo.url}/hub/api/users/{user}/server",
        method="POST",
        headers={"Authorization": f"token {site.demo.secrets.api_token}"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 202


def refused(site):
    """The hub, asked by somebody who may not."""

    async def ask(method, path, body):
        headers = {"Authorization": "token nobody", "Content-Type": "application/json"}
        request = urllib.request.Request(
            f"{site.demo.url}/hub/api{path}",
            method=method,
            headers=headers,
            data=json.dumps(body).encode() if body else None,
        )
        return await asyncio.to_thread(_status_of, request), None

    return ask


def _status_of(request):
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


async def printed_sweep(site):
    """What an admin gets to read who asks what a sweep would do."""
    environment = {
        **os.environ,
        "CLOUDJHUB_CONFIG": str(site.demo.folder / "server_config.json"),
        "JUPYTERHUB_API_URL": f"{site.demo.url}/hub/api",
        "JUPYTERHUB_API_TOKEN": site.demo.secrets.api_token,
    }
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "cloudjhub.culler", "--dry-run"),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await asyncio.wait_for(program.communicate(), 120)
    assert program.returncode == 0
    return printed.decode()


async def volume(site, tags):
    zone = (await site.machines() or [{"Placement": {"AvailabilityZone": "us-east-1a"}}])[0]
    answer = await asyncio.to_thread(
        site.boto().create_volume,
        AvailabilityZone=zone["Placement"]["AvailabilityZone"],
        Size=1,
        TagSpecifications=[
            {
                "ResourceType": "volume",
                "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
            }
        ],
    )
    return answer["VolumeId"]


async def volumes(site, *ids):
    answer = await asyncio.to_thread(site.boto().describe_volumes)
    alive = {each["VolumeId"] for each in answer["Volumes"] if each["State"] != "deleting"}
    return alive & set(ids)
