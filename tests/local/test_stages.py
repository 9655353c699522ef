"""Stages take their time, and what EC2 forbids in one of them is forbidden."""

from collections.abc import Callable

import pytest
from local.clouds import INSTANT, Cloud, code_of, wait_for

from cloudjhub.local import LocalSettings


def standin(**changes: object) -> LocalSettings:
    return LocalSettings(**vars(INSTANT) | {"variant": "standin"} | changes)


def test_every_stage_is_passed(api_cloud: Cloud) -> None:
    faults = api_cloud.ec2.faults
    for stage in ("pending", "stopping", "shutting_down"):
        faults.hold(stage)
    instance_id = api_cloud.launch()[0]
    assert api_cloud.state(instance_id) == "pending"
    faults.let_go("pending")
    api_cloud.wait_state(instance_id, "running")
    api_cloud.api.stop_instances(InstanceIds=[instance_id])
    assert api_cloud.state(instance_id) == "stopping"
    faults.let_go("stopping")
    api_cloud.wait_state(instance_id, "stopped")
    api_cloud.api.terminate_instances(InstanceIds=[instance_id])
    assert api_cloud.state(instance_id) == "shutting-down"
    faults.let_go("shutting_down")
    api_cloud.wait_state(instance_id, "terminated")


@pytest.mark.parametrize(
    ("stage", "state", "forbidden"),
    [
        ("pending", "pending", ["stop"]),
        ("stopping", "stopping", ["start"]),
        ("shutting_down", "shutting-down", ["start", "stop"]),
    ],
)
def test_illegal_transitions(
    api_cloud: Cloud, stage: str, state: str, forbidden: list[str]
) -> None:
    api = api_cloud.api
    calls = {"start": api.start_instances, "stop": api.stop_instances}
    api_cloud.ec2.faults.hold(stage)
    instance_id = api_cloud.launch()[0]
    if stage != "pending":
        api_cloud.wait_state(instance_id, "running")
        end = api.stop_instances if stage == "stopping" else api.terminate_instances
        end(InstanceIds=[instance_id])
    assert api_cloud.state(instance_id) == state
    for verb in forbidden:
        refused = code_of(lambda verb=verb: calls[verb](InstanceIds=[instance_id]))
        assert refused == ("IncorrectInstanceState", 400)
    assert api_cloud.state(instance_id) == state


def test_repeated_verbs_are_fine(api_cloud: Cloud) -> None:
    api = api_cloud.api
    api_cloud.ec2.faults.hold("pending")
    instance_id = api_cloud.launch()[0]
    started = api.start_instances(InstanceIds=[instance_id])["StartingInstances"][0]
    assert started["CurrentState"] == started["PreviousState"] == {"Code": 0, "Name": "pending"}
    api_cloud.ec2.faults.let_go("pending")
    api_cloud.wait_state(instance_id, "running")
    started = api.start_instances(InstanceIds=[instance_id])["StartingInstances"][0]
    assert started["CurrentState"]["Name"] == "running"
    for _ in range(2):
        api.stop_instances(InstanceIds=[instance_id])
    api_cloud.wait_state(instance_id, "stopped")
    stopped = api.stop_instances(InstanceIds=[instance_id])["StoppingInstances"][0]
    assert stopped["CurrentState"]["Name"] == "stopped"


def test_the_terminated_stay_so_and_are_forgotten(make_cloud: Callable[..., Cloud]) -> None:
    cloud = make_cloud(standin(terminated_seconds=0.0))
    cloud.ec2.faults.hold("terminated")
    instance_id = cloud.launch()[0]
    cloud.api.terminate_instances(InstanceIds=[instance_id])
    cloud.wait_state(instance_id, "terminated")
    assert "PrivateIpAddress" not in cloud.instance(instance_id)
    start = cloud.api.start_instances
    assert code_of(lambda: start(InstanceIds=[instance_id]))[0] == "IncorrectInstanceState"
    again = cloud.api.terminate_instances(InstanceIds=[instance_id])["TerminatingInstances"][0]
    assert again["CurrentState"]["Name"] == "terminated"
    cloud.ec2.faults.let_go("terminated")
    wait_for("no instance listed", lambda: not cloud.api.describe_instances()["Reservations"])
    assert code_of(lambda: cloud.state(instance_id))[0] == "InvalidInstanceID.NotFound"


def test_one_wrong_state_among_many_starts_none(api_cloud: Cloud) -> None:
    stopped, gone = api_cloud.launch(2)
    for instance_id in (stopped, gone):
        api_cloud.wait_state(instance_id, "running")
    api_cloud.api.stop_instances(InstanceIds=[stopped])
    api_cloud.api.terminate_instances(InstanceIds=[gone])
    api_cloud.wait_state(stopped, "stopped")
    both = [stopped, gone]
    refused = code_of(lambda: api_cloud.api.start_instances(InstanceIds=both))
    assert refused[0] == "IncorrectInstanceState"
    assert api_cloud.state(stopped) == "stopped"


def test_termination_overtakes_a_stop(api_cloud: Cloud) -> None:
    instance_id = api_cloud.launch()[0]
    api_cloud.wait_state(instance_id, "running")
    api_cloud.ec2.faults.hold("stopping")
    api_cloud.api.stop_instances(InstanceIds=[instance_id])
    api_cloud.api.terminate_instances(InstanceIds=[instance_id])
    api_cloud.wait_state(instance_id, "terminated")


def test_reasons(api_cloud: Cloud) -> None:
    instance_id = api_cloud.launch()[0]
    api_cloud.wait_state(instance_id, "running")
    assert api_cloud.instance(instance_id).get("StateReason", {}).get("Code", "") == ""
    api_cloud.api.stop_instances(InstanceIds=[instance_id])
    api_cloud.wait_state(instance_id, "stopped")
    stopped = api_cloud.instance(instance_id)
    assert stopped["StateReason"]["Code"] == "Client.UserInitiatedShutdown"
    assert stopped["StateTransitionReason"].startswith("User initiated (")


def test_the_type_changes_only_while_stopped(api_cloud: Cloud) -> None:
    instance_id = api_cloud.launch()[0]
    api_cloud.wait_state(instance_id, "running")

    def change(type_: str) -> None:
        api_cloud.api.modify_instance_attribute(
            InstanceId=instance_id, InstanceType={"Value": type_}
        )

    assert code_of(lambda: change("t3.large"))[0] == "IncorrectInstanceState"
    api_cloud.api.stop_instances(InstanceIds=[instance_id])
    api_cloud.wait_state(instance_id, "stopped")
    assert code_of(lambda: change("t3.enormous"))[0] == "InvalidParameterValue"
    change("t3.large")
    assert api_cloud.instance(instance_id)["InstanceType"] == "t3.large"


def test_protection_from_termination(api_cloud: Cloud) -> None:
    instance_id = api_cloud.launch()[0]
    api_cloud.wait_state(instance_id, "running")
    api_cloud.api.modify_instance_attribute(
        InstanceId=instance_id, DisableApiTermination={"Value": True}
    )
    refused = code_of(lambda: api_cloud.api.terminate_instances(InstanceIds=[instance_id]))
    assert refused[0] == "OperationNotPermitted"
    assert api_cloud.state(instance_id) == "running"


def test_status_checks_follow_the_machine(api_cloud: Cloud) -> None:
    api_cloud.ec2.faults.hold("boot")
    instance_id = api_cloud.launch()[0]
    api_cloud.wait_state(instance_id, "running")

    def status() -> str:
        found = api_cloud.api.describe_instance_status(InstanceIds=[instance_id])
        return found["InstanceStatuses"][0]["InstanceStatus"]["Status"]

    assert status() == "initializing"
    api_cloud.ec2.faults.let_go("boot")
    wait_for("status ok", lambda: status() == "ok")
    api_cloud.ec2.faults.hang(instance_id)
    assert status() == "impaired"
