"""The corners that rot first: metadata, commands, documents, secrets."""

import json
import re
import subprocess
import sys
from importlib.metadata import entry_points, metadata
from pathlib import Path

import pytest
from pydantic import ValidationError

import cloudjhub
from cloudjhub.config import ClusterConfig

# The launch reads these; the names are older than this code.
LAUNCH_KEYS = {
    "MANAGER_INSTANCE_TYPE",
    "WORKER_INSTANCE_TYPE",
    "WORKER_EBS_SIZE",
    "USER_HOME_EBS_SIZE",
    "JUPYTER_NOTEBOOK_TIMEOUT",
    "CUSTOM_WORKER_AMI",
    "SERVER_USERNAME",
    "WORKER_USERNAME",
    "REGION",
    "SERVER_OWNER",
    "IGNORE_PERMISSIONS",
}

SECRETS = {
    "AWS access key": re.compile(r"\b(AKIA|ASIA)[A-Z0-9]{16}\b"),
    "private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/]{40}"),
    "GitHub token": re.compile(r"\bgh[pousr]_[A-Za-z0-9]{36}\b"),
    "path of somebody's computer": re.compile(r"(?<![\w/])/(work|root|Users)/\w+"),
}


def tracked(checkout: Path) -> list[Path]:
    """The files under version control that are text."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=checkout, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    paths = [checkout / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file() and path.suffix not in {".png", ".ico"}]


def test_metadata():
    known = metadata("cloudjhub")
    assert known["Version"] == cloudjhub.__version__
    assert known["License-Expression"] == "BSD-3-Clause"
    assert known["Requires-Python"] == ">=3.10"


def test_the_spawner_is_found_by_its_name():
    (found,) = entry_points(group="jupyterhub.spawners", name="ec2-instance")
    assert found.load() is cloudjhub.InstanceSpawner


def test_dependencies_are_named_in_one_place(checkout: Path):
    lines = (checkout / "requirements.txt").read_text().splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == ["-e ."]
    assert "install_requires" not in (checkout / "setup.py").read_text()


def test_instance_config_has_every_known_key(checkout: Path):
    config = json.loads((checkout / "instance_config.json").read_text())
    assert set(config) >= LAUNCH_KEYS


def test_keys_shared_with_the_hub_have_its_types(checkout: Path):
    config = json.loads((checkout / "instance_config.json").read_text())
    fields = {str(info.alias): name for name, info in ClusterConfig.model_fields.items()}
    shared = config.keys() & fields.keys()
    assert {"WORKER_INSTANCE_TYPE", "POOL", "MAX_MACHINES"} <= shared
    with pytest.raises(ValidationError) as incomplete:
        ClusterConfig.model_validate({key: config[key] for key in shared})
    # What else it says: keys that the launch adds, and "" for what it finds out.
    wrong = {error["loc"][0] for error in incomplete.value.errors() if error["input"] != ""}
    assert not wrong & shared


def test_the_configuration_page_is_current(checkout: Path):
    generator = checkout / "scripts/_configuration_docs.py"
    done = subprocess.run(
        [sys.executable, str(generator), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_commands_of_the_readme_exist(checkout: Path):
    text = (checkout / "README.md").read_text()
    named = set(re.findall(r"\b(?:scripts|launch_cluster)/[\w.]+\b", text))
    # What a user makes of its example, and what pip and CloudFormation are given.
    files = {name for name in named if name.endswith((".txt", ".yaml", "secure.py", ".example"))}
    assert {"scripts/demo", "scripts/test", "launch_cluster/launch.py"} <= named - files
    for command in named - files:
        assert (checkout / command).stat().st_mode & 0o111, f"{command} cannot be executed"
    for name in files - {"launch_cluster/secure.py"}:
        assert (checkout / name).is_file(), f"there is no {name}"


def test_links_of_the_documents_lead_somewhere(checkout: Path):
    for page in [checkout / "README.md", *(checkout / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("folder", [".", "fleet", "demo"])
def test_the_architecture_page_names_every_module(checkout: Path, folder: str):
    page = (checkout / "docs/architecture.md").read_text()
    shown = f"{folder}/" if folder == "fleet" else ""
    modules = [path.name for path in (checkout / "cloudjhub" / folder).glob("*.py")]
    named = {name for name in modules if f"`{shown}{name}`" in page}
    assert not {name for name in modules if not name.startswith("__")} - named


@pytest.mark.parametrize("command", ["demo", "test"])
def test_help_says_how(checkout: Path, command: str):
    arguments = {
        "demo": [sys.executable, str(checkout / "scripts/demo"), "--help"],
        "test": [sys.executable, str(checkout / "scripts/test"), "--help"],
    }[command]
    done = subprocess.run(arguments, cwd=checkout, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"scripts/{command}" in done.stdout


def test_no_secrets_and_no_private_paths(checkout: Path):
    this_file = Path(__file__).resolve()
    for path in tracked(checkout):
        if path == this_file:
            continue
        text = path.read_text(errors="replace")
        for what, pattern in SECRETS.items():
            found = pattern.search(text)
            assert not found, f"{path.relative_to(checkout)} holds a {what}: {found[0]}"


def test_no_file_grows_out_of_hand(checkout: Path):
    for path in [*(checkout / "cloudjhub").rglob("*.py"), *(checkout / "scripts").iterdir()]:
        if path.is_file():
            length = len(path.read_text().splitlines())
            assert length <= 330, f"{path.relative_to(checkout)} has {length} lines"
