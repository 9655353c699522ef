"""What an operator's laptop must have, and need not have."""

import os
import re
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CHECKOUT = Path(__file__).resolve().parents[2]
LAUNCH = CHECKOUT / "launch_cluster/launch.py"


def test_requirements_are_those_of_the_package():
    named = re.findall(r'"([a-z0-9]+[><=][^";]*)"', (CHECKOUT / "pyproject.toml").read_text())
    lines = (CHECKOUT / "launch_cluster/requirements.txt").read_text().splitlines()
    wanted = [line for line in lines if line and not line.startswith("#")]
    assert {line.split(">")[0] for line in wanted} >= {"boto3", "paramiko", "pydantic"}
    assert set(wanted) <= set(named)


def test_nothing_else_is_needed():
    verbs = [f"cloudjhub.{name}" for name in ("command", "deploy", "account", "policy")]
    program = f"""
import importlib, pkgutil, sys
for name in {verbs!r}:
    found = importlib.import_module(name)
    for each in pkgutil.walk_packages(getattr(found, "__path__", []), name + "."):
        importlib.import_module(each.name)
print(*sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    modules = {name.partition(".")[0] for name in done.stdout.split()}
    packages = packages_distributions()
    imported = {name_of(each) for module in modules for each in packages.get(module, [])}
    assert {"boto3", "paramiko", "pydantic", "cronsim"} <= imported
    given = required_by((CHECKOUT / "launch_cluster/requirements.txt").read_text())
    # botocore and paramiko's invoke take these where they happen to be.
    assert imported - given <= {"certifi", "pyyaml"}


def required_by(requirements: str) -> set[str]:
    """The packages that these bring along, those of packages included, and our own."""
    wanted = [line for line in requirements.splitlines() if line and not line.startswith("#")]
    found = {"cloudjhub"}
    while wanted:
        requirement = Requirement(wanted.pop())
        name = name_of(requirement.name)
        if name in found or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        found.add(name)
        with suppress(PackageNotFoundError):
            wanted += distribution(name).requires or []
    return found


def name_of(package: str) -> str:
    """As it is compared: https://packaging.python.org/en/latest/specifications/name-normalization/."""
    return canonicalize_name(package)


def test_the_command_stands_alone(tmp_path: Path):
    assert os.access(LAUNCH, os.X_OK)
    done = subprocess.run(
        [sys.executable, LAUNCH, "--help"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for place in ("CLUSTER_NAME", "BASE_AMI", "PRIVATE_SUBNET_ID", "PUBLIC_SUBNET_ID"):
        assert place in done.stdout
    assert "--worker_instance_type" in done.stdout and "--check" in done.stdout
