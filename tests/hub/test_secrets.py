"""Where the secrets of a start are, and where they must not be."""

import asyncio
import base64
import json
import stat
from pathlib import Path

import pytest
import pytest_asyncio
from sites import BRISK

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

# A kernel and its terminals are the real server's only, so it is the real one that is started.
SITE = {
    "more_config": f"""{BRISK}
c.Spawner.cmd = ["jupyterhub-singleuser"]
c.Application.log_level = "DEBUG"
"""
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def started(site):
    """A student at work, their machine's id and their server's token as its process has it."""
    seen = asyncio.create_task(_arguments_during(site.ec2))
    student = await site.user("student01")
    start = await student.start_server()
    await student.open_server()
    kernel = await student.start_kernel()
    await kernel.run("1 + 1")
    await kernel.close()
    machine = (await site.the_machine("student01"))["InstanceId"]
    (environment,) = site.notebooks(machine).values()
    token = environment["JUPYTERHUB_API_TOKEN"]
    assert len(token) >= 32
    seen.cancel()
    arguments = await seen
    return student, machine, token, start, arguments


async def test_the_token_is_in_no_command_line(started):
    *_, token, _, arguments = started
    assert any("jupyterhub-singleuser" in line for line in arguments)
    assert [line for line in arguments | _command_lines() if token in line] == []


async def test_the_token_is_in_no_log(site, started):
    _, machine, token, start, _ = started
    logs = {path: path.read_text(errors="replace") for path in site.demo.folder.path.glob("*.log")}
    assert {path.name for path in logs} >= {"jupyterhub.log", "proxy.log"}
    assert [path for path, text in logs.items() if token in text] == []
    assert token not in site.ec2.machines.get(machine).console()
    output = site.boto().get_console_output(InstanceId=machine).get("Output", "")
    assert token not in output and token not in base64.b64decode(output + "===").decode("latin-1")
    assert token not in json.dumps(start.events)
    assert token not in json.dumps(site.ec2.engine.calls.log())


async def test_the_token_is_unknown_to_ec2(site, started):
    _, machine, token, *_ = started
    client = site.boto()
    user_data = client.describe_instance_attribute(InstanceId=machine, Attribute="userData")
    encoded = user_data.get("UserData", {}).get("Value", "")
    described = [client.describe_instances(), client.describe_volumes(), client.describe_tags()]
    everything = json.dumps(described, default=str) + base64.b64decode(encoded).decode("latin-1")
    assert machine in everything
    assert token not in everything


async def test_the_token_is_in_no_answer_of_the_hub(site, started):
    student, _, token, *_ = started
    paths = ["/users?include_stopped_servers=true", "/users/student01", "/proxy"]
    for path in paths:
        status, answer = await site.api("GET", path)
        assert status == 200, answer
        assert token not in json.dumps(answer)
    own = await student._json("GET", "/hub/api/users/student01/tokens")
    assert token not in json.dumps(own)


async def test_the_hubs_state_holds_ids_and_no_secret(site, started):
    _, machine, token, *_ = started
    state = (await site.server("student01"))["state"]
    ids = {"instance_id", "host_key", "token_id", "private_ip", "port"}
    # "took": the seconds of each phase of its start; "asks": it has asked when it is idle
    assert {*ids, "took"} <= set(state) <= {*ids, "took", "asks"}
    assert state["instance_id"] == machine
    assert token not in json.dumps(state)
    private_key = Path(site.demo.server_config["WORKER_KEY_FILE"]).read_text()
    assert private_key.splitlines()[1] not in json.dumps(state)


async def test_on_the_machine_only_the_notebooks_account_can_read_the_token(site, started):
    _, machine, token, *_ = started
    folder = site.ec2.machines.get(machine).spec.folder
    (home,) = await site.homes("student01")
    places = [folder / "disk", folder / "etc", site.ec2.state_dir / "volumes" / home["VolumeId"]]
    holders = [path for place in places for path in _files(place) if token in _text(path)]
    run = folder / "disk/run/cloudjhub"
    assert holders and all(path.is_relative_to(run) for path in holders), holders
    for path in holders:
        # Jupyter itself writes the page that opens a browser, and writes it for all to read.
        if path.name.endswith("-open.html"):
            path = path.parent
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    environment = run / "private/notebook.env"
    assert environment in holders and stat.S_IMODE(environment.stat().st_mode) == 0o600


async def test_what_the_operator_writes_and_what_the_demo_keeps_is_private(site, started):
    folder = site.demo.folder
    names = ["server_config.json", "demo.json", "secrets.json", "jupyterhub_config.d/demo.py"]
    key = Path(site.demo.server_config["WORKER_KEY_FILE"])
    for path in [*(folder / name for name in names), key]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700


async def test_the_token_ends_with_the_server(site, started):
    student, machine, token, *_ = started
    await student.stop_server()
    await site.machine_stopped("student01")
    assert await student.tokens() == []
    run = site.ec2.machines.get(machine).spec.folder / "disk/run"
    await student.start_server()
    assert [path for path in _files(run) if token in _text(path)] == []


async def _arguments_during(ec2):
    """Every command line that was seen on this computer until cancelled."""
    seen: set[str] = set()
    try:
        while True:
            seen |= await asyncio.to_thread(_command_lines)
            await asyncio.sleep(0.02)
    except asyncio.CancelledError:
        return seen


def _command_lines():
    lines = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            lines.add(_text(entry / "cmdline").replace("\0", " "))
    return lines


def _files(folder):
    return [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]


def _text(path):
    try:
        return path.read_bytes().decode("latin-1")
    except OSError:  # gone meanwhile, or a device
        return ""
