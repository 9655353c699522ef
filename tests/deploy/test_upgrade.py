"""What an upgrade says, asks and does; on a manager that is a folder of this computer.

A real manager is upgraded in tests/machines/test_upgrade.py.
"""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from deploy.made_clusters import CHECKOUT, Made, Place

from cloudjhub.deploy import upgrade, upgrade_steps
from cloudjhub.deploy.provision import upgrade as provision
from cloudjhub.deploy.provision.shell import ProvisionError
from cloudjhub.deploy.provision.wheel import Wheel
from cloudjhub.naming import OUTDATED_TAG, role_tags
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


# -- the AMI


@pytest.mark.slow
def test_it_says_what_changes_for_whom_and_asks(operator: Operator):
    made = with_cluster(operator)
    operator.place.api.stop_instances(InstanceIds=[made.workers["bob"]])
    before = operator.manager.config_file.read_text()
    for typed in ("", "no\n", "y\n"):
        code, out, _ = operator.upgrade("--worker-ami", made.ids["image"], typed=typed)
        assert code == 0
        assert f"becomes {made.ids['image']}" in out
        assert "2 users get another machine with their files at their next start; 1 of" in out
        assert "Nothing was changed." in out
        assert operator.manager.config_file.read_text() == before


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["--yes"], []])
def test_the_ami_is_written_whole_with_its_mode_and_the_rest_stays(operator: Operator, arguments):
    made = with_cluster(operator)
    use_ami(operator, JUPYTER_NOTEBOOK_TIMEOUT=777)
    former = operator.manager.config
    code, out, err = operator.upgrade("--worker-ami", made.ids["image"], *arguments, typed="yes\n")
    assert code == 0, err
    assert operator.manager.config == {**former, "WORKER_AMI": made.ids["image"]}
    assert operator.manager.config_file.stat().st_mode & 0o777 == 0o600
    assert f"--worker-ami {former['WORKER_AMI']}" in out
    assert not operator.manager.scripts  # the hub was not restarted
    again = operator.upgrade("--worker-ami", made.ids["image"], "--yes")
    assert again[0] == 0 and "already" in again[1]


@pytest.mark.slow
def test_who_has_no_home_volume_keeps_the_machine_and_is_named(operator: Operator):
    made = with_cluster(operator, ["ada"])
    use_ami(operator, USER_HOME_EBS_SIZE=0)
    _, out, _ = operator.upgrade("--worker-ami", made.ids["image"])
    assert "0 users get another machine" in out
    assert "with their files on the system disk: ada." in out


@pytest.mark.slow
def test_an_operator_who_forbids_upgrades_is_reminded(operator: Operator):
    made = with_cluster(operator, ["ada"])
    use_ami(operator, UPGRADE_MACHINES="never")
    _, out, _ = operator.upgrade("--worker-ami", made.ids["image"])
    assert "UPGRADE_MACHINES is never: 1 machine stay so" in out


@pytest.mark.slow
def test_an_ami_that_cannot_be_used_changes_nothing(operator: Operator):
    with_cluster(operator, [])
    before = operator.manager.config_file.read_text()
    code, _, err = operator.upgrade("--worker-ami", "ami-00000000000000bad", "--yes")
    assert code == 2
    assert "ami-00000000000000bad" in err and "does not exist" in err
    use_ami(operator, WORKER_EBS_SIZE=1)
    code, _, err = operator.upgrade("--worker-ami", operator.place.config["WORKER_AMI"], "--yes")
    assert code == 2
    assert "more than WORKER_EBS_SIZE" in err
    assert {**json.loads(before), "WORKER_EBS_SIZE": 1} == operator.manager.config


@pytest.mark.slow
def test_a_configuration_that_the_hub_would_refuse_is_not_written(operator: Operator):
    made = with_cluster(operator, [])
    use_ami(operator, WORKER_INSTANCE_TIPE="t3.large")
    before = operator.manager.config_file.read_text()
    code, _, err = operator.upgrade("--worker-ami", made.ids["image"], "--yes")
    assert code == 1
    assert "WORKER_INSTANCE_TIPE" in err and "did you mean WORKER_INSTANCE_TYPE" in err
    assert "Nothing was changed" in err
    assert operator.manager.config_file.read_text() == before


@pytest.mark.slow
def test_the_managers_role_may_launch_from_a_foreign_ami(operator: Operator):
    with_cluster(operator, [])
    foreign = operator.place.api.register_image(Name="the department's")["ImageId"]
    code, out, err = operator.upgrade("--worker-ami", foreign, "--yes")
    assert code == 0, err
    name = "cloudjhub-class1-manager"
    policy = operator.place.iam.get_role_policy(RoleName=name, PolicyName=name)
    assert foreign in json.dumps(policy["PolicyDocument"])
    assert f"this version's policy and {foreign}" in out
    own = operator.place.api.create_image(
        InstanceId=operator.place.cluster_manager("class1"), Name="own"
    )["ImageId"]
    tags = [{"Key": k, "Value": v} for k, v in role_tags("class1", "worker-image").items()]
    operator.place.api.create_tags(Resources=[own], Tags=tags)
    code, out, err = operator.upgrade("--worker-ami", own, "--yes")
    assert code == 0 and "this version's policy." in out
    policy = operator.place.iam.get_role_policy(RoleName=name, PolicyName=name)
    assert foreign not in json.dumps(policy["PolicyDocument"])


# -- the software


@pytest.mark.slow
def test_without_more_said_the_software_is_upgraded(operator: Operator, monkeypatch):
    with_cluster(operator)
    code, out, _ = operator.upgrade()
    assert code == 0
    assert "becomes this checkout's" in out and "2 machines of users and their servers" in out
    assert "Nothing was changed." in out and not operator.manager.scripts
    code, out, err = operator.upgrade("--yes")
    assert code == 0, err
    (script,) = operator.manager.scripts
    assert "cloudjhub-1" in script and ".whl" in script
    assert list((operator.manager.folder / "opt/incoming").glob("*.whl"))
    assert "answers" in out
    # What the new version asks of AWS that the former one did not.
    name = "cloudjhub-class1-manager"
    policy = operator.place.iam.get_role_policy(RoleName=name, PolicyName=name)
    assert OUTDATED_TAG in json.dumps(policy["PolicyDocument"])


@pytest.mark.slow
def test_a_role_of_somebody_elses_is_left_and_named(operator: Operator):
    with_cluster(operator, [])
    name = "cloudjhub-class1-manager"
    operator.place.iam.untag_role(RoleName=name, TagKeys=["cloudjhub:cluster"])
    before = operator.place.iam.get_role_policy(RoleName=name, PolicyName=name)["PolicyDocument"]
    code, _, err = operator.upgrade("--yes")
    assert code == 0
    assert "role was not made by this cluster's launch" in err
    after = operator.place.iam.get_role_policy(RoleName=name, PolicyName=name)["PolicyDocument"]
    assert after == before


@pytest.mark.slow
def test_a_hub_configuration_of_ones_own_is_left_and_named(operator: Operator):
    with_cluster(operator, [])
    (operator.manager.folder / "etc/jupyterhub_config.py").write_text("c = get_config()\n")
    _, out, _ = operator.upgrade()
    assert "jupyterhub_config.py on the manager differs" in out and "begin_with_hub()" in out


def test_every_hub_configuration_that_was_shipped_is_known():
    ours = (CHECKOUT / "jupyterhub_config.py").read_bytes()
    remedy = "jupyterhub_config.py has changed: add its SHA-256 at the end"
    assert hashlib.sha256(ours).hexdigest() == provision.SHIPPED[-1], remedy


@pytest.mark.parametrize("ending", ["", "# mine\n"])
def test_a_hub_configuration_of_the_first_version_becomes_new_unless_it_was_changed(
    manager: Folder, monkeypatch, ending: str
):
    first = "c = get_config()\n"  # of clusters without a copy of what was written
    digest = hashlib.sha256(first.encode()).hexdigest()
    monkeypatch.setattr(provision, "SHIPPED", (digest, *provision.SHIPPED))
    (manager.folder / "etc/jupyterhub_config.py").write_text(first + ending)
    assert provision.hub_config(manager) == ("own" if ending else "older")


def test_after_an_upgrade_that_was_cut_off_the_hub_configuration_is_nobodys_own(
    manager: Folder, tmp_path: Path
):
    """It was put into place, and the copy beside it is still of the version before."""
    ours, wheel = (CHECKOUT / "jupyterhub_config.py").read_text(), Wheel("cloudjhub.whl", b"wheel")
    written = manager.folder / "opt/jupyterhub_config-written.py"
    written.write_text("c = get_config()\n")
    provision.upgrade_hub(manager, wheel, "10.0.0.1")
    assert (manager.folder / "opt/config-new").read_text() == ""
    assert written.read_text() == ours
    # So the next version renews it.
    next_one = tmp_path / "jupyterhub_config.py"
    next_one.write_text(f"{ours}# newer\n")
    assert provision.hub_config(manager, tmp_path) == "older"


@pytest.mark.slow
def test_a_hub_configuration_that_nobody_has_changed_becomes_new(operator: Operator, monkeypatch):
    with_cluster(operator, [])
    monkeypatch.setattr(upgrade_steps, "build_wheel", lambda: Wheel("cloudjhub.whl", b"wheel"))
    folder, ours = operator.manager.folder, (CHECKOUT / "jupyterhub_config.py").read_text()
    for path in ("etc/jupyterhub_config.py", "opt/jupyterhub_config-written.py"):
        (folder / path).write_text("c = get_config()\n")
    code, out, err = operator.upgrade("--software", "--yes")
    assert code == 0, err
    assert "which nobody has changed there, becomes new too" in out and "differs" not in out
    # What the script on the manager puts into place, and takes back where the hub does not start.
    assert (folder / "opt/config-new").read_text() == ours
    (folder / "etc/jupyterhub_config.py").write_text("c = get_config()\nc.Spawner.debug = True\n")
    code, out, err = operator.upgrade("--software", "--yes")
    assert code == 0 and "jupyterhub_config.py on the manager differs" in out
    assert (folder / "opt/config-new").read_text() == ""


@pytest.mark.slow
def test_what_an_upgrade_does_not_reach_is_said(operator: Operator):
    made = with_cluster(operator, [])
    assert "is PostgreSQL" not in operator.upgrade()[1]
    folder = operator.manager.folder / "etc/jupyterhub_config.d"
    folder.mkdir()
    url = "c.JupyterHub.db_url = 'postgresql+psycopg://hub@db.example.edu:5432/hub'\n"
    (folder / "10-manager.py").write_text(url)
    _, out, _ = operator.upgrade()
    assert "What else the launch wrote stays" in out and "make a copy before (pg_dump)" in out
    _, out, _ = operator.upgrade("--worker-ami", made.ids["image"])
    assert "only state, size and architecture were looked at" in out


@pytest.mark.slow
def test_new_keys_are_added_and_those_that_are_there_are_left(operator: Operator, monkeypatch):
    made = with_cluster(operator, [])
    subnets = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]
    use_ami(operator, SUBNET_ID=subnets, POOL={"mon 08:50-10:00 UTC": 3}, MAX_MACHINES=40)
    monkeypatch.setattr(upgrade_steps, "build_wheel", lambda: Wheel("cloudjhub.whl", b"wheel"))
    before = operator.manager.config
    code, out, err = operator.upgrade("--software", "--yes")
    assert code == 0, err
    assert "keys it lacks, with defaults: MOVE_HOMES, WHEN_FULL, POOL_STATE" in out
    added = {"MOVE_HOMES": "ask", "WHEN_FULL": "queue", "POOL_STATE": "running"}
    added |= {"POOL_MAX": 50, "POOL_SPARE_HOURS": 24}
    assert operator.manager.config == before | added
    name = f"cloudjhub-{made.name}-manager"
    policy = operator.place.iam.get_role_policy(RoleName=name, PolicyName=name)["PolicyDocument"]
    # The role's policy has all subnets, and the rights of this version.
    assert all(subnet in json.dumps(policy) for subnet in subnets)
    assert "ec2:ModifyInstanceAttribute" in json.dumps(policy)
    _, out, _ = operator.upgrade("--software")
    assert "keys it lacks" not in out


# -- what is refused before anything happens


@pytest.mark.slow
def test_an_unknown_cluster_and_one_without_a_manager(operator: Operator):
    code, _, err = operator.upgrade("--yes")
    assert code == 1 and "There is no cluster class1" in err
    made = with_cluster(operator, [])
    operator.place.api.stop_instances(InstanceIds=[made.ids["manager"]])
    manager = made.ids["manager"]
    operator.place.until(lambda: operator.place.state(manager) == "stopped", "its stop")
    code, _, err = operator.upgrade("--yes")
    assert code == 1 and "is stopped; it must run" in err


@pytest.mark.slow
def test_without_a_key_nobody_logs_in(operator: Operator):
    with_cluster(operator, [])
    operator.key.unlink()
    code, _, err = operator.upgrade("--yes")
    assert code == 2 and "KEY_PATH" in err


# -- the parts


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_a_broken_configuration_is_named(manager: Folder, text: str):
    manager.config_file.write_text(text)
    with pytest.raises(ProvisionError, match=r"server_config\.json on the manager"):
        provision.server_config(manager)


def test_a_manager_without_a_configuration_is_sent_back_to_the_launch(manager: Folder):
    manager.config_file.unlink()
    with pytest.raises(ProvisionError) as refused:
        provision.server_config(manager)
    assert "Run the launch again" in refused.value.remedy


def test_used_amis_are_remembered_in_order(manager: Folder):
    assert provision.used_amis(manager) == []
    provision.note_used(manager, "ami-1", "ami-2")
    provision.note_used(manager, "ami-2", "ami-3")
    assert provision.used_amis(manager) == ["ami-1", "ami-2", "ami-3"]
