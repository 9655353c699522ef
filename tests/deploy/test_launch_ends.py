"""How a launch ends that does not come to its end."""

import subprocess
import sys
from pathlib import Path

import pytest
from deploy.launches import Machines, run, what_exists
from deploy.networks import Account

from cloudjhub.account import images
from cloudjhub.account.machines import run_arguments
from cloudjhub.deploy import closing, requests

pytestmark = pytest.mark.slow

LAUNCH = Path(__file__).resolve().parents[2] / "launch_cluster" / "launch.py"


def test_a_second_ctrl_c_leaves_the_words_on_how_to_go_on(
    account: Account,
    machines: Machines,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    machines.failure = KeyboardInterrupt()
    monkeypatch.setattr(closing, "_existing", interrupted)
    assert run(account, "twice") == 130
    error = capsys.readouterr().err
    assert "Undo: scripts/teardown.py twice" in error and "scripts/status.py twice" in error
    assert "Nothing was created" not in error


def test_no_builder_goes_on_after_a_defect_of_ours(account: Account, machines: Machines):
    machines.failure = ValueError("nobody thought of this")
    with pytest.raises(ValueError, match="nobody thought"):
        run(account, "defect")
    assert "builder" not in what_exists(account, "defect")


def test_a_builder_ends_by_itself_where_nobody_comes_back(account: Account):
    settings = account.settings()
    image = images.image(account.clients.ec2, settings.base_ami)
    assert image
    asked = run_arguments(requests.builder(settings, image, ()), "token")
    assert asked["InstanceInitiatedShutdownBehavior"] == "terminate"
    assert "shutdown -h +" in asked["UserData"]
    manager = run_arguments(requests.manager(settings, image, (), profile=""), "token")
    assert manager["InstanceInitiatedShutdownBehavior"] == "stop" and "UserData" not in manager


def test_checks_whose_reader_has_gone_end_quietly(account: Account):
    """As with `| head -1`."""
    process = subprocess.Popen(
        [sys.executable, str(LAUNCH), *account.arguments(CLUSTER_NAME="piped"), "--check"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.close()
    _, error = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "Traceback" not in error and "Broken pipe" not in error
