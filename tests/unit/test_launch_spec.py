"""What RunInstances is asked for."""

import json
from dataclasses import replace

import pytest

from cloudjhub.config import ClusterConfig
from cloudjhub.errors import ConfigError
from cloudjhub.launch_spec import LaunchSpec, launch_spec, run_arguments


@pytest.fixture
def arguments(spec):
    return run_arguments(spec, count=30, client_token="token")


def disks_of(spec) -> dict:
    mappings = run_arguments(spec, count=1, client_token="t")["BlockDeviceMappings"]
    return {mapping["DeviceName"]: mapping["Ebs"] for mapping in mappings}


def test_one_call_asks_for_one_to_all_machines(arguments):
    assert (arguments["MinCount"], arguments["MaxCount"]) == (1, 30)
    assert arguments["ClientToken"] == "token"


def test_the_machine_is_the_configured_one(arguments, config_values):
    assert arguments["ImageId"] == config_values["WORKER_AMI"]
    assert arguments["InstanceType"] == config_values["WORKER_INSTANCE_TYPE"]
    assert arguments["SubnetId"] == config_values["SUBNET_ID"]
    assert arguments["SecurityGroupIds"] == config_values["WORKER_SECURITY_GROUPS"]
    assert arguments["KeyName"] == config_values["KEY_NAME"]


def test_metadata_is_only_given_to_the_machine_itself_and_only_with_a_token(arguments):
    assert arguments["MetadataOptions"]["HttpTokens"] == "required"
    assert arguments["MetadataOptions"]["HttpPutResponseHopLimit"] == 1


def test_a_machine_that_powers_itself_off_is_kept(arguments):
    assert arguments["InstanceInitiatedShutdownBehavior"] == "stop"


def test_there_is_no_user_data(arguments):
    assert "UserData" not in arguments


def test_every_disk_is_encrypted(spec):
    assert [disk["Encrypted"] for disk in disks_of(spec).values()] == [True, True]


def test_the_root_disk_ends_with_the_machine_and_the_home_does_not(config_values, image):
    config = ClusterConfig.model_validate(
        {**config_values, "WORKER_EBS_SIZE": 20, "USER_HOME_EBS_SIZE": 5}
    )
    disks = disks_of(launch_spec(config, replace(image, root_device="/dev/xvda")))
    assert disks["/dev/xvda"] == {
        "VolumeSize": 20,
        "VolumeType": "gp3",
        "Encrypted": True,
        "DeleteOnTermination": True,
    }
    assert disks["/dev/sdf"]["VolumeSize"] == 5
    assert disks["/dev/sdf"]["DeleteOnTermination"] is False


def test_a_machine_for_someone_who_has_a_home_is_born_without_one(config, image):
    assert list(disks_of(launch_spec(config, image, with_home=False))) == ["/dev/sda1"]


def test_homes_on_the_root_disk_need_no_second_disk(config_values, image):
    config = ClusterConfig.model_validate({**config_values, "USER_HOME_EBS_SIZE": 0})
    assert list(disks_of(launch_spec(config, image))) == ["/dev/sda1"]


def test_machine_and_disks_are_tagged_at_birth_and_name_nobody(spec, arguments):
    tags = {
        each["ResourceType"]: {tag["Key"]: tag["Value"] for tag in each["Tags"]}
        for each in arguments["TagSpecifications"]
    }
    common = {"cloudjhub:cluster": "class", "cloudjhub:shape": spec.shape}
    assert tags == {
        "instance": {**common, "cloudjhub:role": "worker"},
        "volume": {**common, "cloudjhub:role": "disk"},
    }


def test_who_pays_is_written_on_machine_and_disks(config_values, image):
    config = ClusterConfig.model_validate({**config_values, "SERVER_OWNER": "grant 7"})
    arguments = run_arguments(launch_spec(config, image), count=1, client_token="t")
    paid = {"Key": "cloudjhub:paid-by", "Value": "grant 7"}
    assert all(paid in each["Tags"] for each in arguments["TagSpecifications"])


def test_nothing_of_the_hubs_key_file_is_in_the_call(config, arguments):
    assert config.worker_key_file not in json.dumps(arguments)


def test_equal_specs_have_equal_shapes(config, image):
    assert launch_spec(config, image).shape == launch_spec(config, image).shape


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("CLUSTER_NAME", "other"),
        ("WORKER_INSTANCE_TYPE", "t3.large"),
        ("SUBNET_ID", "subnet-00000000"),
        ("WORKER_SECURITY_GROUPS", ["sg-00000000"]),
        ("KEY_NAME", "other"),
        ("WORKER_EBS_SIZE", 9),
        ("USER_HOME_EBS_SIZE", 2),
        ("SERVER_OWNER", "grant 7"),
    ],
)
def test_a_machine_of_another_kind_has_another_shape(config_values, image, spec, key, value):
    other = ClusterConfig.model_validate({**config_values, key: value})
    assert launch_spec(other, image).shape != spec.shape


def test_another_image_type_or_home_makes_another_shape(config, image, spec):
    others = [
        launch_spec(config, replace(image, id="ami-00000000")),
        launch_spec(config, image, instance_type="t3.large"),
        launch_spec(config, image, with_home=False),
    ]
    assert len({spec.shape, *(other.shape for other in others)}) == 4


@pytest.mark.parametrize(
    "key", ["WORKER_SSH_PORT", "NOTEBOOK_PORT", "JUPYTER_NOTEBOOK_TIMEOUT", "SPARE_SECONDS"]
)
def test_what_does_not_change_the_machine_does_not_change_its_shape(
    config_values, image, spec, key
):
    other = ClusterConfig.model_validate({**config_values, key: 5000})
    assert launch_spec(other, image).shape == spec.shape


def hibernating(config_values):
    return ClusterConfig.model_validate({**config_values, "IDLE_ACTION": "hibernate"})


def test_machines_are_launched_able_to_hibernate_where_idle_ones_are_to(
    config_values, image, arguments
):
    spec = launch_spec(hibernating(config_values), image)
    asked = run_arguments(spec, count=30, client_token="token")
    assert asked.pop("HibernationOptions") == {"Configured": True}
    assert "HibernationOptions" not in arguments
    refused = run_arguments(spec, count=30, client_token="token", may_hibernate=False)
    assert refused == asked  # of the same shape, as nothing better is to be had


def test_machines_that_can_hibernate_are_of_another_shape(config_values, image, spec):
    able = launch_spec(hibernating(config_values), image)
    assert able.shape != spec.shape
    assert able.shape == replace(able, zone="z").shape


def test_the_shape_of_machines_that_are_there_already_stays():
    spec = LaunchSpec(
        cluster="class",
        image_id="ami-1",
        instance_type="t3.medium",
        subnet_id="subnet-1",
        security_groups=("sg-1",),
        key_name="key",
        root_device="/dev/sda1",
        root_gib=8,
        home_gib=1,
        server_owner="",
    )
    assert spec.shape == "45eead6003e62a04"  # as machines carry it since the first release


def test_a_root_disk_smaller_than_the_images_is_refused_with_the_size_it_needs(config, image):
    with pytest.raises(ConfigError, match=r"WORKER_EBS_SIZE: 8: .*make it 30 or more"):
        launch_spec(config, replace(image, root_gib=30))
