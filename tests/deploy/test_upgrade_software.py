"""What an upgrade of the hub's software does with the files on a manager, and what it leaves."""

import hashlib
import json
from pathlib import Path

import pytest
from deploy import upgraded_managers
from deploy.made_clusters import CHECKOUT
from deploy.upgraded_managers import Folder, Operator, use_ami, with_cluster

from cloudjhub.deploy import upgrade_steps
from cloudjhub.deploy.provision import upgrade as provision
from cloudjhub.deploy.provision.wheel import Wheel
from cloudjhub.naming import OUTDATED_TAG

manager, operator = upgraded_managers.manager, upgraded_managers.operator
config_values = upgraded_managers.config_values


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


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("c = get_config()\n", True),
        ("from cloudjhub.culler import service as culler\n# mine\n", False),
        (None, False),
    ],
)
def test_a_hub_configuration_of_ones_own_gets_what_it_lacks_about_idle_machines(
    manager: Folder, text: str | None, named: bool
):
    ours = (CHECKOUT / "jupyterhub_config.py").read_text()
    (manager.folder / "etc/jupyterhub_config.py").write_text(ours if text is None else text)
    provision.upgrade_hub(manager, Wheel("cloudjhub.whl", b"wheel"), "10.0.0.1")
    idle = (manager.folder / "opt/idle-new").read_text()
    assert bool(idle) is named
    if named:
        # As this checkout's own configuration says it.
        said = {line for line in idle.splitlines() if line.startswith(("from", "c.Jupy", "culler"))}
        assert len(said) == 5 and said <= set(ours.splitlines())


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
    added |= {"IDLE_ACTION": "stop", "KEEP_HOURS": 12, "MAX_AGE_HOURS": 0, "SWEEP": "stop"}
    assert operator.manager.config == before | added
    name = f"cloudjhub-{made.name}-manager"
    policy = operator.place.iam.get_role_policy(RoleName=name, PolicyName=name)["PolicyDocument"]
    # The role's policy has all subnets, and the rights of this version.
    assert all(subnet in json.dumps(policy) for subnet in subnets)
    assert "ec2:ModifyInstanceAttribute" in json.dumps(policy)
    _, out, _ = operator.upgrade("--software")
    assert "keys it lacks" not in out
