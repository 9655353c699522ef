"""Listings: pages of instances, filters, tags."""

from typing import Any

import pytest
from local.clouds import Cloud, code_of, wait_for


def ids_of(answer: dict[str, Any]) -> list[str]:
    return [i["InstanceId"] for r in answer["Reservations"] for i in r["Instances"]]


@pytest.mark.slow
def test_one_large_reservation_has_pages(api_cloud: Cloud) -> None:
    launched = api_cloud.launch(300)
    paginator = api_cloud.api.get_paginator("describe_instances")
    for page in (7, 100, 1000):
        pages = [ids_of(answer) for answer in paginator.paginate(MaxResults=page)]
        assert [i for found in pages for i in found] == launched
        assert all(len(found) == page for found in pages[:-1])


def test_volumes_have_pages(api_cloud: Cloud) -> None:
    api_cloud.launch(12)
    paginator = api_cloud.api.get_paginator("describe_volumes")
    pages = [answer["Volumes"] for answer in paginator.paginate(MaxResults=5)]
    assert [len(found) for found in pages] == [5, 5, 2]
    assert len({v["VolumeId"] for found in pages for v in found}) == 12


def test_page_sizes_and_tokens_are_checked(api_cloud: Cloud) -> None:
    instance_id = api_cloud.launch()[0]
    api = api_cloud.api
    for call, code in (
        (lambda: api.describe_instances(MaxResults=4), "InvalidParameterValue"),
        (lambda: api.describe_instances(MaxResults=1001), "InvalidParameterValue"),
        (lambda: api.describe_instances(NextToken="!", MaxResults=5), "InvalidParameterValue"),
        (
            lambda: api.describe_instances(InstanceIds=[instance_id], MaxResults=5),
            "InvalidParameterCombination",
        ),
    ):
        assert code_of(call) == (code, 400)


def test_ids_are_checked(api_cloud: Cloud) -> None:
    instance_id = api_cloud.launch()[0]
    api = api_cloud.api
    assert ids_of(api.describe_instances(InstanceIds=[instance_id, instance_id])) == [instance_id]
    assert code_of(lambda: api.describe_instances(InstanceIds=["machine-1"])) == (
        "InvalidInstanceID.Malformed",
        400,
    )
    assert code_of(lambda: api.describe_volumes(VolumeIds=["vol-0123456789abcdef0"])) == (
        "InvalidVolume.NotFound",
        400,
    )


def test_filters(api_cloud: Cloud) -> None:
    api = api_cloud.api
    first, second = api_cloud.launch(2)
    api.create_tags(Resources=[first], Tags=[{"Key": "cloudjhub:user", "Value": "ann*1"}])
    api.create_tags(Resources=[second], Tags=[{"Key": "cloudjhub:user", "Value": "annie1"}])

    def found(name: str, *values: str) -> list[str]:
        return ids_of(api.describe_instances(Filters=[{"Name": name, "Values": list(values)}]))

    assert found("tag:cloudjhub:user", "ann*1") == [first, second]
    assert found("tag:cloudjhub:user", r"ann\*1") == [first]
    assert found("tag:cloudjhub:user", "nobody", "annie1") == [second]
    assert found("tag-key", "cloudjhub:*") == [first, second]
    assert found("instance-id", first) == [first]
    assert found("private-ip-address", api_cloud.instance(second)["PrivateIpAddress"]) == [second]
    assert found("instance-state-name", "terminated") == []
    volume_id = api_cloud.volume_at(first, "/dev/sda1")
    assert found("block-device-mapping.volume-id", volume_id) == [first]
    assert code_of(lambda: found("favourite-colour", "blue")) == ("InvalidParameterValue", 400)
    assert code_of(lambda: found("instance-id", *["i-1"] * 201))[0] == "FilterLimitExceeded"


def test_tags(api_cloud: Cloud) -> None:
    api = api_cloud.api
    instance_id = api_cloud.launch()[0]
    volume_id = api_cloud.volume_at(instance_id, "/dev/sda1")

    def tag(resources: list[str], count: int = 1, key: str = "k", value: str = "v") -> None:
        tags = [{"Key": f"{key}{n}", "Value": value} for n in range(count)]
        api.create_tags(Resources=resources, Tags=tags)

    tag([instance_id, volume_id])
    assert api_cloud.volume(volume_id)["Tags"] == [{"Key": "k0", "Value": "v"}]
    unknown = "i-0123456789abcdef0"
    assert code_of(lambda: tag([volume_id, unknown], key="other"))[0] == (
        "InvalidInstanceID.NotFound"
    )
    assert [t["Key"] for t in api_cloud.volume(volume_id)["Tags"]] == ["k0"]
    assert code_of(lambda: tag([instance_id], 51, key="many"))[0] == "TagLimitExceeded"
    assert code_of(lambda: tag([instance_id], key="aws:"))[0] == "InvalidParameterValue"
    assert code_of(lambda: tag([instance_id], key="k" * 128))[0] == "InvalidParameterValue"
    assert code_of(lambda: tag([instance_id], value="v" * 257))[0] == "InvalidParameterValue"
    api.delete_tags(Resources=[instance_id], Tags=[{"Key": "k0"}])
    assert "Tags" not in api_cloud.instance(instance_id)


def test_subnets_count_their_addresses(api_cloud: Cloud) -> None:
    def free() -> int:
        ids = [api_cloud.config["SUBNET_ID"]]
        return api_cloud.api.describe_subnets(SubnetIds=ids)["Subnets"][0][
            "AvailableIpAddressCount"
        ]

    before = free()
    first, _ = api_cloud.launch(2)
    assert free() == before - 2
    api_cloud.api.terminate_instances(InstanceIds=[first])
    api_cloud.wait_state(first, "terminated")
    assert free() == before - 1


def test_calls_are_counted_without_their_content(api_cloud: Cloud) -> None:
    api_cloud.ec2.reset_calls()
    api_cloud.launch(UserData="secret")
    code_of(lambda: api_cloud.api.describe_instances(InstanceIds=["x"]))
    assert api_cloud.ec2.calls() == {
        "RunInstances": {"ok": 1, "throttled": 0, "error": 0},
        "DescribeInstances": {"ok": 0, "throttled": 0, "error": 1},
    }
    log = api_cloud.ec2.engine.calls.log()
    assert [entry["code"] for entry in log] == ["", "InvalidInstanceID.Malformed"]
    assert set(log[0]) == {"at", "action", "outcome", "code", "seconds"}


def test_a_volume_is_shown_as_it_is_now(api_cloud: Cloud) -> None:
    api = api_cloud.api
    machine = api_cloud.launch()[0]
    api_cloud.wait_state(machine, "running")
    volume_id = api.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]
    api_cloud.wait_volume(volume_id, "available")
    api.create_tags(Resources=[volume_id], Tags=[{"Key": "a", "Value": "<&>"}])
    assert api_cloud.volume(volume_id)["Tags"] == [{"Key": "a", "Value": "<&>"}]
    api.attach_volume(VolumeId=volume_id, InstanceId=machine, Device="/dev/sdf")
    api_cloud.wait_attached(volume_id)
    (attachment,) = api_cloud.volume(volume_id)["Attachments"]
    assert (attachment["InstanceId"], attachment["Device"]) == (machine, "/dev/sdf")
    api.modify_volume(VolumeId=volume_id, Size=2)
    api_cloud.wait("2 GiB", lambda: api_cloud.volume(volume_id)["Size"] == 2)
    api.detach_volume(VolumeId=volume_id)
    api_cloud.wait_volume(volume_id, "available")
    assert api_cloud.volume(volume_id)["Attachments"] == []
    api.delete_tags(Resources=[volume_id], Tags=[{"Key": "a"}])
    assert not api_cloud.volume(volume_id).get("Tags")


def test_another_region_is_refused(api_cloud: Cloud) -> None:
    from local.clouds import client_of

    elsewhere = client_of(api_cloud.ec2.endpoint_url, region="eu-west-1")
    assert code_of(elsewhere.describe_instances) == ("AuthFailure", 401)


def test_pieces_show_what_moto_would_write(api_cloud: Cloud) -> None:
    """Our pieced document and moto's own, parsed, are the same, in every state."""
    from botocore.parsers import EC2QueryParser
    from moto.core.responses import ActionResult

    from cloudjhub.local.moto_layer.answer import LocalResponse

    api, engine = api_cloud.api, api_cloud.ec2.engine
    shape = api.meta.service_model.operation_model("DescribeInstances").output_shape

    def moto_s() -> Any:
        writer = LocalResponse(engine)
        writer.querystring, writer.headers = {"Action": ["DescribeInstances"]}, {}
        writer.response_headers = {}
        everything = list(engine.backend.reservations.values())
        _, _, body = writer.serialized(ActionResult({"Reservations": everything}))
        answer = {"status_code": 200, "headers": {}, "body": body.encode()}
        return EC2QueryParser().parse(answer, shape)["Reservations"]

    def same() -> bool:
        return api.describe_instances()["Reservations"] == moto_s()

    first, second, third = api_cloud.launch(3, UserData="x")
    other = api_cloud.launch(InstanceType="t3.large")[0]
    wait_for("both to be the same", same)
    for instance_id in (first, second, third, other):
        api_cloud.wait_state(instance_id, "running")
    wait_for("both to be the same", same)
    api.create_tags(Resources=[first], Tags=[{"Key": "a<b", "Value": "</instancesSet>"}])
    api.create_tags(Resources=[other], Tags=[{"Key": "\"'", "Value": "it's\n<tagSet/> &amp;"}])
    wait_for("both to be the same", same)
    api.stop_instances(InstanceIds=[second])
    api.terminate_instances(InstanceIds=[third])
    api_cloud.wait_state(second, "stopped")
    api_cloud.wait_state(third, "terminated")
    wait_for("both to be the same", same)
    api.modify_instance_attribute(InstanceId=second, InstanceType={"Value": "t3.large"})
    api.modify_instance_attribute(InstanceId=second, SourceDestCheck={"Value": False})
    api.modify_instance_metadata_options(InstanceId=other, HttpTokens="required")
    wait_for("both to be the same", same)
    volume_id = api.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]
    api_cloud.wait_volume(volume_id, "available")
    api.attach_volume(VolumeId=volume_id, InstanceId=other, Device="/dev/sdf")
    wait_for("both to be the same", same)
    api_cloud.wait_attached(volume_id)
    wait_for("both to be the same", same)
