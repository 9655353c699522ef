"""What the metadata service tells, from plain values; its tokens and the roles' keys."""

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from cloudjhub.local.vpc.credentials import LIFETIME, RENEWED_BEFORE, RoleCredentials
from cloudjhub.local.vpc.metadata.tokens import Tokens, lifetime
from cloudjhub.local.vpc.metadata.tree import Facts, RoleKey, find, tree

LAUNCHED = datetime(2026, 9, 1, 8, 55, tzinfo=timezone.utc)
FACTS = Facts(
    instance_id="i-0123456789abcdef0",
    image_id="ami-1",
    instance_type="t3.small",
    reservation_id="r-1",
    launch_index=0,
    launched=LAUNCHED,
    architecture="x86_64",
    account="123456789012",
    region="us-east-1",
    zone="us-east-1a",
    zone_id="use1-az6",
    hostname="ip-10-70-0-4.ec2.internal",
    private_address="10.70.0.4",
    mac="02:00:00:00:00:01",
    interface_id="eni-1",
    subnet_id="subnet-1",
    subnet_cidr="10.70.0.0/20",
    vpc_id="vpc-1",
    vpc_cidr="10.70.0.0/16",
    groups=(("sg-1", "one"), ("sg-2", "two")),
)


def read(facts: Facts, path: str) -> str | bytes | None:
    return find(tree(facts), path.split("/"))


def test_folders_are_listed_with_a_slash():
    assert read(FACTS, "meta-data").splitlines()[0] == "ami-id"
    assert "placement/" in read(FACTS, "meta-data").splitlines()
    assert read(FACTS, "meta-data/placement/region") == "us-east-1"
    assert read(FACTS, "meta-data/security-groups") == "one\ntwo"


def test_a_text_has_nothing_below_it():
    assert read(FACTS, "meta-data/ami-id/more") is None
    assert read(FACTS, "meta-data/nothing") is None


def test_what_an_instance_has_not_is_not_there():
    for path in ("iam", "public-ipv4", "public-keys", "tags"):
        assert read(FACTS, f"meta-data/{path}") is None
    assert read(FACTS, "user-data") is None


def test_key_pairs_are_found_by_their_number():
    facts = replace(FACTS, key=("mine", "ssh-ed25519 AAAA\n"))
    assert read(facts, "meta-data/public-keys") == "0=mine"
    assert read(facts, "meta-data/public-keys/0") == "openssh-key"
    assert read(facts, "meta-data/public-keys/0/openssh-key") == "ssh-ed25519 AAAA\n"


def test_empty_user_data_is_user_data():
    assert read(replace(FACTS, user_data=b""), "user-data") == b""


def test_a_tag_may_be_called_like_anything():
    facts = replace(FACTS, tags={"cloudjhub:user": "a=b", "0=x": "y"})
    assert read(facts, "meta-data/tags/instance/cloudjhub:user") == "a=b"


def test_the_roles_keys_are_told_as_sdks_expect_them():
    key = RoleKey("ASIAX", "secret", "token", LAUNCHED, LAUNCHED + timedelta(hours=6))
    facts = replace(FACTS, profile=("arn:p", "AIPA1"), role="manager", role_key=key)
    assert read(facts, "meta-data/iam/security-credentials") == "manager"
    told = json.loads(read(facts, "meta-data/iam/security-credentials/manager"))
    assert told == {
        "Code": "Success",
        "LastUpdated": "2026-09-01T08:55:00Z",
        "Type": "AWS-HMAC",
        "AccessKeyId": "ASIAX",
        "SecretAccessKey": "secret",
        "Token": "token",
        "Expiration": "2026-09-01T14:55:00Z",
    }
    assert "secret" not in repr(facts)


def test_a_profile_without_a_role_has_no_keys():
    facts = replace(FACTS, profile=("arn:p", "AIPA1"))
    assert read(facts, "meta-data/iam") == "info"


# -- tokens ----------------------------------------------------------------------------------------


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_token_ends_with_its_time():
    clock = Clock()
    tokens = Tokens(clock)
    token = tokens.issue("i-1", 60)
    assert tokens.seconds_left(token, "i-1") == 60
    clock.now += 59
    assert tokens.seconds_left(token, "i-1") == 1
    clock.now += 1
    assert not tokens.seconds_left(token, "i-1")


def test_a_token_is_nobody_elses_and_cannot_be_made():
    tokens = Tokens(Clock())
    token = tokens.issue("i-1", 60)
    assert not tokens.seconds_left(token, "i-2")
    assert not Tokens(Clock()).seconds_left(token, "i-1")
    for wrong in ("", "====", token[:-4], "bm9uc2Vuc2U=", "\x00", "ä", "MTA5MC4wMDAuYS5i"):
        assert not tokens.seconds_left(wrong, "i-1")


@pytest.mark.parametrize("text", [None, "", "0", "21601", "999999999999", "1.5", "-1", " 1", "²"])
def test_lifetimes_that_ec2_refuses(text: str | None):
    assert lifetime(text) is None


def test_lifetimes_that_ec2_takes():
    assert (lifetime("1"), lifetime("21600")) == (1, 21600)


# -- keys of roles ---------------------------------------------------------------------------------


class Calendar:
    now = LAUNCHED

    def __call__(self) -> datetime:
        return self.now


def test_a_key_stays_until_shortly_before_its_end():
    calendar = Calendar()
    keys = RoleCredentials(calendar)
    first = keys.issue("i-1", "manager")
    calendar.now += LIFETIME - RENEWED_BEFORE - timedelta(seconds=1)
    assert keys.issue("i-1", "manager") is first
    calendar.now += timedelta(seconds=1)
    second = keys.issue("i-1", "manager")
    assert second.access_key_id != first.access_key_id
    # Whoever still has the first may use it up.
    assert keys.owner_of(first.access_key_id) == ("i-1", "manager")
    calendar.now += RENEWED_BEFORE
    assert keys.owner_of(first.access_key_id) is None
    assert keys.owner_of(second.access_key_id) == ("i-1", "manager")


def test_keys_are_each_machines_own():
    keys = RoleCredentials(Calendar())
    issued = {keys.issue(machine, "manager").access_key_id for machine in ("i-1", "i-2")}
    assert len(issued) == 2
    assert all(key.startswith("ASIA") and len(key) == 20 for key in issued)
    assert keys.owner_of("ASIANOBODYS") is None
