"""The answer to DescribeInstances, read for what ``ec2_values`` uses of it and nothing else.

botocore turns every element of it into Python, 120 per machine: for a thousand machines half a
second during which the hub's event loop hardly gets a turn. This takes a fifth of that and lets
other threads run in between.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from xml.etree import ElementTree

_PIECE_BYTES = 64 * 1024  # what is parsed without a chance for another thread: 0.1 ms

Element = ElementTree.Element


def take_reservations(response: dict[str, Any], customized: dict[str, Any]) -> None:
    """Put ``Reservations`` into ``customized`` and leave botocore the rest of the answer.

    For botocore's event before-parse. What is no such answer, an error say, is left to botocore.
    """
    if response["status_code"] >= 300:
        return
    try:
        root = _parsed(response["body"])
    except ElementTree.ParseError:
        return
    reservations = root.find("{*}reservationSet")
    if reservations is None:
        return
    namespace = root.tag.partition("}")[0] + "}"
    customized["Reservations"] = [
        {"Instances": [_instance(item, len(namespace)) for item in instances]}
        for reservation in reservations
        if (instances := reservation.find(namespace + "instancesSet")) is not None
    ]
    root.remove(reservations)
    response["body"] = ElementTree.tostring(root)


def _parsed(body: bytes) -> Element:
    parser = ElementTree.XMLParser()
    for begin in range(0, len(body), _PIECE_BYTES):
        parser.feed(body[begin : begin + _PIECE_BYTES])
    return parser.close()


def _instance(item: Element, prefix: int) -> dict[str, Any]:
    """One machine in boto3's shape, with those of its members that are used."""
    found: dict[str, Any] = {}
    for element in item:
        member = _MEMBERS.get(element.tag[prefix:])
        if member is not None:
            name, value_of = member
            found[name] = value_of(element, element.tag[:prefix])
    return found


def _text(element: Element, namespace: str) -> str:
    return element.text or ""


def _time(element: Element, namespace: str) -> datetime:
    return datetime.fromisoformat((element.text or "").replace("Z", "+00:00"))


def _state(element: Element, namespace: str) -> Mapping[str, str]:
    return {"Name": element.findtext(namespace + "name", "")}


def _placement(element: Element, namespace: str) -> Mapping[str, str]:
    return {"AvailabilityZone": element.findtext(namespace + "availabilityZone", "")}


def _reason(element: Element, namespace: str) -> Mapping[str, str]:
    code, message = (element.findtext(namespace + name, "") for name in ("code", "message"))
    return {"Code": code, "Message": message}


def _hibernation(element: Element, namespace: str) -> Mapping[str, bool]:
    return {"Configured": element.findtext(namespace + "configured") == "true"}


def _tags(element: Element, namespace: str) -> list[Mapping[str, str]]:
    key, value = namespace + "key", namespace + "value"
    return [{"Key": tag.findtext(key, ""), "Value": tag.findtext(value, "")} for tag in element]


def _devices(element: Element, namespace: str) -> list[Mapping[str, Any]]:
    name, volume = namespace + "deviceName", f"{namespace}ebs/{namespace}volumeId"
    return [
        {"DeviceName": disk.findtext(name, ""), "Ebs": {"VolumeId": disk.findtext(volume, "")}}
        for disk in element
    ]


_MEMBERS = {
    "instanceId": ("InstanceId", _text),
    "instanceState": ("State", _state),
    "instanceType": ("InstanceType", _text),
    "placement": ("Placement", _placement),
    "imageId": ("ImageId", _text),
    "privateIpAddress": ("PrivateIpAddress", _text),
    "launchTime": ("LaunchTime", _time),
    "stateReason": ("StateReason", _reason),
    "reason": ("StateTransitionReason", _text),
    "hibernationOptions": ("HibernationOptions", _hibernation),
    "tagSet": ("Tags", _tags),
    "blockDeviceMapping": ("BlockDeviceMappings", _devices),
}
