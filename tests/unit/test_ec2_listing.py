"""The listing of all machines, read by hand: the same as what botocore reads, and cheaper."""

from datetime import datetime, timezone

import pytest
from botocore.parsers import create_parser
from botocore.session import Session

from cloudjhub import ec2_listing
from cloudjhub.ec2_listing import take_reservations
from cloudjhub.ec2_values import instance_from

ITEM = """<item>
  <instanceId>i-{n:017x}</instanceId><imageId>ami-1</imageId>
  <instanceState><code>16</code><name>running</name></instanceState>
  <instanceType>t3.micro</instanceType><launchTime>2026-11-23T18:52:34.000Z</launchTime>
  <placement><availabilityZone>eu-central-1a</availabilityZone><tenancy>default</tenancy></placement>
  <privateIpAddress>10.0.0.{n}</privateIpAddress>
  <stateReason>
    <code>Client.UserInitiatedShutdown</code><message>By &lt;hand&gt;</message>
  </stateReason>
  <reason>User initiated (2026-11-23 18:40:00 GMT)</reason>
  <hibernationOptions><configured>true</configured></hibernationOptions>
  <blockDeviceMapping>
    <item><deviceName>/dev/sda1</deviceName><ebs><volumeId>vol-{n}</volumeId></ebs></item>
    <item><deviceName>/dev/sdf</deviceName><ebs><volumeId>vol-f{n}</volumeId></ebs></item>
  </blockDeviceMapping>
  <tagSet>
    <item><key>cloudjhub:user</key><value>zoë &amp; co</value></item>
    <item><key>cloudjhub:server</key><value/></item>
  </tagSet>
</item>"""
BARE = """<item>
  <instanceId>i-9</instanceId><instanceState><name>terminated</name></instanceState>
</item>"""


def answer(*reservations: str, more: str = "") -> dict:
    """What botocore has before it parses."""
    sets = "".join(f"<item><instancesSet>{each}</instancesSet></item>" for each in reservations)
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">'
        f"<requestId>r-1</requestId><reservationSet>{sets}</reservationSet>{more}"
        "</DescribeInstancesResponse>"
    )
    return {"status_code": 200, "headers": {}, "body": body.encode()}


@pytest.fixture(scope="module")
def botocore_reads():
    """botocore's own reading of an answer."""
    shape = Session().get_service_model("ec2").operation_model("DescribeInstances").output_shape
    parser = create_parser("ec2")
    return lambda response: parser.parse(response, shape)


def machines(parsed) -> list:
    return [instance_from(raw) for each in parsed["Reservations"] for raw in each["Instances"]]


def test_machines_are_the_same_as_botocore_reads_them(botocore_reads, monkeypatch):
    monkeypatch.setattr(ec2_listing, "_PIECE_BYTES", 7)  # letters are cut apart, too
    two = ITEM.format(n=1) + ITEM.format(n=2)
    response = answer(two, ITEM.format(n=3), BARE, more="<nextToken>go-on</nextToken>")
    expected = botocore_reads(response)
    found: dict = {}
    take_reservations(response, found)
    assert machines(found) == machines(expected)
    assert machines(found)[0].tags == {"cloudjhub:user": "zoë & co", "cloudjhub:server": ""}
    assert [m.hibernation_configured for m in machines(found)] == [True] * 3 + [False]
    stopped = datetime(2026, 11, 23, 18, 40, tzinfo=timezone.utc)
    assert [m.stopped_at for m in machines(found)] == [stopped] * 3 + [None]
    assert [m.state for m in machines(found)] == ["running"] * 3 + ["terminated"]
    rest = botocore_reads(response)
    assert rest["NextToken"] == "go-on"
    assert rest["ResponseMetadata"] == expected["ResponseMetadata"]
    assert "Reservations" not in rest


def test_an_empty_listing_has_no_machines(botocore_reads):
    found: dict = {}
    response = answer()
    take_reservations(response, found)
    assert found == {"Reservations": []}
    assert "NextToken" not in botocore_reads(response)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (
            503,
            b"<Response><Errors><Error><Code>RequestLimitExceeded</Code></Error></Errors></Response>",
        ),
        (200, b"<DescribeInstancesResponse><reservationSet>"),
        (200, b"<Something/>"),
    ],
    ids=["an error", "cut off", "something else"],
)
def test_what_is_no_listing_is_left_to_botocore(status, body):
    response, found = {"status_code": status, "headers": {}, "body": body}, {}
    take_reservations(response, found)
    assert (response["body"], found) == (body, {})
