"""A machine that vanishes from the network in the middle of a command; needs root.

Run as a program, in a network of its own, this file is the hub's side of it.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from cloudjhub import remote
from cloudjhub.errors import MachineNotAnswering

COMMAND_SECONDS = 250


@pytest.mark.slow
def test_machine_that_vanishes_is_noticed_long_before_its_command_ends(keys):
    if not shutil.which("ip") or not shutil.which("unshare"):
        pytest.skip("no programs for networks here")
    if subprocess.run(["unshare", "--net", "true"], capture_output=True).returncode != 0:
        pytest.skip("a network of one's own needs root")
    paths = [str(Path(__file__).parents[1]), str(Path(remote.__file__).parents[1])]
    done = subprocess.run(
        ["unshare", "--net", sys.executable, __file__, str(keys)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        timeout=COMMAND_SECONDS / 2,
    )
    assert "cut off in the middle" in done.stdout, done.stderr


def main(keys: Path) -> None:
    from remote.conftest import start_machine

    link("up")
    with tempfile.TemporaryDirectory() as folder:
        machine = start_machine(Path(folder), keys)
        try:
            session = machine.connect()
            session.run("true", timeout_seconds=60)
            link("down")
            session.run(f"sleep {COMMAND_SECONDS}", timeout_seconds=COMMAND_SECONDS)
        except MachineNotAnswering as error:
            print(error)
        finally:
            machine.end()


def link(state: str) -> None:
    subprocess.run(["ip", "link", "set", "lo", state], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
