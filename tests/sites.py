"""A real hub with its proxy, a local EC2 and machines, for whoever tests with all of it."""

import asyncio
import html
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import boto3

from cloudjhub.demo.browserless import HubUser
from cloudjhub.demo.stack import Demo, DemoSettings
from cloudjhub.local import LocalSettings

QUICK = LocalSettings(
    pending_seconds=0.2,
    boot_seconds=0.3,
    stopping_seconds=0.2,
    shutting_down_seconds=0.2,
    volume_seconds=0.1,
)
_HUB_FOLDER = Path(__file__).parent / "hub"
#: Hub settings with which a start takes a second and what happens behind its back shows in two.
BRISK = f"""
from cloudjhub import notebook_poll
from cloudjhub.fleet import upkeep
notebook_poll._BETWEEN_REFUSALS_SECONDS = 0.1
upkeep._ROUND_SECONDS = 2.0
c.Spawner.cmd = ["python3", "-I", "-S", {str(_HUB_FOLDER / "cheap_server.py")!r}]
c.InstanceSpawner.poll_interval = 1
c.InstanceSpawner.quiet_interval_seconds = 1.0
c.InstanceSpawner.busy_interval_seconds = 0.3
"""
#: More of them: what the hub's starts take for the time can be put forward with ``let_pass``.
HURRIED = f"{BRISK}\nload_subconfig({str(_HUB_FOLDER / 'hurried_clock.py')!r})\n"
#: Accounts of the hub's own, as on a launched manager.
LISTED = """
import os
from cloudjhub import logins
c.JupyterHub.authenticator_class = "cloudjhub-listed"
c.JupyterHub.template_paths = [logins.TEMPLATES]
c.Authenticator.allow_existing_users = True
c.Authenticator.auth_refresh_age = 1
folder = os.path.dirname(os.environ["CLOUDJHUB_CONFIG"])
c.ListedAuthenticator.one_time_file = os.path.join(folder, "one_time_passwords.json")
"""
USERS = tuple(f"student{number:02d}" for number in range(1, 61))


class Person(HubUser):
    """A student with a browser's address bar and forms."""

    async def page(self, path: str, *statuses: int) -> str:
        """A page as typed into the address bar."""
        headers = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "none"}
        async with self._http.get(self._address(path), headers=headers) as answer:
            text = await answer.text()
            assert answer.status in (statuses or (200,)), f"{answer.status}: {text}"
            return text

    async def submit(self, path: str, form: dict[str, str]) -> str:
        """A form, posted from its page."""
        address = self._address(path).update_query(_xsrf=self._token("/hub/"))
        headers = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "same-origin"}
        async with self._http.post(address, data=form, headers=headers) as answer:
            text = await answer.text()
            assert answer.status == 200, f"{answer.status}: {text}"
            return text

    async def failure_page(self) -> str:
        """What stands on the page of a start that failed, as text."""
        page = await self.page(f"/hub/spawn-pending/{self.name}", 500, 503)
        return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())

    async def tokens(self) -> list[str]:
        """Ids of the API tokens that were made for this person's servers."""
        answer = await self._json("GET", f"/hub/api/users/{self.name}/tokens")
        return [t["id"] for t in answer["api_tokens"] if t["note"].startswith("Server at")]


class Site:
    """A running demo with what the tests ask of it."""

    def __init__(self, demo: Demo):
        self.demo = demo
        self.ec2 = demo.ec2
        self._exits = AsyncExitStack()
        self._ahead_seconds = 0.0
        self._boto: Any = None

    async def user(self, name: str) -> Person:
        """A person who has logged in; leaves when the file's tests are over."""
        person = Person(self.demo.url, name, self.demo.password(name))
        self._exits.push_async_callback(person.close)
        await person.login()
        return person

    async def api(self, method: str, path: str, **body: Any) -> tuple[int, Any]:
        """One call of the hub's REST API as an admin service; gives status and JSON."""
        headers = {"Authorization": f"token {self.demo.secrets.api_token}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.request(method, f"{self.demo.url}/hub/api{path}", json=body or None) as answer,
        ):
            return answer.status, await answer.json() if await answer.read() else None

    def boto(self) -> Any:
        """An EC2 client, as somebody behind the hub's back would use."""
        if self._boto is None:
            self._boto = boto3.client(
                "ec2",
                region_name="us-east-1",
                endpoint_url=self.ec2.endpoint_url,
                aws_access_key_id="local",
                aws_secret_access_key="the-back",
            )
        return self._boto

    async def machines(
        self, user: str | None = None, server: str | None = None
    ) -> list[dict[str, Any]]:
        """Instances as EC2 describes them, ended ones left out; of one user or server if named."""
        wanted = [{"Name": "instance-state-name", "Values": _LIVE}, *_owned(user, server)]
        answer = await asyncio.to_thread(self.boto().describe_instances, Filters=wanted)
        return [i for r in answer["Reservations"] for i in r["Instances"]]

    async def the_machine(self, user: str, server: str | None = None) -> dict[str, Any]:
        """The user's (or the server's) one machine; more or fewer is a failure."""
        machines = await self.machines(user, server)
        assert len(machines) == 1, machines
        return machines[0]

    async def machine_state(self, user: str, server: str | None = None) -> str:
        """EC2's word for the state of the user's one machine."""
        return (await self.the_machine(user, server))["State"]["Name"]

    async def machine_stopped(self, user: str, server: str | None = None) -> None:
        """Wait until the user's one machine is stopped."""

        async def stopped() -> bool:
            return await self.machine_state(user, server) == "stopped"

        await self.until(f"the machine of {user} to be stopped", stopped)

    async def homes(self, user: str, server: str | None = None) -> list[dict[str, Any]]:
        """Home volumes that carry the user's tags."""
        answer = await asyncio.to_thread(self.boto().describe_volumes, Filters=_owned(user, server))
        return answer["Volumes"]

    async def server(self, user: str, server: str = "") -> dict[str, Any] | None:
        """What the hub says of a server, its state included; None when it knows none."""
        status, model = await self.api("GET", f"/users/{user}")
        assert status == 200, model
        return model["servers"].get(server)

    async def failed_start(self, user: str, **options: Any) -> str:
        """Begin a start that fails; gives what the last of its progress events says."""
        body = {"user_options": options} if options else {}
        status, answer = await self.api("POST", f"/users/{user}/server", **body)
        assert status in (201, 202), answer
        # JupyterHub has no progress to show while it tidies up after a start that failed.
        await self.no_server(user)
        last = [event async for event in self.progress(user)][-1]
        assert last.get("failed"), last
        return html.unescape(last["message"])

    async def begin(self, user: str) -> None:
        """Press Start."""
        status, answer = await self.api("POST", f"/users/{user}/server")
        assert status in (201, 202), answer

    async def start_past(self, user: str, words: str, times: int = 1) -> list[dict[str, Any]]:
        """Start a server and follow it until it is ready; gives its progress events.

        The first so many times that the words are said, the hub's patience is at its end.
        """
        await self.begin(user)
        events = []
        async for event in self.progress(user):
            events.append(event)
            if words in event.get("message", "") and times:
                times -= 1
                self.let_pass(1000)
        assert events[-1].get("ready") and not times, events
        return events

    def let_pass(self, seconds: float) -> None:
        """So much time passes for the starts of a hub that is configured as HURRIED."""
        self._ahead_seconds += seconds
        draft = self.ec2.state_dir / "ahead.new"
        draft.write_text(str(self._ahead_seconds))
        draft.replace(self.ec2.state_dir / "ahead")

    async def no_server(self, user: str, server: str = "") -> None:
        """Wait until the hub knows no such server."""

        async def gone() -> bool:
            return await self.server(user, server) is None

        await self.until(f"the hub to know no server of {user}", gone)

    async def hub_again(self) -> None:
        """Wait until the hub, which was killed, is back."""
        await self.demo.hub.ready(240)
        # It gives up on a hub that ends all the time; here that is intended.
        while len(self.demo.hub._starts) > 1:
            self.demo.hub._starts.popleft()

    def hub_log(self, since: int = 0) -> str:
        """The hub's log, from the character on."""
        return self.demo.hub.program.log.read_text(errors="replace")[since:]

    def rewrite_config(self, **changes: Any) -> None:
        """Rewrite server_config.json: as it was at first, with these changes."""
        self.demo.folder.write("server_config.json", {**self.demo.server_config, **changes})

    @contextmanager
    def config(self, **changes: Any) -> Iterator[None]:
        """server_config.json with these changes for a while."""
        self.rewrite_config(**changes)
        try:
            yield
        finally:
            self.rewrite_config()

    async def progress(self, user: str, server: str = "") -> AsyncIterator[dict[str, Any]]:
        """The progress events of a start, as one more page would get them."""
        headers = {"Authorization": f"token {self.demo.secrets.api_token}"}
        which = f"servers/{server}" if server else "server"
        url = f"{self.demo.url}/hub/api/users/{user}/{which}/progress"
        async with aiohttp.ClientSession(headers=headers) as session, session.get(url) as answer:
            assert answer.status == 200, await answer.text()
            async for line in answer.content:
                if line.startswith(b"data:"):
                    yield json.loads(line[5:])

    async def write_home(self, instance_id: str, name: str, text: str) -> None:
        """A file in the home of whoever works on the machine, made from inside it."""
        await self._in_home(instance_id, 'printf %s "$2" > "$1"', name, text)

    async def read_home(self, instance_id: str, name: str) -> str:
        """That file's text."""
        return await self._in_home(instance_id, 'cat "$1"', name)

    async def _in_home(self, instance_id: str, script: str, *arguments: str) -> str:
        home = f"$CLOUDJHUB_ROOT/home/{self.demo.server_config['NOTEBOOK_USERNAME']}"
        command = ["sh", "-c", f'cd "{home}/" && {script}', "sh", *arguments]
        run = self.ec2.machines.get(instance_id).run
        return await asyncio.to_thread(run, command, timeout_seconds=120)

    def notebooks(self, instance_id: str) -> dict[int, dict[str, str]]:
        """The environments of the machine's single-user servers, by pid on this computer."""
        found = {}
        for pid in self.ec2.machines.get(instance_id).pids():
            environment = _environment_of(pid)
            arguments = _arguments_of(pid)
            if "JUPYTERHUB_API_TOKEN" in environment and _is_server(arguments):
                found[pid] = environment
        return found

    async def until(self, what: str, holds: Callable[[], Any], seconds: float = 180) -> Any:
        """Wait until ``holds`` gives something true, or fail with what was waited for."""
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            value = holds()
            if asyncio.iscoroutine(value):
                value = await value
            if value:
                return value
            if asyncio.get_running_loop().time() > deadline:
                raise AssertionError(
                    f"Waited {seconds} s in vain for {what}.\n{self.hub_log()[-8000:]}"
                )
            await asyncio.sleep(0.1)

    async def close(self) -> None:
        """Everybody leaves."""
        await self._exits.aclose()


_LIVE = ["pending", "running", "stopping", "stopped"]


def _owned(user: str | None, server: str | None) -> list[dict[str, Any]]:
    tags = {"cloudjhub:user": user, "cloudjhub:server": server}
    return [
        {"Name": f"tag:{name}", "Values": [value]}
        for name, value in tags.items()
        if value is not None
    ]


def _environment_of(pid: int) -> dict[str, str]:
    lines = _proc_file(pid, "environ").split("\0")
    return dict(line.split("=", 1) for line in lines if "=" in line)


def _arguments_of(pid: int) -> list[str]:
    return _proc_file(pid, "cmdline").split("\0")


def _is_server(arguments: list[str]) -> bool:
    """Kernels inherit the server's environment; they are told by their command."""
    programs = ("jupyterhub-singleuser", "cheap_server.py")
    return any(argument.endswith(programs) for argument in arguments[:4])


def _proc_file(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text(errors="replace")
    except OSError:  # it ended meanwhile
        return ""


@asynccontextmanager
async def running_site(folder: Path, **changes: Any) -> AsyncIterator[Site]:
    """A site of its own, for tests that need other settings than the shared one."""
    settings = {"folder": folder, "port": 0, "users": USERS, "local": QUICK, **changes}
    async with Demo(DemoSettings(**settings)) as demo:
        site = Site(demo)
        try:
            yield site
        finally:
            await site.close()
