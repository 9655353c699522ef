"""Work keeps a machine, an open page does not: real notebook servers, a real hub and its culler."""

import asyncio
import json
from contextlib import suppress

import pytest
from sites import BRISK

from cloudjhub.demo.browserless import HubUserError

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

#: seconds; a server at work tells the hub three times in it
LIMIT = 45
PACE = {"round_seconds": 1, "hole_seconds": 20, "report_seconds": 5, "work_report_seconds": 15}
SITE = {
    "more_server_config": {
        "JUPYTER_NOTEBOOK_TIMEOUT": LIMIT,
        "KEEP_HOURS": 2,
        # Nothing is stopped before a test says so, however long starts take.
        "IDLE_NEVER_IN": ["* 00:00-00:00 UTC"],
        # A page that asks all the time has its server at work.
        "BUSY_CPU_PERCENT": 1000,
    },
    "more_config": BRISK
    + f"""
import json, os
from cloudjhub.culler import pace
c.Spawner.cmd = ["jupyterhub-singleuser"]
os.environ[pace.VARIABLE] = json.dumps({PACE!r})
""",
}
# Nothing comes from it, and it takes next to nothing of a processor.
SILENT = "import os, time\nwhile not os.path.exists('enough'): time.sleep(0.1)\n"
IN_TERMINAL = "sh -c 'until test -e ~/enough; do sleep 0.2; done'\r"
#: what an open JupyterLab asks for all the time
POLLS = [
    ("GET", "api/kernels"),
    ("GET", "api/sessions"),
    ("GET", "api/terminals"),
    ("GET", "api/contents?content=1&hash=0"),
    ("PUT", "lab/api/workspaces/default"),
]


async def test_work_keeps_a_machine_and_an_open_page_does_not(site):
    people = {
        name: await site.user(f"student0{n}") for n, name in enumerate(("ker", "ter", "tab"), 1)
    }
    await asyncio.gather(*(person.start_server() for person in people.values()))
    machines = {n: (await site.the_machine(p.name))["InstanceId"] for n, p in people.items()}
    for person in people.values():
        await person.open_server()
    await _begin_silent_kernel(people["ker"])
    await _begin_in_terminal(people["ter"])
    await _shown(site, people["ker"], "kernel", "python3")
    await _shown(site, people["ter"], "terminal", "sleep")

    page = asyncio.create_task(_open_page(people["tab"]))
    with site.config(IDLE_NEVER_IN=[]):
        await site.no_server(people["tab"].name)
        page.cancel()
        await site.machine_stopped(people["tab"].name)
        for name in ("ker", "ter"):
            assert await site.machine_state(people[name].name) == "running"
            assert await _signs(people[name])
            # It ends, and with it what kept the machine.
            await site.write_home(machines[name], "enough", "")
        for name in ("ker", "ter"):
            await site.no_server(people[name].name)
            await site.machine_stopped(people[name].name)


async def test_a_user_keeps_the_machine_within_the_admins_limit(site):
    student = await site.user("student04")
    await student.start_server()
    await student.open_server()
    assert (await _idle(student, "?ask=1"))["timeout_seconds"] == LIMIT
    kept = await student._json("POST", _at(student, "cloudjhub/keep"), json={"hours": 500})
    assert kept["state"] == "kept"
    assert kept["kept_until"] - kept["now"] == pytest.approx(2 * 3600, abs=60)
    for nonsense in ({}, {"hours": "all"}, {"hours": -1}, {"hours": True}):
        with pytest.raises(HubUserError, match="was answered 400"):
            await student._json("POST", _at(student, "cloudjhub/keep"), json=nonsense)
    # A page of somebody else's may not ask for it: it lacks the form token.
    address = student._address(_at(student, "cloudjhub/keep"))
    async with student._http.post(address, json={"hours": 1}) as answer:
        assert answer.status == 403
    with site.config(KEEP_HOURS=0), pytest.raises(HubUserError, match="Machines cannot be kept"):
        await student._json("POST", _at(student, "cloudjhub/keep"), json={"hours": 1})
    with site.config(IDLE_NEVER_IN=[], JUPYTER_NOTEBOOK_TIMEOUT=3600):
        let_go = await student._json("POST", _at(student, "cloudjhub/keep"), json={"hours": 0})
    assert let_go["state"] == "idle" and let_go["kept_until"] is None
    assert let_go["stops_at"] == let_go["last_work"] + 3600


async def test_who_opens_a_page_is_there(site):
    student = await site.user("student06")
    await student.start_server()
    await student.open_server()
    before = (await _idle(student))["last_work"]
    browsers = {"Accept": "text/html,*/*;q=0.8", "Sec-Fetch-Mode": "navigate"}
    async with student._http.get(student._address(_at(student, "lab")), headers=browsers) as answer:
        assert answer.status == 200

    async def noticed():
        return (await _idle(student))["last_work"] > before

    await site.until("the server to notice that somebody came", noticed)


async def test_nothing_of_ours_reaches_a_kernel(site):
    student = await site.user("student05")
    await student.start_server()
    await student.open_server()
    (environment,) = site.notebooks((await site.the_machine("student05"))["InstanceId"]).values()
    assert "/run/cloudjhub/extension/" in environment["JUPYTER_CONFIG_PATH"]
    kernel = await student.start_kernel()
    found = "[each for each in [*sys.path, *os.environ.values()] if 'cloudjhub/extension' in each]"
    assert await kernel.run(f"import os, sys; print({found})") == "[]\n"
    await kernel.close()


def _at(person, path):
    return f"/user/{person.name}/{path}"


async def _idle(person, query=""):
    return await person._json("GET", _at(person, f"cloudjhub/idle{query}"))


async def _signs(person):
    return [(sign["kind"], sign["what"]) for sign in (await _idle(person))["signs"]]


async def _shown(site, person, kind, what):
    """Wait until the server says that it sees such a sign of work."""

    async def seen():
        return (kind, what) in await _signs(person)

    await site.until(f"{person.name}'s server to see {kind} {what} at work", seen)


async def _begin_silent_kernel(person):
    """Code that runs on while nobody is connected to its kernel."""
    kernel = await person.start_kernel()
    await kernel.run("1")
    running = asyncio.create_task(kernel.run(SILENT))
    while not running.done():
        model = await person._json("GET", _at(person, f"api/kernels/{kernel.id}"))
        if model["execution_state"] == "busy":
            break
    running.cancel()
    await kernel.close()


async def _begin_in_terminal(person):
    """A program in a terminal that nobody looks at."""
    terminal = await person._json("POST", _at(person, "api/terminals"))
    address = person._address(_at(person, f"terminals/websocket/{terminal['name']}"))
    token = person._token(_at(person, ""))
    headers = {"Origin": str(person.url.origin()), "Sec-Fetch-Mode": "websocket"}
    url = address.with_query(_xsrf=token)
    async with person._http.ws_connect(url, headers=headers) as socket:
        await socket.send_str(json.dumps(["stdin", IN_TERMINAL]))
        await asyncio.wait_for(socket.receive(), 60)


async def _open_page(person):
    """What a page goes on with while nobody looks at it, but more often."""
    body = {"data": {}, "metadata": {"id": "default"}}
    while True:
        for method, path in POLLS:
            sent = {"json": body} if method == "PUT" else {}
            with suppress(Exception):
                async with person._request(method, _at(person, path), **sent) as answer:
                    await answer.read()
        await asyncio.sleep(0.2)
