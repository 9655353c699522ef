"""What an upgrade says, asks and does; on a manager that is a folder of this computer.

A real manager is upgraded in tests/machines/test_upgrade.py.
"""

import json

import pytest
from deploy import upgraded_managers
from deploy.upgraded_managers import Folder, Operator, use_ami, with_cluster

from cloudjhub.deploy.provision import upgrade as provision
from cloudjhub.deploy.provision.shell import ProvisionError
from cloudjhub.naming import role_tags

manager, operator = upgraded_managers.manager, upgraded_managers.operator
config_values = upgraded_managers.config_values


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
