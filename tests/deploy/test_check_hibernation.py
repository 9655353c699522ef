"""What is said of a cluster whose idle machines are to hibernate, each with its reason."""

import dataclasses

import pytest
from deploy.looking import error, findings
from deploy.networks import Account

from cloudjhub.account.images import MachineImage
from cloudjhub.deploy.checks import hibernation
from cloudjhub.deploy.checks.world import World
from cloudjhub.deploy.findings import Finding, errors_among

JAMMY = "ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-amd64-server-20260801"
NOBLE = "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-20260801"
HIBERNATE = {"IDLE_ACTION": "hibernate", "WORKER_EBS_SIZE": "20"}


def look(account: Account, name: str = JAMMY, arch: str = "x86_64", **said: str) -> list[Finding]:
    """What this check says with an AMI of that name."""
    world = World(account.settings(**HIBERNATE | said), account.clients)
    known = world.custom_image if "CUSTOM_WORKER_AMI" in said else world.base_image
    assert isinstance(known, MachineImage)
    image = dataclasses.replace(known, name=name, architecture=arch)
    world.base_image = world.custom_image = image
    return hibernation.check(world)


def test_a_cluster_that_can_hibernate_has_no_findings(account: Account):
    assert look(account) == []
    assert look(account, WORKER_EBS_SIZE="12") == []  # 8 of the AMI and 4 of the memory


def test_a_cluster_that_stops_idle_machines_is_not_looked_at(account: Account):
    assert look(account, "anything", IDLE_ACTION="stop", WORKER_EBS_SIZE="8") == []


@pytest.mark.parametrize(
    ("said", "where", "what"),
    [
        ({"WORKER_EBS_SIZE": "11"}, "WORKER_EBS_SIZE 11", "memory of a t3.medium another 4 GiB"),
        (
            {"WORKER_INSTANCE_TYPE": "t3.medium,t3.xlarge", "WORKER_EBS_SIZE": "23"},
            "WORKER_EBS_SIZE 23",
            "memory of a t3.xlarge another 16 GiB",
        ),
        (
            {"WORKER_INSTANCE_TYPE": "g4dn.xlarge", "WORKER_EBS_SIZE": "40"},
            "WORKER_INSTANCE_TYPE g4dn.xlarge",
            "cannot hibernate",
        ),
    ],
)
def test_what_keeps_machines_from_it(account: Account, said: dict[str, str], where: str, what: str):
    (finding,) = look(account, **said)
    assert (finding.where, finding.level) == (where, "error")
    assert what in finding.what and finding.remedy


def test_a_type_with_too_much_memory(account: Account):
    world = World(account.settings(**HIBERNATE), account.clients)
    large = dataclasses.replace(world.types["t3.medium"], memory_mib=150 * 1024)
    world.types = {**world.types, "t3.medium": large}
    found = [each for each in hibernation.check(world) if "INSTANCE_TYPE" in each.where]
    assert ["150 GiB of memory" in each.what for each in found] == [True]


def test_a_type_that_stands_in_may_be_one_that_is_stopped(account: Account):
    (found,) = look(account, WORKER_INSTANCE_TYPE="t3.medium,g4dn.xlarge")
    assert (found.level, found.where) == ("note", "WORKER_INSTANCE_TYPE g4dn.xlarge")
    assert "stopped" in found.remedy


@pytest.mark.parametrize(
    ("name", "arch", "level", "what"),
    [
        ("debian-12-amd64-20260901-2345", "x86_64", "error", "Debian 12 has no agent"),
        (NOBLE, "x86_64", "note", "does not list Ubuntu 24.04"),
        (JAMMY.replace("20260801", "20230115"), "x86_64", "error", "from 20230303 on"),
        (JAMMY.replace("20260801", "20240115"), "arm64", "error", "from 20240701 on"),
        ("our own image", "x86_64", "note", "nobody here can tell"),
    ],
)
def test_amis_that_do_not_hibernate(account: Account, name: str, arch: str, level: str, what: str):
    (found,) = look(account, name, arch)
    assert (found.level, what in found.what, bool(found.remedy)) == (level, True, True)
    assert found.where.startswith("BASE_AMI ")


def test_a_worker_ami_of_ones_own_is_the_one_that_counts(account: Account):
    own = account.config["WORKER_AMI"]
    (found,) = look(account, "debian-12-amd64-20260901-2345", CUSTOM_WORKER_AMI=own)
    assert found.where == f"CUSTOM_WORKER_AMI {own}"


def test_it_is_one_of_the_checks_of_a_launch(account: Account):
    said = {"IDLE_ACTION": "hibernate", "WORKER_EBS_SIZE": "8"}
    found = errors_among(findings(account, **said))
    assert "WORKER_EBS_SIZE 8" in {each.where for each in found}


def test_a_pool_that_sleeps_takes_machines_that_can(account: Account):
    found = error(account, POOL_STATE="hibernated")
    assert found.where == "POOL_STATE hibernated" and "IDLE_ACTION stop" in found.what
