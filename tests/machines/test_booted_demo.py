"""The demo on machines that boot: what a newcomer does, and nothing is left."""

import subprocess
import sys
from pathlib import Path

import pytest
from local.clouds import wait_for
from machines.clouds import need_root
from machines.remains import what_is_left

# At the first time on a computer the image of users' machines is made.
pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(1200)]


def test_the_demos_check_holds_on_machines_that_boot(tmp_path: Path):
    need_root()
    state = tmp_path / "demo"
    command = [sys.executable, "-m", "cloudjhub.demo", "--machines", "booted", "--check"]
    command += ["--state", str(state), "--boot-seconds", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Everything holds" in done.stdout
    wait_for("nothing left", lambda: not what_is_left(state / "ec2"), 60)
