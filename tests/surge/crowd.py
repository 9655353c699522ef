"""A hundred users of one hub, who press Start at the same moment, and what became of each."""

import asyncio
import html
import json
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from sites import Site

from cloudjhub.ec2_values import tags_from
from cloudjhub.naming import RETIRED_TAG, SHAPE_TAG, USER_TAG

BACK = 40
NEW = 60
DEADLINE_SECONDS = 240.0
LIVE = ("pending", "running", "stopping", "stopped")


@dataclass
class Surge:
    """Those of one test. ``homes``: of those who come back, their home volumes of before."""

    crowd: "Crowd"
    back: list[str]
    new: list[str]
    homes: dict[str, str]
    _outcomes: dict[str, asyncio.Task[str]] = field(default_factory=dict)

    @property
    def everybody(self) -> list[str]:
        return [*self.back, *self.new]

    def begin(self) -> None:
        """All of them press Start."""
        self._outcomes = {
            name: asyncio.create_task(self.crowd.start(name)) for name in self.everybody
        }

    async def others_done(self, count: int) -> None:
        """Wait until so many of them are ready or were told why not."""
        outcomes = self._outcomes.values()
        await self.crowd.site.until(
            f"{count} to be ready or refused",
            lambda: sum(outcome.done() for outcome in outcomes) >= count,
            DEADLINE_SECONDS,
        )

    async def others_ready(self, count: int) -> None:
        """Wait until so many of them are ready; one who is refused fails the test."""
        await self.others_done(count)
        done = [outcome for outcome in self._outcomes.values() if outcome.done()]
        assert not any(outcome.result() for outcome in done), [each.result() for each in done]

    async def end(self) -> dict[str, str]:
        """Everybody is ready or was told why not: gives the sentences of those who are not."""
        _, late = await asyncio.wait(self._outcomes.values(), timeout=DEADLINE_SECONDS)
        waiting = [name for name, outcome in self._outcomes.items() if outcome in late]
        for outcome in late:
            outcome.cancel()
        assert not late, (
            f"{waiting} neither ready nor told why\n{self.crowd.site.hub_log()[-9000:]}"
        )
        said = {name: outcome.result() for name, outcome in self._outcomes.items()}
        return {name: words for name, words in said.items() if words}

    async def again(self, names: Iterable[str]) -> dict[str, str]:
        """Those press Start once more, if there are any."""
        wanted = list(names)
        if not wanted:
            return {}
        for name in wanted:
            await self.crowd.site.no_server(name)
        self._outcomes = {name: asyncio.create_task(self.crowd.start(name)) for name in wanted}
        return await self.end()


class Crowd:
    """Asks the hub as an admin service does, as that costs the hub least."""

    def __init__(self, site: Site):
        self.site = site
        self._back = [f"back{number:02d}" for number in range(BACK)]
        self._surges = 0
        #: user -> what their page said so far in this surge
        self.heard: defaultdict[str, list[str]] = defaultdict(list)
        headers = {"Authorization": f"token {site.demo.secrets.api_token}"}
        self._http = aiohttp.ClientSession(
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=None),
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
        )

    async def close(self) -> None:
        await self._http.close()

    # -- coming and going ----------------------------------------------------------------------

    async def come_for_the_first_time(self) -> None:
        """Those who will come back get their machines, which are stopped then."""
        await self._register(self._back)
        surge = Surge(self, self._back, [], {})
        surge.begin()
        assert not await surge.end()
        await self._stop(self._back)

    async def gather(self) -> Surge:
        self._surges += 1
        self.heard.clear()
        self.site.ec2.reset_calls()
        new = [f"new{self._surges}-{number:02d}" for number in range(NEW)]
        await self._register(new)
        homes = {home["owner"]: home["VolumeId"] for home in await self._volumes() if home["owner"]}
        return Surge(self, list(self._back), new, {name: homes[name] for name in self._back})

    async def leave(self, surge: Surge) -> None:
        """The servers stop; whatever is not a machine or a home of those who come back is gone."""
        await self._stop(surge.everybody)
        api = self.site.boto()
        going = [m["InstanceId"] for m in await self.machines() if m["owner"] not in surge.back]
        if going:
            await asyncio.to_thread(api.terminate_instances, InstanceIds=going)
        await self.site.until("the others' machines to be gone", lambda: self._gone(going))
        for volume in await self._volumes():
            if volume["owner"] not in surge.back and not volume["Attachments"]:
                await asyncio.to_thread(api.delete_volume, VolumeId=volume["VolumeId"])

    def terminate_at_once(self, ids: list[str]) -> None:
        """Behind the hub's back; returns when they are terminated. Blocks."""
        self.site.boto().terminate_instances(InstanceIds=ids)
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not self._gone(ids):
            assert time.monotonic() < deadline, f"{ids} do not end"
            time.sleep(0.05)

    def _gone(self, ids: list[str]) -> bool:
        known = self.site.ec2.engine.backend.instances
        return all(known[each].state == "terminated" for each in ids if each in known)

    async def _register(self, names: list[str]) -> None:
        status, answer = await self.site.api("POST", "/users", usernames=names)
        assert status == 201, answer

    async def _stop(self, names: list[str]) -> None:
        await asyncio.gather(*(self._press("DELETE", name) for name in names))

        async def all_stopped() -> bool:
            if await self.servers():
                return False
            machines = [m for m in await self.machines() if m["owner"] in names]
            return all(machine["State"]["Name"] == "stopped" for machine in machines)

        await self.site.until("everybody's server to be stopped", all_stopped)

    # -- one user ------------------------------------------------------------------------------

    async def start(self, name: str) -> str:
        """Presses Start and follows the progress; "" once the server is ready, else the reason."""
        status, answer = await self._press("POST", name)
        if status not in (201, 202):
            return str(answer.get("message", answer))
        while (said := await self._follow(name)) is None:
            # JupyterHub has no progress to show while it tidies up after a start that failed.
            await self.site.no_server(name)
        return said

    async def _follow(self, name: str) -> str | None:
        """The end of a start that is under way or failed; None while there is no such thing."""
        async with self._http.get(self._url(f"/users/{name}/server/progress")) as stream:
            if stream.status == 400:
                return None
            assert stream.status == 200, await stream.text()
            async for line in stream.content:
                event = json.loads(line[5:]) if line.startswith(b"data:") else {}
                self.heard[name].append(event.get("message", ""))
                if event.get("failed"):
                    return html.unescape(event["message"])
                if event.get("ready"):
                    return ""
        return "The progress ended without a word."

    async def _press(self, method: str, name: str) -> tuple[int, dict[str, Any]]:
        async with self._http.request(method, self._url(f"/users/{name}/server")) as answer:
            return answer.status, json.loads(await answer.text() or "{}")

    def _url(self, path: str) -> str:
        return f"{self.site.demo.url}/hub/api{path}"

    # -- what there is -------------------------------------------------------------------------

    async def servers(self) -> dict[str, dict[str, Any]]:
        """User -> what the hub says of their server; of those who have one that is not stopped."""
        async with self._http.get(self._url("/users?state=active&limit=200")) as answer:
            return {model["name"]: model["servers"][""] for model in await answer.json()}

    async def machines(self) -> list[dict[str, Any]]:
        """What EC2 lists, ended ones left out, with the owner's tag; "" for nobody's."""
        answer = await asyncio.to_thread(self.site.boto().describe_instances)
        found = [machine for group in answer["Reservations"] for machine in group["Instances"]]
        live = [machine for machine in found if machine["State"]["Name"] in LIVE]
        return [{**machine, "owner": tags_of(machine).get(USER_TAG, "")} for machine in live]

    async def _volumes(self) -> list[dict[str, Any]]:
        answer = await asyncio.to_thread(self.site.boto().describe_volumes)
        return [{**each, "owner": tags_of(each).get(USER_TAG, "")} for each in answer["Volumes"]]

    async def _routes(self) -> dict[str, str]:
        """User -> where the proxy leads whoever opens the user's server."""
        demo = self.site.demo
        headers = {"Authorization": f"token {demo.secrets.proxy_token}"}
        address = f"http://127.0.0.1:{demo.plan.proxy_api_port}/api/routes"
        async with self._http.get(address, headers=headers) as answer:
            routes = await answer.json()
        return {
            path.removeprefix("/user/").strip("/"): route["target"]
            for path, route in routes.items()
            if path.startswith("/user/")
        }

    def until_calls(self, action: str, outcome: str, times: int = 1) -> Any:
        """Wait until EC2 has answered so many calls like that since they were last counted."""

        def often_enough() -> bool:
            return self.site.ec2.calls().get(action, {}).get(outcome, 0) >= times

        return self.site.until(f"{times} calls of {action}: {outcome}", often_enough)

    async def until_machines(self, state: str, count: int = BACK + NEW) -> list[str]:
        """Wait until EC2 has so many instances in that state; gives their ids."""

        def in_it() -> list[str]:
            instances = list(self.site.ec2.engine.backend.instances.values())
            return [instance.id for instance in instances if instance.state == state]

        await self.site.until(f"{count} {state} machines", lambda: len(in_it()) >= count)
        return in_it()

    def until_heard(self, words: str, names: Iterable[str], times: int = 1) -> Any:
        """Wait until the pages of all of them have said something so often."""

        def all_heard() -> bool:
            return all(sum(words in said for said in self.heard[n]) >= times for n in names)

        return self.site.until(f"{names} to hear {words}", all_heard)

    # -- judgement -----------------------------------------------------------------------------

    async def judge(self, surge: Surge, ready: Iterable[str] | None = None) -> None:
        """Each of them has one machine with one home, on which their server runs and no other's
        ever did; nothing belongs to nobody but spares, which run nothing."""
        names = surge.everybody if ready is None else list(ready)
        await self.site.until("nothing to be half done", self._settled)
        machines, servers = await self.machines(), await self.servers()
        routes = await self._routes()
        seen = {record["instance_id"]: record for record in self.site.ec2.servers()}
        homes = [volume for volume in await self._volumes() if volume["owner"]]
        wrong = []
        for name in names:
            mine = [m for m in machines if m["owner"] == name and RETIRED_TAG not in tags_of(m)]
            home = [volume["VolumeId"] for volume in homes if volume["owner"] == name]
            wrong += complaints_of(name, mine, home, seen)
            if mine and f"//{mine[0]['PrivateIpAddress']}:" not in routes.get(name, ""):
                wrong.append(f"the proxy leads {name} to {routes.get(name)}, not to {mine}")
            if not servers.get(name, {}).get("ready"):
                wrong.append(f"the hub has no server of {name} that is ready")
            if name in surge.homes and home != [surge.homes[name]]:
                wrong.append(f"{name} had {surge.homes[name]} and now has {home}")
        wrong += await self._left_over(machines, seen)
        wrong += filter(None, await asyncio.gather(*map(self._opened, names)))
        assert not wrong, "\n".join([*wrong, self.site.hub_log()[-6000:]])

    async def _opened(self, name: str) -> str:
        """Through the proxy; "" if it is their own server that answers."""
        async with self._http.get(f"{self.site.demo.url}/user/{name}/api") as answer:
            said = await answer.text()
        return "" if f'"user": "{name}"' in said else f"{name} finds {answer.status}: {said[:200]}"

    async def _settled(self) -> bool:
        """No machine is on its way up or down, and none that is nobody's is left half removed."""
        machines = await self.machines()
        return all(m["State"]["Name"] in ("running", "stopped") for m in machines)

    async def _left_over(self, machines: list[dict], seen: dict[str, dict]) -> list[str]:
        spares = {m["InstanceId"] for m in machines if not m["owner"]}
        wrong = [
            f"{m['InstanceId']} is nobody's and no spare: {tags_of(m)}"
            for m in machines
            if m["InstanceId"] in spares
            and (SHAPE_TAG not in tags_of(m) or seen.get(m["InstanceId"], {}).get("started"))
            and RETIRED_TAG not in tags_of(m)
        ]
        if await self._blank_volumes():
            self.site.let_pass(1000)
            await self.site.until("blank volumes to be removed", self._no_blank_volume)
        return wrong

    async def _no_blank_volume(self) -> bool:
        return not await self._blank_volumes()

    async def _blank_volumes(self) -> list[str]:
        """Those that never had an owner, and no machine has them."""
        volumes = await self._volumes()
        return [v["VolumeId"] for v in volumes if not v["owner"] and not v["Attachments"]]


def complaints_of(name: str, mine: list[dict], home: list[str], seen: dict[str, dict]) -> list[str]:
    """What is wrong with the machines and homes of one user."""
    if len(mine) != 1 or len(home) != 1:
        return [f"{name} has {[m['InstanceId'] for m in mine]} and the homes {home}"]
    record = seen.get(mine[0]["InstanceId"], {})
    wrong = []
    if mine[0]["State"]["Name"] != "running":
        wrong.append(f"the machine of {name} is {mine[0]['State']['Name']}")
    if (record.get("running") or {}).get("user") != name:
        wrong.append(f"the machine of {name} runs {record.get('running')}")
    if {server["user"] for server in record.get("started", [])} - {name}:
        wrong.append(f"the machine of {name} ran {record['started']}")
    if record.get("mounted") != home[0]:
        wrong.append(f"{name} works in {record.get('mounted')} and has {home}")
    return wrong


def tags_of(resource: dict[str, Any]) -> dict[str, str]:
    return tags_from(resource)
