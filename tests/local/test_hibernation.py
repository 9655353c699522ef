"""What EC2 says of machines that hibernate, or are to."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from local.clouds import INSTANT, Cloud, code_of

from cloudjhub.local import LocalSettings

ROOT = {"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 8, "Encrypted": True}}


def launched(cloud: Cloud) -> tuple[str, Callable[[], Any]]:
    """A running machine that is able to, and what hibernates it."""
    (instance_id,) = cloud.launch(
        HibernationOptions={"Configured": True}, BlockDeviceMappings=[ROOT]
    )
    cloud.wait_state(instance_id, "running")
    return instance_id, partial(cloud.api.stop_instances, InstanceIds=[instance_id], Hibernate=True)


def test_a_hibernated_machine_says_so_and_since_when(api_cloud: Cloud) -> None:
    instance_id, hibernate = launched(api_cloud)
    hibernate()
    api_cloud.wait_state(instance_id, "stopped")
    described = api_cloud.instance(instance_id)
    assert described["StateReason"]["Code"] == "Client.UserInitiatedHibernate"
    assert re.fullmatch(
        r"User initiated \(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d GMT\)",
        described["StateTransitionReason"],
    )
    assert described["HibernationOptions"] == {"Configured": True}


def test_a_hibernated_machine_keeps_its_type(api_cloud: Cloud) -> None:
    instance_id, hibernate = launched(api_cloud)
    change = partial(
        api_cloud.api.modify_instance_attribute,
        InstanceId=instance_id,
        InstanceType={"Value": "t3.large"},
    )
    hibernate()
    api_cloud.wait_state(instance_id, "stopped")
    assert code_of(change) == ("UnsupportedHibernationConfiguration", 400)
    api_cloud.api.start_instances(InstanceIds=[instance_id])
    api_cloud.wait_state(instance_id, "running")
    api_cloud.api.stop_instances(InstanceIds=[instance_id])
    api_cloud.wait_state(instance_id, "stopped")
    change()
    assert api_cloud.instance(instance_id)["InstanceType"] == "t3.large"


def test_a_machine_has_to_be_old_enough(make_cloud: Callable[..., Cloud]) -> None:
    settings = {"variant": "standin", "hibernate_after_seconds": 3600.0}
    cloud = make_cloud(LocalSettings(**vars(INSTANT) | settings))
    instance_id, hibernate = launched(cloud)
    assert code_of(hibernate) == ("UnsupportedOperation", 400)
    assert cloud.state(instance_id) == "running"
    cloud.api.stop_instances(InstanceIds=[instance_id])
    cloud.wait_state(instance_id, "stopped")
    described = cloud.instance(instance_id)
    assert described["StateReason"]["Code"] == "Client.UserInitiatedShutdown"
