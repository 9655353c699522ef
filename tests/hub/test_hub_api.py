"""What machines and the culler ask of the hub beside JupyterHub's own API."""

from datetime import datetime, timedelta, timezone

import aiohttp
import pytest
from hub.asleep import idle_stop
from sites import BRISK

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

ALWAYS = "* 00:00-00:00 UTC"
OWN_INTERVAL = """
def own_interval(spawner):
    if spawner.user.name == "student02":
        spawner.environment = {"JUPYTERHUB_ACTIVITY_INTERVAL": 45}

c.Spawner.pre_spawn_hook = own_interval
"""
SITE = {
    "more_config": BRISK + OWN_INTERVAL,
    "more_server_config": {
        "JUPYTER_NOTEBOOK_TIMEOUT": 1800,
        "IDLE_TIMEOUT_OF_USER": {"student02": 0},
        "IDLE_TIMEOUT_OF_GROUP": {"gpu": 900, "staff": 7200},
        "KEEP_HOURS": 3,
        "BUSY_CPU_PERCENT": 30,
    },
}


async def test_a_server_is_told_its_terms_with_its_own_token_and_nobody_elses(site):
    environment = await _running(site, "student01")
    status, terms = await _asked(environment)
    assert status == 200
    assert terms == {
        "timeout_seconds": 1800,
        "action": "stop",
        "keep_seconds": 3 * 3600,
        "max_age_seconds": 0,
        "quiet_until": None,
        "busy_cpu_percent": 30,
        "busy_gpu_percent": 10,
        "busy_minutes": 5,
    }
    other = await _running(site, "student02")
    # Stock reports are often enough for short limits, unless the operator says otherwise.
    reports = [each["JUPYTERHUB_ACTIVITY_INTERVAL"] for each in (environment, other)]
    assert reports == ["60", "45"]
    assert (await _asked(other))[1]["timeout_seconds"] == 0
    others = {**environment, "CLOUDJHUB_IDLE_URL": other["CLOUDJHUB_IDLE_URL"]}
    assert (await _asked(others))[0] == 404
    assert (await _asked({**environment, "JUPYTERHUB_API_TOKEN": "forged"}))[0] == 403
    for group in ("gpu", "staff"):
        await site.api("POST", f"/groups/{group}")
        await site.api("POST", f"/groups/{group}/users", users=["student01"])
    with site.config(IDLE_NEVER_IN=[ALWAYS], IDLE_ACTION="hibernate", MAX_AGE_HOURS=2):
        _, terms = await _asked(environment)
    assert terms["timeout_seconds"] == 7200
    assert terms["action"] == "hibernate"
    assert terms["max_age_seconds"] == 7200
    ends = datetime.fromisoformat(terms["quiet_until"])
    assert ends > datetime.now(timezone.utc) + timedelta(days=6)


async def test_a_named_server_has_terms_of_its_own_address(site):
    student = await site.user("student03")
    await student.start_server("second")
    machine = (await site.the_machine("student03", "second"))["InstanceId"]
    (environment,) = site.notebooks(machine).values()
    assert environment["CLOUDJHUB_IDLE_URL"].endswith("/users/student03/servers/second/idle")
    assert (await _asked(environment))[0] == 200
    await idle_stop(site, "student03", "second", action="stop")
    await site.machine_stopped("student03", "second")


async def test_whoever_came_back_is_not_stopped(site):
    await _running(site, "student04")
    seen = (await site.server("student04"))["last_activity"]
    await _active(site, "student04", datetime.now(timezone.utc) + timedelta(seconds=5))
    status, answer = await _idle_stop(site, "student04", seen)
    assert status == 409 and "was active" in answer["message"]
    assert (await site.server("student04"))["ready"]
    assert (await _idle_stop(site, "student04", None))[0] == 409
    seen = (await site.server("student04"))["last_activity"]
    mark = len(site.hub_log())
    assert (await _idle_stop(site, "student04", seen))[0] in (202, 204)
    await site.no_server("student04")
    await site.machine_stopped("student04")
    assert "idle for two hours" in site.hub_log(mark)
    # Once more is fine: it is off.
    assert (await _idle_stop(site, "student04", None))[0] == 409
    seen = (await site.api("GET", "/users/student04"))[1]["last_activity"]
    assert (await _idle_stop(site, "student04", seen))[0] == 204


async def test_a_server_whose_words_do_not_arrive_is_not_stopped_for_being_idle(site):
    environment = await _running(site, "student09")
    seen = (await site.server("student09"))["last_activity"]
    # Somebody else asks of it, which says nothing; then it does.
    assert (await site.api("GET", "/cloudjhub/users/student09/server/idle"))[0] == 200
    assert "asks" not in (await site.server("student09"))["state"]
    await _asks_and_the_hub_dies(site, "student09", environment)
    mark = len(site.hub_log())
    for _ in range(2):
        status, answer = await _idle_stop(site, "student09", seen)
        assert status == 409 and answer["unheard"] and "since the hub began" in answer["message"]
    assert site.hub_log(mark).count("student09 is not stopped") == 1
    assert (await site.server("student09"))["ready"]
    assert (await _asked(environment))[0] == 200
    assert (await _idle_stop(site, "student09", seen))[0] in (202, 204)
    await site.no_server("student09")
    # The next server is another; age ends also one that is not heard.
    environment = await _running(site, "student09")
    assert "asks" not in (await site.server("student09"))["state"]
    await _asks_and_the_hub_dies(site, "student09", environment)
    seen = (await site.server("student09"))["last_activity"]
    assert (await _idle_stop(site, "student09", seen))[0] == 409
    assert (await _idle_stop(site, "student09", seen, for_age=True))[0] in (202, 204)
    await site.no_server("student09")


async def test_a_server_that_starts_is_not_stopped(no_faults):
    site = no_faults
    await site.user("student05")
    site.ec2.faults.hold("boot")
    await site.begin("student05")
    later = (datetime.now(timezone.utc) + timedelta(hours=1)).isoformat()
    status, answer = await _idle_stop(site, "student05", later)
    assert status == 409 and "pending spawn" in answer["message"]
    site.ec2.faults.let_go("boot")
    await (await site.user("student05")).start_server()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"action": "stop"}, "last_activity"),
        ({"last_activity": "yesterday", "action": "stop"}, "last_activity"),
        ({"last_activity": None, "action": "terminate"}, "action"),
        ([], "dict"),
    ],
)
async def test_a_body_that_makes_no_sense_is_refused_with_what_is_wrong(site, body, words):
    await site.user("student06")
    headers = {"Authorization": f"token {site.demo.secrets.api_token}"}
    address = f"{site.demo.url}/hub/api/cloudjhub/users/student06/server/idle-stop"
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(address, json=body) as answer,
    ):
        assert answer.status == 400
        assert words in (await answer.json())["message"]


async def test_users_and_servers_that_are_not_there_are_not_found(site):
    for path in ("/nobody/server", "/student07/servers/none"):
        await site.user("student07")
        assert (await site.api("GET", f"/cloudjhub/users{path}/idle"))[0] == 404
        body = {"last_activity": None, "action": "stop"}
        assert (await site.api("POST", f"/cloudjhub/users{path}/idle-stop", **body))[0] == 404


async def test_a_server_may_not_stop_others_nor_itself_this_way(site):
    environment = await _running(site, "student08")
    headers = {"Authorization": f"token {environment['JUPYTERHUB_API_TOKEN']}"}
    address = environment["CLOUDJHUB_IDLE_URL"] + "-stop"
    body = {"last_activity": None, "action": "stop"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(address, json=body) as answer,
    ):
        assert answer.status == 403


async def _running(site, name):
    """The environment of the user's server, which runs now."""
    await (await site.user(name)).start_server()
    (environment,) = site.notebooks((await site.the_machine(name))["InstanceId"]).values()
    return environment


async def _asked(environment):
    """As the machine asks."""
    headers = {"Authorization": f"token {environment['JUPYTERHUB_API_TOKEN']}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.get(environment["CLOUDJHUB_IDLE_URL"]) as answer,
    ):
        return answer.status, await answer.json()


async def _active(site, name, moment):
    body = {"servers": {"": {"last_activity": moment.isoformat()}}}
    assert (await site.api("POST", f"/users/{name}/activity", **body))[0] == 200


async def _asks_and_the_hub_dies(site, name, environment):
    assert (await _asked(environment))[0] == 200
    assert (await site.server(name))["state"]["asks"]
    await site.demo.hub.crash()
    await site.hub_again()

    async def ready():
        server = await site.server(name)
        return server and server["ready"]

    await site.until("the hub to know its server", ready)


async def _idle_stop(site, name, seen, **more):
    body = {"last_activity": seen, "action": "stop", "reason": "idle for two hours", **more}
    return await site.api("POST", f"/cloudjhub/users/{name}/server/idle-stop", **body)
