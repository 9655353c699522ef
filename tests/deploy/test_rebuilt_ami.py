"""A worker AMI that an upgrade makes anew is made from the cluster's own settings."""

import pytest
from deploy import test_upgrade
from deploy.test_upgrade import Operator, use_ami, with_cluster

from cloudjhub.account import images
from cloudjhub.deploy import upgrade_steps
from cloudjhub.deploy.provision import upgrade as provision
from cloudjhub.deploy.steps import worker_image

config_values = test_upgrade.config_values
manager = test_upgrade.manager
operator = test_upgrade.operator


@pytest.mark.slow
def test_a_new_ami_is_made_as_the_cluster_is(operator: Operator, monkeypatch, tmp_path):
    made = with_cluster(operator, [])
    said = {"NOTEBOOK_USERNAME": "student", "WORKER_EBS_SIZE": 20, "SERVER_OWNER": "physics"}
    use_ami(operator, IDLE_ACTION="hibernate", **said)
    use_ami(operator, SUBNET_ID=["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"])
    secret = "https://me:password@example.edu/simple"
    noted = f"# class\nnumpy==2\n--extra-index-url {secret}\npandas\n"
    provision.note_requirements(operator.manager, noted)
    built = []

    def make(site):
        built.append((site.settings, worker_image.worker_plan(site)))
        return images.image(site.ec2, made.ids["image"])

    monkeypatch.setattr(worker_image, "make", make)
    monkeypatch.setattr(worker_image, "ensure_builder", lambda site: None)
    monkeypatch.setattr(upgrade_steps, "unused", lambda *_: None)
    code, out, err = operator.upgrade("--rebuild-worker", "--yes")
    assert code == 0, err
    ((settings, plan),) = built
    assert (plan.notebook_username, plan.requirements) == ("student", noted)
    assert plan.hibernates
    assert (settings.root_disk_gib, settings.server_owner) == (20, "physics")
    assert "packages: numpy==2, pandas, 1 other line." in out and secret not in out + err
    other = tmp_path / "other.txt"
    other.write_text("scipy\n")
    use_ami(operator)
    words = ("--rebuild-worker", "--worker-requirements", str(other))
    assert "packages: scipy." in operator.upgrade(*words)[1]
    assert provision.requirements(operator.manager) == noted
    code, out, err = operator.upgrade(*words, "--yes")
    assert code == 0 and built[-1][1].requirements == "scipy\n", err
    assert provision.requirements(operator.manager) == "scipy\n"
    other.write_bytes(b"caf\xe9")
    assert operator.upgrade(*words)[0] == 2


@pytest.mark.slow
def test_what_keeps_machines_of_a_new_ami_awake_is_said(operator: Operator, manager):
    made = with_cluster(operator, [])
    use_ami(operator, IDLE_ACTION="hibernate", WORKER_INSTANCE_TYPE="t3.large", WORKER_EBS_SIZE=12)
    _, out, _ = operator.upgrade("--rebuild-worker")
    assert "note: WORKER_EBS_SIZE 12: " in out and "t3.large another 8 GiB" in out
    assert "note: BASE_AMI " in out
    _, out, _ = operator.upgrade("--worker-ami", made.ids["image"])
    assert "note: BASE_AMI " not in out
    use_ami(operator, IDLE_ACTION="stop")
    _, out, _ = operator.upgrade("--rebuild-worker")
    assert "worker AMI" in out and "note: WORKER_EBS_SIZE" not in out
