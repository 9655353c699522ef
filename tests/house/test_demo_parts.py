"""The demo's parts that can be tried without a demo."""

import asyncio
import os
import signal
import socket
import stat
import sys
from pathlib import Path

import pytest

from cloudjhub.demo.child import Child, Program
from cloudjhub.demo.folder import DemoError, DemoFolder
from cloudjhub.demo.hub_files import clean_environment
from cloudjhub.demo.processes import Process
from cloudjhub.ports import is_free

SLEEPER = "import time; print('awake', flush=True); time.sleep(600)"


def program(folder: Path, *command: str) -> Program:
    return Program("sleeper", command, dict(os.environ), folder, folder / "sleeper.log")


async def until(condition, what: str) -> None:
    deadline = asyncio.get_running_loop().time() + 60
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, f"waited for {what}"
        await asyncio.sleep(0.02)


def test_a_folder_belongs_to_one_demo(tmp_path: Path):
    first, second = DemoFolder(tmp_path / "demo"), DemoFolder(tmp_path / "demo")
    first.claim()
    with pytest.raises(DemoError, match="Another demo is using"):
        second.claim()
    first.release()
    second.claim()
    second.release()


def test_passwords_are_made_once_and_are_private(tmp_path: Path):
    folder = DemoFolder(tmp_path / "demo")
    folder.claim()
    secrets = folder.secrets()
    assert folder.secrets() == secrets
    assert len(secrets.admin_password) >= 32 and len(secrets.user_password) >= 8
    assert stat.S_IMODE((folder / "secrets.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    folder.release()


def test_a_port_is_kept_until_somebody_else_has_it(tmp_path: Path):
    folder = DemoFolder(tmp_path)
    port = folder.ports("hub")["hub"]
    assert folder.ports("hub")["hub"] == port
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        assert not is_free(port)
        assert folder.ports("hub")["hub"] != port


def test_no_account_hub_or_web_proxy_leaks_in():
    mine = {
        "AWS_PROFILE": "work",
        "AWS_SESSION_TOKEN": "x",
        "AWS_ACCESS_KEY_ID": "mine",
        "JUPYTERHUB_API_TOKEN": "x",
        "CONFIGPROXY_AUTH_TOKEN": "x",
        "HTTPS_PROXY": "http://proxy",
        "HOME": "/home/me",
    }
    clean = clean_environment(mine)
    assert clean["HOME"] == "/home/me"
    assert clean["AWS_ACCESS_KEY_ID"] == "local"
    assert clean["AWS_CONFIG_FILE"] == clean["AWS_SHARED_CREDENTIALS_FILE"] == os.devnull
    assert clean["AWS_EC2_METADATA_DISABLED"] == "true"
    assert not {
        "AWS_PROFILE",
        "AWS_SESSION_TOKEN",
        "JUPYTERHUB_API_TOKEN",
        "CONFIGPROXY_AUTH_TOKEN",
        "HTTPS_PROXY",
    } & set(clean)


async def test_a_child_is_stopped_with_what_it_started(tmp_path: Path):
    parent = (
        "import subprocess, sys, time;"
        f"child = subprocess.Popen([sys.executable, '-c', {SLEEPER!r}]);"
        "print(child.pid, flush=True); time.sleep(600)"
    )
    child = await Child.start(program(tmp_path, sys.executable, "-c", parent))
    await until(lambda: "awake" in child.log_tail(), "the grandchild")
    grandchild = Process.of(int(child.log_tail().split()[0]))
    await child.stop()
    await until(lambda: not grandchild.alive, "the grandchild's end")
    assert not child.running


async def test_a_child_that_ignores_the_polite_way_is_killed(tmp_path: Path):
    deaf = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPER}"
    child = await Child.start(program(tmp_path, sys.executable, "-c", deaf))
    await until(lambda: "awake" in child.log_tail(), "the child")
    await child.stop(patience_seconds=0.2)
    assert await child.ended() == -signal.SIGKILL


async def test_a_child_does_not_outlive_a_demo_that_was_killed(tmp_path: Path):
    demo = (
        "import asyncio, sys; from pathlib import Path;"
        "from tests_house_program import main; asyncio.run(main(Path(sys.argv[1])))"
    )
    (tmp_path / "tests_house_program.py").write_text(
        "import asyncio, os, sys\n"
        "from cloudjhub.demo.child import Child, Program\n"
        "async def main(folder):\n"
        f"    command = [sys.executable, '-c', {SLEEPER!r}]\n"
        "    log = folder / 'sleeper.log'\n"
        "    child = await Child.start(Program('s', command, dict(os.environ), folder, log))\n"
        "    print(child.pid, flush=True)\n"
        "    await asyncio.sleep(600)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    outer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", demo, str(tmp_path), stdout=-1, env=environment
    )
    child = Process.of(int(await asyncio.wait_for(outer.stdout.readline(), 60)))
    log = tmp_path / "sleeper.log"
    await until(lambda: "awake" in log.read_text(), "the child")
    outer.kill()
    await outer.wait()
    await until(lambda: not child.alive, "the child's end")
