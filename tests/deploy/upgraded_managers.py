"""A manager that is a folder of this computer, and an operator who upgrades it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from deploy.made_clusters import CHECKOUT, Made, Place

from cloudjhub.deploy import upgrade, upgrade_steps
from cloudjhub.remote_values import Output


class Folder:
    """A manager's files, in a folder; commands run here, for real, with its paths.

    What ``sudo`` and the manager's own Python would do is done by this account and this Python.
    """

    fingerprint = "SHA256:x"

    def __init__(self, folder: Path, python: str):
        self.folder, self.python = folder, python
        self.scripts: list[str] = []

    def run(self, command, *, stdin=b"", timeout_seconds, on_line=None) -> Output:
        for old, new in (
            ("sudo -n -u jupyterhub ", ""),
            ("sudo -n ", ""),
            ("/opt/cloudjhub/venv/bin/python", self.python),
            ("jupyterhub:jupyterhub", ":"),
            ("root:root", ":"),
            ("/etc/jupyterhub", f"{self.folder}/etc"),
            ("/opt/cloudjhub", f"{self.folder}/opt"),
        ):
            command = command.replace(old, new)
        if command.startswith("bash -s"):
            self.scripts.append(command)
            answer = {"before": "0", "cloudjhub": "1.0.0.dev0", "jupyterhub": "6"}
            return Output(0, f"cloudjhub-answer:{json.dumps(answer)}\n")
        done = subprocess.run(
            ["sh", "-c", command], input=stdin, capture_output=True, timeout=60, check=False
        )
        return Output(done.returncode, (done.stdout + done.stderr).decode())

    @property
    def config_file(self) -> Path:
        return self.folder / "etc/server_config.json"

    @property
    def config(self) -> dict:
        return json.loads(self.config_file.read_text())

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass


@pytest.fixture
def manager(tmp_path: Path, config_values) -> Folder:
    """One with a launch behind it."""
    made = Folder(tmp_path / "manager", sys.executable)
    (made.folder / "etc").mkdir(parents=True)
    (made.folder / "opt").mkdir()
    made.config_file.write_text(json.dumps(config_values))
    made.config_file.chmod(0o600)
    text = (CHECKOUT / "jupyterhub_config.py").read_text()
    (made.folder / "etc/jupyterhub_config.py").write_text(text)
    return made


@pytest.fixture
def config_values(tmp_path: Path) -> dict:
    """What server_config.json holds at least."""
    key = tmp_path / "worker_key"
    key.write_text("key")
    return {
        "CLUSTER_NAME": "class1",
        "REGION": "us-east-1",
        "WORKER_AMI": "ami-0123456789abcdef0",
        "WORKER_INSTANCE_TYPE": "t3.small",
        "SUBNET_ID": "subnet-0123456789abcdef0",
        "WORKER_SECURITY_GROUPS": ["sg-0123456789abcdef0"],
        "KEY_NAME": "cloudjhub-class1-worker",
        "WORKER_KEY_FILE": str(key),
    }


class Operator:
    """Runs the verb in this process, with that manager at the other end of SSH."""

    def __init__(self, place: Place, manager: Folder, monkeypatch, capsys, key: Path):
        self.place, self.manager, self._capsys = place, manager, capsys
        self._patch = monkeypatch
        self.key = key
        environment = {**place.environment(), "CLOUDJHUB_SERVER_USERNAME": "admin"}
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(upgrade_steps, "_session", lambda target, pinned: manager)

    def upgrade(self, *arguments: str, typed: str = "") -> tuple[int, str, str]:
        answers = iter(typed.splitlines())

        def read(question):
            print(question)
            try:
                return next(answers)
            except StopIteration:
                raise EOFError from None

        self._patch.setattr("builtins.input", read)
        code = upgrade.main(["class1", "--key_path", str(self.key), *arguments])
        said = self._capsys.readouterr()
        return code, said.out, said.err


@pytest.fixture
def operator(place, manager, monkeypatch, capsys, tmp_path) -> Operator:
    key = tmp_path / "id"
    key.write_text("a key")
    return Operator(place, manager, monkeypatch, capsys, key)


def use_ami(operator: Operator, **changes) -> None:
    """The manager works from the region's worker AMI."""
    now = {**operator.manager.config, "WORKER_AMI": operator.place.config["WORKER_AMI"], **changes}
    operator.manager.config_file.write_text(json.dumps(now))


def with_cluster(operator: Operator, owners=("ada", "bob")) -> Made:
    made = operator.place.cluster("class1", owners)
    use_ami(operator)
    return made
