"""Which account a machine admits: said, known by the AMI's name, or asked for."""

import dataclasses

import pytest
from deploy.networks import Account

from cloudjhub.account.images import MachineImage
from cloudjhub.deploy import login_names
from cloudjhub.deploy.checks import image
from cloudjhub.deploy.checks.world import World
from cloudjhub.deploy.findings import Refused, errors_among

DEBIAN = "debian-12-amd64-20240717-1811"
UBUNTU = "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-20250610"


@pytest.fixture
def named(account: Account):
    """The base AMI with another name."""
    found = World(account.settings(), account.clients).base_image
    assert found
    return lambda name: dataclasses.replace(found, name=name)


@pytest.mark.parametrize(("name", "login"), [(DEBIAN, "admin"), (UBUNTU, "ubuntu")])
def test_the_login_follows_the_distribution(account: Account, named, name: str, login: str):
    settings = account.settings(SERVER_USERNAME="", WORKER_USERNAME="")
    filled = login_names.filled_in(settings, named(name))
    assert (filled.server_username, filled.worker_username) == (login, login)


def test_what_the_operator_says_stands(account: Account, named):
    settings = account.settings(SERVER_USERNAME="me", WORKER_USERNAME="control")
    filled = login_names.filled_in(settings, named(DEBIAN))
    assert (filled.server_username, filled.worker_username) == ("me", "control")


def test_a_worker_ami_of_ones_own_may_be_another_distribution(account: Account, named):
    settings = account.settings(SERVER_USERNAME="", WORKER_USERNAME="")
    own: MachineImage = named(UBUNTU)
    assert login_names.filled_in(settings, named(DEBIAN), own).worker_username == "ubuntu"
    assert login_names.filled_in(settings, named(DEBIAN), named("x")).worker_username == "admin"


def test_a_login_that_nobody_knows_is_asked_for(account: Account, named):
    settings = account.settings(SERVER_USERNAME="", WORKER_USERNAME="")
    world = World(settings, account.clients)
    world.base_image = named("an image of our own")
    (found,) = errors_among(image.check(world))
    assert found.where == "SERVER_USERNAME" and "--server_username" in found.remedy
    with pytest.raises(Refused):
        login_names.filled_in(settings, world.base_image)


def test_a_login_that_the_distribution_has_not(account: Account):
    settings = account.settings()
    world = World(settings, account.clients)
    assert world.base_image
    world.base_image = dataclasses.replace(world.base_image, name="debian-12-amd64-20240717-1811")
    found = errors_among(image.check(world))
    assert [each.remedy for each in found] == ["Say --server_username admin."]
