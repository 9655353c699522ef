"""Each operator as AWS documents it, with keys that are there, are not, or have several values."""

import pytest

from cloudjhub.policy.conditions import holds
from cloudjhub.policy.values import UnsupportedPolicy

CONTEXT = {
    "aws:requesttag/team": "blue",
    "aws:username": "ann",
    "aws:sourceip": "203.0.113.7",
    "aws:tagkeys": ("Name", "team"),
    "aws:principalarn": "arn:aws:iam::123456789012:role/cloudjhub-class-manager",
    "aws:securetransport": "true",
    "ec2:volumesize": "100",
    "aws:currenttime": "2026-11-23T12:00:00Z",
    "aws:epochtime": "1795521600",
}


def says(operator: str, key: str, wanted: object) -> bool:
    return holds({operator: {key: wanted}}, CONTEXT)


@pytest.mark.parametrize(
    ("operator", "key", "wanted", "expected"),
    [
        ("StringEquals", "aws:RequestTag/team", "blue", True),
        ("StringEquals", "AWS:requesttag/TEAM", "blue", True),  # keys: any case
        ("StringEquals", "aws:RequestTag/team", "Blue", False),  # values: exact
        ("StringEquals", "aws:RequestTag/team", ["red", "blue"], True),
        ("StringEquals", "aws:RequestTag/team", "bl*", False),  # no wildcards here
        ("StringEqualsIgnoreCase", "aws:RequestTag/team", "BLUE", True),
        ("StringNotEquals", "aws:RequestTag/team", ["red", "blue"], False),
        ("StringNotEquals", "aws:RequestTag/team", ["red", "green"], True),
        ("StringNotEqualsIgnoreCase", "aws:RequestTag/team", "BLUE", False),
        ("StringLike", "aws:RequestTag/team", ["r*", "b?ue"], True),
        ("StringLike", "aws:RequestTag/team", "?", False),
        ("StringNotLike", "aws:RequestTag/team", "b*", False),
        ("ArnEquals", "aws:PrincipalArn", "arn:aws:iam::*:role/cloudjhub-*", True),
        ("ArnLike", "aws:PrincipalArn", "arn:aws:iam::123456789012:role/other", False),
        ("ArnLike", "aws:PrincipalArn", "arn:aws:*", False),  # all six parts
        ("ArnNotEquals", "aws:PrincipalArn", "arn:aws:iam::*:role/other", True),
        ("ArnNotLike", "aws:PrincipalArn", "arn:aws:iam::*:role/*", False),
        ("Bool", "aws:SecureTransport", "true", True),
        ("Bool", "aws:SecureTransport", True, True),
        ("Bool", "aws:SecureTransport", "false", False),
        ("NumericLessThanEquals", "ec2:VolumeSize", "100", True),
        ("NumericLessThan", "ec2:VolumeSize", 100, False),
        ("NumericGreaterThan", "ec2:VolumeSize", "99.5", True),
        ("NumericGreaterThanEquals", "ec2:VolumeSize", "101", False),
        ("NumericEquals", "ec2:VolumeSize", "100.0", True),
        ("NumericNotEquals", "ec2:VolumeSize", "100", False),
        ("NumericEquals", "aws:RequestTag/team", "1", False),  # the request is no number
        ("DateLessThan", "aws:CurrentTime", "2026-12-01T00:00:00Z", True),
        ("DateGreaterThan", "aws:CurrentTime", "2026-12-01", False),
        ("DateGreaterThanEquals", "aws:EpochTime", "1795521600", True),
        ("IpAddress", "aws:SourceIp", ["10.0.0.0/8", "203.0.113.0/24"], True),
        ("IpAddress", "aws:SourceIp", "203.0.113.8", False),
        ("NotIpAddress", "aws:SourceIp", "203.0.113.0/24", False),
        ("IpAddress", "aws:username", "203.0.113.0/24", False),
    ],
)
def test_operators(operator: str, key: str, wanted: object, expected: bool):
    assert says(operator, key, wanted) is expected


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        ("StringEquals", False),
        ("StringLike", False),
        ("ArnLike", False),
        ("Bool", False),
        ("NumericLessThan", False),
        ("IpAddress", False),
        # What must not match is true without a key.
        ("StringNotEquals", True),
        ("StringNotLike", True),
        ("ArnNotEquals", True),
        ("NumericNotEquals", True),
        ("NotIpAddress", True),
        ("StringEqualsIfExists", True),
        ("NumericLessThanIfExists", True),
        ("ForAllValues:StringEquals", True),
        ("ForAnyValue:StringEquals", False),
        ("ForAnyValue:StringNotEquals", False),
        ("ForAllValues:StringEqualsIfExists", True),
    ],
)
def test_a_key_that_is_missing(operator: str, expected: bool):
    wanted = {"Bool": "true", "IpAddress": "10.0.0.0/8", "NotIpAddress": "10.0.0.0/8"}
    assert says(operator, "aws:ResourceTag/none", wanted.get(operator, "1")) is expected


@pytest.mark.parametrize(
    ("operator", "wanted", "expected"),
    [
        ("ForAllValues:StringEquals", ["Name", "team", "other"], True),
        ("ForAllValues:StringEquals", ["Name"], False),
        ("ForAllValues:StringLike", ["N*", "t*"], True),
        ("ForAllValues:StringNotEquals", ["other"], True),
        ("ForAllValues:StringNotEquals", ["Name"], False),
        ("ForAnyValue:StringEquals", ["Name"], True),
        ("ForAnyValue:StringEquals", ["other"], False),
        ("ForAnyValue:StringNotEquals", ["Name"], True),
        ("ForAnyValue:StringNotEquals", ["Name", "team"], False),
    ],
)
def test_keys_with_several_values(operator: str, wanted: list[str], expected: bool):
    assert says(operator, "aws:TagKeys", wanted) is expected


def test_null_asks_whether_a_key_is_there():
    assert says("Null", "aws:username", "false") and not says("Null", "aws:username", "true")
    assert says("Null", "aws:none", "true") and not says("Null", "aws:none", False)
    assert says("Null", "aws:TagKeys", "false")


def test_every_operator_and_every_key_must_hold():
    both = {"aws:username": "ann", "aws:RequestTag/team": "blue"}
    assert holds({"StringEquals": both, "Null": {"aws:none": "true"}}, CONTEXT)
    assert not holds({"StringEquals": both | {"aws:username": "bob"}}, CONTEXT)
    assert not holds({"StringEquals": both, "Null": {"aws:none": "false"}}, CONTEXT)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("${aws:username}", True),
        ("${AWS:UserName}", True),
        ("x-${aws:username}", False),
        ("${aws:none}", False),
        ("${aws:none, 'ann'}", True),
    ],
)
def test_variables(wanted: str, expected: bool):
    assert says("StringEquals", "aws:username", wanted) is expected
    assert says("StringNotEquals", "aws:username", wanted) is not expected


def test_variables_mean_nothing_in_the_old_version():
    condition = {"StringEquals": {"aws:username": "${aws:username}"}}
    assert not holds(condition, CONTEXT, variables=False)
    assert holds(condition, {"aws:username": "${aws:username}"}, variables=False)


@pytest.mark.parametrize(("value", "expected"), [("a*", True), ("ab", False)])
def test_a_wildcard_that_comes_from_a_variable_or_is_escaped_is_itself(value: str, expected: bool):
    context = {"aws:username": "a*", "k": value}
    assert holds({"StringLike": {"k": "${aws:username}"}}, context) is expected
    assert holds({"StringLike": {"k": "a${*}"}}, context) is expected
    assert holds({"StringEquals": {"k": "${aws:username}"}}, context) is expected


@pytest.mark.parametrize(
    ("operator", "key", "wanted"),
    [
        ("StringMatches", "aws:username", "ann"),
        ("BinaryEquals", "aws:username", "QUJD"),
        ("NullIfExists", "aws:username", "true"),
        ("ForAnyValue:StringEqualsIfExists", "aws:TagKeys", "Name"),
        ("ForSomeValues:StringEquals", "aws:TagKeys", "Name"),
        ("StringEquals", "aws:TagKeys", "Name"),  # several values, no set operator
        ("NumericEquals", "ec2:VolumeSize", "large"),
        ("IpAddress", "aws:SourceIp", "everywhere"),
        ("Null", "aws:username", "maybe"),
        ("StringEquals", "aws:username", "${}"),
        ("DateLessThan", "aws:CurrentTime", "tomorrow"),
    ],
)
def test_what_is_not_understood_is_not_guessed(operator: str, key: str, wanted: str):
    with pytest.raises(UnsupportedPolicy):
        says(operator, key, wanted)
