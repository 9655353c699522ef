"""What an operator's laptop must have, and need not have."""

import os
import re
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
LAUNCH = CHECKOUT / "launch_cluster/launch.py"


def test_requirements_are_those_of_the_package():
    named = re.findall(r'"([a-z0-9]+[><=][^";]*)"', (CHECKOUT / "pyproject.toml").read_text())
    lines = (CHECKOUT / "launch_cluster/requirements.txt").read_text().splitlines()
    wanted = [line for line in lines if line and not line.startswith("#")]
    assert {line.split(">")[0] for line in wanted} >= {"boto3", "paramiko", "pydantic"}
    assert set(wanted) <= set(named)


def test_neither_hub_nor_local_ec2_is_needed():
    program = "import sys, cloudjhub.deploy.launch; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not {"jupyterhub", "tornado", "moto", "aiolimiter"} & set(done.stdout.split())


def test_the_command_stands_alone(tmp_path: Path):
    assert os.access(LAUNCH, os.X_OK)
    done = subprocess.run(
        [sys.executable, LAUNCH, "--help"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for place in ("CLUSTER_NAME", "BASE_AMI", "PRIVATE_SUBNET_ID", "PUBLIC_SUBNET_ID"):
        assert place in done.stdout
    assert "--worker_instance_type" in done.stdout and "--check" in done.stdout
