"""``python -m cloudjhub.local``."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from local.clouds import client_of
from local.test_persistence import serve

from cloudjhub.local import processes


def run(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cloudjhub.local", *options],
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    "number", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGTERM]
)
def test_it_serves_until_told_to_end(tmp_path: Path, number: signal.Signals) -> None:
    server, exported, printed = serve(tmp_path / "state", "--variant", "plain")
    try:
        assert "machines (plain)" in printed
        assert exported["AWS_ENDPOINT_URL"].startswith("http://127.0.0.1:")
        assert set(exported) == {
            "AWS_ENDPOINT_URL",
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_DEFAULT_REGION",
        }
        environment = os.environ | exported
        code = "import boto3; print(len(boto3.client('ec2').describe_vpcs()['Vpcs']))"
        seen = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True
        )
        assert seen.stdout == "1\n", seen.stderr
    finally:
        server.send_signal(number)
        rest, _ = server.communicate(timeout=60)
    assert server.returncode == 0, rest
    assert processes.Finder(tmp_path / "state")() == []


@pytest.mark.slow
def test_a_folder_in_use(tmp_path: Path) -> None:
    server, _, _ = serve(tmp_path / "state", "--variant", "standin")
    try:
        second = run("--state", str(tmp_path / "state"))
        assert second.returncode == 1
        assert "is using" in second.stderr and "Traceback" not in second.stderr
    finally:
        server.terminate()
        server.communicate(timeout=60)


@pytest.mark.slow
def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        answer = run("--state", str(tmp_path / "state"), "--port", port, "--variant", "standin")
    assert (answer.returncode, "Cannot listen" in answer.stderr) == (1, True)


def test_wrong_arguments() -> None:
    for wrong in (["--port", "x"], ["--boot-seconds", "-1"], ["--variant", "cloud"]):
        assert run(*wrong).returncode == 2


@pytest.mark.slow
def test_other_services_are_moto_s(tmp_path: Path) -> None:
    import boto3

    server, exported, _ = serve(tmp_path / "state", "--variant", "standin")
    try:
        keys = {
            "aws_access_key_id": "local",
            "aws_secret_access_key": "local",
            "region_name": "us-east-1",
            "endpoint_url": exported["AWS_ENDPOINT_URL"],
        }
        assert boto3.client("sts", **keys).get_caller_identity()["Account"] == "123456789012"
        client_of(exported["AWS_ENDPOINT_URL"]).describe_instances()
    finally:
        server.terminate()
        server.communicate(timeout=60)
