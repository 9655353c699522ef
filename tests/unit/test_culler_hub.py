"""What the culler asks of the hub's REST API, over HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import datetime, timezone
from typing import Any
from urllib.parse import unquote

import pytest
import pytest_asyncio
from tornado.httpclient import HTTPRequest
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from cloudjhub.culler import hub as culler_hub
from cloudjhub.culler import service
from cloudjhub.culler.hub import Hub, Server

STARTED = "2026-03-02T09:00:00.000000Z"
CLASS = [f"student{number:03d}" for number in range(120)]
PAGE = 50


def server_model(user: str, name: str = "", **changes) -> dict:
    return {
        "name": name,
        "full_name": f"{user}/{name}",
        "last_activity": "2026-03-02T09:30:00.000000Z",
        "started": STARTED,
        "pending": None,
        "ready": True,
        "url": f"/user/{user}/{name}",
        **changes,
    }


class StandIn:
    """Answers as a hub's API does; keeps what it was asked."""

    def __init__(self):
        self.users: list[dict] = []
        self.groups: list[dict] = []
        self.stops: list[tuple[str, dict]] = []
        self.status = 200
        #: stops are answered once so many are asked for
        self.together = 1
        self.all_here = asyncio.Event()

    def page(self, items: list[dict], offset: int) -> dict:
        following = {"offset": offset + PAGE, "limit": PAGE, "url": ""}
        more = offset + PAGE < len(items)
        return {
            "items": items[offset : offset + PAGE],
            "_pagination": {"next": following if more else None},
        }


class HubHandler(RequestHandler):
    def initialize(self, hub: StandIn) -> None:
        self.hub = hub

    def prepare(self) -> None:
        assert self.request.headers["Authorization"] == "token secret"
        if self.hub.status != 200:
            self.set_status(self.hub.status)
            self.finish("no JSON")

    def get(self, what: str) -> None:
        if not what:
            self.write({"version": "6.1.1"})
            return
        assert "jupyterhub-pagination" in self.request.headers["Accept"]
        offset = int(self.get_argument("offset", "0"))
        page = self.hub.page(getattr(self.hub, what), offset)
        if page["_pagination"]["next"]:
            address = f"http://{self.request.host}/{what}?offset={offset + PAGE}"
            page["_pagination"]["next"]["url"] = address
        self.write(page)

    async def post(self, what: str) -> None:
        self.hub.stops.append((what, json.loads(self.request.body)))
        if len(self.hub.stops) >= self.hub.together:
            self.hub.all_here.set()
        await self.hub.all_here.wait()
        self.set_status(204)


@pytest_asyncio.fixture
async def stand_in() -> AsyncIterator[StandIn]:
    hub = StandIn()
    server = HTTPServer(Application([(r"/(.*)", HubHandler, {"hub": hub})]))
    (socket,) = bind_sockets(0, "127.0.0.1")
    server.add_sockets([socket])
    hub.port = socket.getsockname()[1]
    yield hub
    server.stop()
    await server.close_all_connections()


@pytest.fixture
def hub(stand_in: StandIn) -> Hub:
    return Hub(f"http://127.0.0.1:{stand_in.port}", "secret")


async def test_every_page_of_ready_servers_is_read(hub: Hub, stand_in: StandIn):
    stand_in.users = [
        {"name": name, "servers": {"": server_model(name)}, "last_activity": None} for name in CLASS
    ]
    stand_in.users[7]["servers"]["gpu"] = server_model(CLASS[7], "gpu", last_activity=None)
    stand_in.users[8]["servers"][""]["pending"] = "stop"
    stand_in.users[9]["servers"][""]["ready"] = False
    found = await hub.ready_servers()
    assert sorted(map(str, found)) == sorted({*CLASS, f"{CLASS[7]}/gpu"} - {CLASS[8], CLASS[9]})
    named = next(each for each in found if each.name)
    nine = datetime(2026, 3, 2, 9, 0, tzinfo=timezone.utc)
    assert (named.user, named.last_activity, named.idle_since) == (CLASS[7], None, nine)
    assert found[0].idle_since == nine.replace(minute=30)


async def test_every_page_of_groups_is_read(hub: Hub, stand_in: StandIn):
    stand_in.groups = [{"name": f"g{n}", "users": ["ada"]} for n in range(PAGE)]
    stand_in.groups.append({"name": "last", "users": ["grace", "ada"]})
    found = await hub.groups_of_users()
    assert found["grace"] == ["last"]
    assert len(found["ada"]) == PAGE + 1


async def test_stops_of_many_are_all_under_way_at_the_same_time(hub: Hub, stand_in: StandIn):
    stand_in.together = len(CLASS)
    nine = datetime(2026, 3, 2, 9, 0, tzinfo=timezone.utc)
    stops = [hub.idle_stop(Server(name, "", STARTED, nine), "stop", "idle") for name in CLASS]
    # None is answered before all have come.
    answers = await asyncio.wait_for(asyncio.gather(*stops), 60)
    assert {status for status, _ in answers} == {204}
    assert len(stand_in.stops) == len(CLASS)


async def test_whoever_waits_for_a_place_is_not_refused_and_holds_up_no_question(
    stand_in: StandIn, monkeypatch
):
    monkeypatch.setattr(culler_hub, "_SIDE_BY_SIDE", 3)
    monkeypatch.setattr(culler_hub, "_QUESTIONS", 1)
    hub = Hub(f"http://127.0.0.1:{stand_in.port}", "secret")
    asked: list[HTTPRequest] = []
    fetch = hub._client.fetch

    def noted(request: HTTPRequest, **more: Any) -> Any:
        asked.append(request)
        return fetch(request, **more)

    monkeypatch.setattr(hub._client, "fetch", noted)
    stand_in.together = len(CLASS)  # none is answered until the test says so
    nine = datetime(2026, 3, 2, 9, 0, tzinfo=timezone.utc)
    stops = [
        asyncio.ensure_future(
            hub.idle_stop(Server(name, "", STARTED, nine), "stop", "idle", for_age=False)
        )
        for name in CLASS
    ]
    while len(stand_in.stops) < 3:
        await asyncio.sleep(0.01)
    # So none of the others waits in the client's queue, which gives up after a while.
    assert len(asked) == 3
    assert await asyncio.wait_for(hub.groups_of_users(), 30) == {}
    stand_in.all_here.set()
    answers = await asyncio.wait_for(asyncio.gather(*stops), 60)
    assert [status for status, _ in answers] == [204] * len(CLASS)
    # Nor has less patience than with an answer.
    assert {(each.connect_timeout, each.request_timeout) for each in asked} == {(60, 60)}


async def test_names_are_part_of_a_path_whatever_they_hold(hub: Hub, stand_in: StandIn):
    nine = datetime(2026, 3, 2, 9, 0, tzinfo=timezone.utc)
    await hub.idle_stop(Server("jürgen?x #1", "gpu", STARTED, nine), "hibernate", "idle for long")
    ((path, body),) = stand_in.stops
    assert unquote(path) == "cloudjhub/users/jürgen?x #1/servers/gpu/idle-stop"
    assert body == {
        "last_activity": STARTED,
        "action": "hibernate",
        "reason": "idle for long",
        "for_age": False,
    }


@pytest.mark.parametrize("status", [403, 500, 503])
async def test_a_hub_that_does_not_answer_as_it_should_is_not_read(hub, stand_in, status):
    stand_in.status = status
    with pytest.raises(OSError, match=str(status)):
        await hub.ready_servers()
    with pytest.raises(OSError, match=str(status)):
        await hub.groups_of_users()
    assert await hub.ask("GET", "/users") == (status, None)


async def test_nobody_there_is_no_answer(stand_in: StandIn):
    nobody = Hub("http://127.0.0.1:9", "secret")
    for question in (nobody.ready_servers(), nobody.groups_of_users(), nobody.ask("GET", "/")):
        with pytest.raises(OSError, match="refused"):
            await question


def test_the_service_may_not_do_more_than_read_and_stop_servers():
    assert set(service.role()["scopes"]) == {
        "list:users",
        "read:servers",
        "delete:servers",
        "list:groups",
        "read:groups",
    }
    assert service.role()["services"] == [service.service()["name"]]


def test_the_service_gets_what_ec2_wants_and_nothing_of_the_hubs_own(monkeypatch):
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    monkeypatch.setenv("CONFIGPROXY_AUTH_TOKEN", "secret")
    environment = service.service()["environment"]
    assert environment["AWS_REGION"] == "us-east-1"
    assert environment["HTTPS_PROXY"] == "http://proxy:3128"
    assert "CONFIGPROXY_AUTH_TOKEN" not in environment
