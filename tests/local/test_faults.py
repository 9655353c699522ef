"""Trouble on order: each kind of it, over Python and over HTTP."""

import http.client
import json
import queue
import socket
import urllib.error
import urllib.request
from functools import partial
from typing import Any

import pytest
from botocore.exceptions import (
    ConnectionClosedError,
    EndpointConnectionError,
    HTTPClientError,
    ReadTimeoutError,
)
from local.clouds import Cloud, client_of, code_of, wait_for

from cloudjhub.local.stages import STAGES, Stage


def greets(cloud: Cloud, instance_id: str) -> bool:
    """Whether the machine's port says that it is SSH. It must accept in any case."""
    address = cloud.instance(instance_id)["PrivateIpAddress"]
    port = cloud.config["WORKER_SSH_PORT"]
    with socket.create_connection((address, port), timeout=30) as connection:
        connection.settimeout(0.4)
        try:
            return connection.recv(4) == b"SSH-"
        except TimeoutError:
            return False


def restart(cloud: Cloud, instance_id: str) -> None:
    cloud.api.stop_instances(InstanceIds=[instance_id])
    cloud.wait_state(instance_id, "stopped")
    cloud.api.start_instances(InstanceIds=[instance_id])
    cloud.wait_state(instance_id, "running")
    machine = cloud.ec2.machines.get(instance_id)
    wait_for("the machine to boot", lambda: machine.is_alive())


def test_a_hanging_machine_heals_by_a_restart(cloud: Cloud) -> None:
    instance_id = cloud.launch()[0]
    cloud.wait_ssh(instance_id)
    cloud.ec2.faults.hang(instance_id)
    assert cloud.state(instance_id) == "running"
    assert not greets(cloud, instance_id)
    restart(cloud, instance_id)
    cloud.wait_ssh(instance_id)


@pytest.mark.slow
def test_a_hanging_machine_that_does_not_heal(cloud: Cloud) -> None:
    instance_id = cloud.launch()[0]
    cloud.wait_ssh(instance_id)
    faults = cloud.ec2.faults
    faults.hang(instance_id, heals=False)
    restart(cloud, instance_id)
    status = cloud.api.describe_instance_status
    wait_for(
        "the machine to hang again",
        lambda: (
            status(InstanceIds=[instance_id])["InstanceStatuses"][0]["InstanceStatus"]["Status"]
            == "impaired"
        ),
    )
    faults.release(instance_id)
    cloud.wait_ssh(instance_id)


@pytest.mark.slow
@pytest.mark.parametrize(("terminated", "end"), [(False, "stopped"), (True, "terminated")])
def test_a_machine_dies(cloud: Cloud, terminated: bool, end: str) -> None:
    instance_id = cloud.launch()[0]
    cloud.wait_ssh(instance_id)
    cloud.ec2.faults.die(instance_id, terminated=terminated)
    cloud.wait_state(instance_id, end)


def test_new_instances_are_not_known_at_once(api_cloud: Cloud) -> None:
    api_cloud.ec2.faults.lag(3600)
    instance_id = api_cloud.launch()[0]
    assert code_of(lambda: api_cloud.state(instance_id))[0] == "InvalidInstanceID.NotFound"
    tag = [{"Key": "k", "Value": "v"}]
    assert code_of(lambda: api_cloud.api.create_tags(Resources=[instance_id], Tags=tag))[0] == (
        "InvalidInstanceID.NotFound"
    )
    assert api_cloud.api.describe_instances()["Reservations"] == []
    api_cloud.ec2.faults.lag(0)
    assert len(api_cloud.api.describe_instances()["Reservations"]) == 1
    api_cloud.wait_state(instance_id, "running")


def test_instances_become_known_by_themselves(api_cloud: Cloud) -> None:
    api_cloud.ec2.faults.lag(0.1)
    api_cloud.launch()
    wait_for("the listing to catch up", lambda: api_cloud.api.describe_instances()["Reservations"])


def test_slow_stages(api_cloud: Cloud) -> None:
    api_cloud.ec2.faults.slow("pending", 3600)
    instance_id = api_cloud.launch()[0]
    api_cloud.ec2.faults.clear()
    assert api_cloud.state(instance_id) == "pending"
    other = api_cloud.launch()[0]
    api_cloud.wait_state(other, "running")
    assert api_cloud.state(instance_id) == "pending"


def test_a_held_stage_ends_when_it_is_let_go(api_cloud: Cloud) -> None:
    faults = api_cloud.ec2.faults
    faults.hold("pending")
    # More of them than the scheduler has threads: held stages take none.
    held = api_cloud.launch(2 * api_cloud.ec2.settings.workers)
    volume_id = api_cloud.api.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]
    api_cloud.wait_volume(volume_id, "available")
    api_cloud.api.terminate_instances(InstanceIds=held[:1])
    api_cloud.wait_state(held[0], "terminated")
    assert {api_cloud.state(instance_id) for instance_id in held[1:]} == {"pending"}
    assert faults.as_dict()["hold"] == ["pending"]
    faults.let_go("pending")
    for instance_id in held[1:]:
        api_cloud.wait_state(instance_id, "running")
    assert api_cloud.state(held[0]) == "terminated"


@pytest.mark.parametrize("stage", STAGES)
def test_clearing_lets_every_stage_go(api_cloud: Cloud, stage: Stage) -> None:
    stages, ended = api_cloud.ec2.engine.stages, queue.SimpleQueue()
    api_cloud.ec2.faults.slow(stage, 0)
    api_cloud.ec2.faults.hold(stage)
    for number in range(3):
        stages.end(stage, ended.put, number)
    api_cloud.ec2.engine.scheduler.after(0, ended.put, "held")
    assert ended.get(timeout=60) == "held"
    api_cloud.ec2.faults.clear()
    assert sorted(ended.get(timeout=60) for _ in range(3)) == [0, 1, 2]
    assert ended.empty() and api_cloud.ec2.faults.as_dict()["hold"] == []


@pytest.mark.parametrize("mode", ["close", "reset"])
def test_an_api_that_does_not_answer(api_cloud: Cloud, mode: Any) -> None:
    faults = api_cloud.ec2.faults
    faults.unreachable(mode)
    with pytest.raises((ConnectionClosedError, EndpointConnectionError, HTTPClientError)):
        api_cloud.api.describe_instances()
    faults.clear()
    assert api_cloud.api.describe_instances()["Reservations"] == []


def test_an_api_that_keeps_silent(api_cloud: Cloud) -> None:
    from botocore.config import Config

    api_cloud.ec2.faults.unreachable("silent")
    impatient = client_of(api_cloud.ec2.endpoint_url)
    impatient.meta.config.merge(Config(read_timeout=0.3))
    connection = http.client.HTTPConnection(api_cloud.ec2.endpoint_url[7:], timeout=0.3)
    connection.request("POST", "/", body="Action=DescribeInstances")
    with pytest.raises((TimeoutError, ReadTimeoutError)):
        connection.getresponse()
    connection.close()
    api_cloud.ec2.faults.clear()
    assert api_cloud.api.describe_instances()["Reservations"] == []


def test_real_request_limits(api_cloud: Cloud) -> None:
    api_cloud.ec2.faults.throttle(rates={"DescribeSubnets": [2, 0.001], "RunInstances": [5, 0.001]})
    api_cloud.ec2.reset_calls()
    for _ in range(5):
        api_cloud.launch()
    assert code_of(api_cloud.launch) == ("RequestLimitExceeded", 503)
    for _ in range(2):
        api_cloud.api.describe_subnets()
    assert code_of(api_cloud.api.describe_subnets)[0] == "RequestLimitExceeded"
    counts = api_cloud.ec2.calls()["RunInstances"]
    assert counts == {"ok": 5, "throttled": 1, "error": 0}
    api_cloud.ec2.faults.throttle(False)
    api_cloud.launch()


def test_any_refusal_on_order(api_cloud: Cloud) -> None:
    api_cloud.ec2.faults.refuse("RunInstances", "UnauthorizedOperation", "No.", status=403, times=2)
    for _ in range(2):
        assert code_of(api_cloud.launch) == ("UnauthorizedOperation", 403)
    api_cloud.launch()


def test_an_answer_that_is_lost(api_cloud: Cloud) -> None:
    api_cloud.ec2.faults.lose("RunInstances")
    with pytest.raises(ConnectionClosedError):
        api_cloud.launch(ClientToken="again")
    (made,) = api_cloud.ec2.engine.backend.instances
    assert api_cloud.launch(ClientToken="again") == [made]


def test_a_surprise_comes_before_the_answer(api_cloud: Cloud) -> None:
    instance_id = api_cloud.launch()[0]
    api_cloud.wait_state(instance_id, "running")
    end = partial(api_cloud.api.terminate_instances, InstanceIds=[instance_id])
    api_cloud.ec2.faults.surprise("StopInstances", end)
    stop = partial(api_cloud.api.stop_instances, InstanceIds=[instance_id])
    assert code_of(stop) == ("IncorrectInstanceState", 400)
    other = api_cloud.launch()[0]
    api_cloud.wait_state(other, "running")
    api_cloud.api.stop_instances(InstanceIds=[other])
    api_cloud.wait_state(other, "stopped")


def test_a_surprise_waits_for_the_call_that_names_its_machine(api_cloud: Cloud) -> None:
    one, other = api_cloud.launch()[0], api_cloud.launch()[0]
    for each in (one, other):
        api_cloud.wait_state(each, "running")
    end = partial(api_cloud.api.terminate_instances, InstanceIds=[one])
    api_cloud.ec2.faults.surprise("StopInstances", end, naming=one)
    api_cloud.api.stop_instances(InstanceIds=[other])
    api_cloud.wait_state(other, "stopped")
    stop = partial(api_cloud.api.stop_instances, InstanceIds=[one])
    assert code_of(stop) == ("IncorrectInstanceState", 400)


def test_terminated_behind_one_s_back(api_cloud: Cloud) -> None:
    instance_id = api_cloud.launch()[0]
    api_cloud.wait_state(instance_id, "running")
    client_of(api_cloud.ec2.endpoint_url).terminate_instances(InstanceIds=[instance_id])
    api_cloud.wait_state(instance_id, "terminated")


def test_orders_over_http(api_cloud: Cloud) -> None:
    def ask(method: str, path: str, **body: Any) -> Any:
        url = f"{api_cloud.ec2.endpoint_url}/_local{path}"
        request = urllib.request.Request(url, json.dumps(body).encode(), method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    assert ask("GET", "")["machines"] == "standin"
    ask("POST", "/faults/unreachable", mode="close")
    ask("POST", "/faults/capacity", instance_type="t3.small", zone="us-east-1a", slots=2)
    ordered = ask("GET", "/faults")
    assert ordered["unreachable"] == "close"
    assert ordered["capacity"] == [["t3.small", "us-east-1a", 2]]
    ask("POST", "/faults/hold", stage="boot")
    ask("POST", "/faults/hold", stage="volume")
    ask("POST", "/faults/let_go", stage="boot")
    assert ask("GET", "/faults")["hold"] == ["volume"]
    ask("DELETE", "/faults")
    assert ask("GET", "/faults")["capacity"] == []
    ask("POST", "/calls/reset")
    api_cloud.launch()
    assert ask("GET", "/calls")["RunInstances"]["ok"] == 1
    assert ask("GET", "/calls/log")[0]["action"] == "RunInstances"
    for method, path, body, status in (
        ("POST", "/faults/slow", {"stage": "tea", "seconds": 1}, 400),
        ("POST", "/faults/hold", {"stage": "tea"}, 400),
        ("POST", "/faults/let_go", {"stage": "tea"}, 400),
        ("POST", "/faults/hang", {"instance_id": "i-0"}, 404),
        ("POST", "/faults/clear_all", {}, 404),
        ("GET", "/nothing", {}, 404),
    ):
        with pytest.raises(urllib.error.HTTPError) as caught:
            ask(method, path, **body)
        assert caught.value.code == status
