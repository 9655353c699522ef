"""What most tests of this folder need: a fleet on an EC2 in memory, and usual values."""

import asyncio
import os
import threading

import pytest
from unit.fake_ec2 import FakeEC2
from unit.listings import Clock, Listings
from unit.pools import Pool
from unit.worlds import TYPES, NoLimits, World, Y, Z, quick_plan

from cloudjhub import machine as machine_module
from cloudjhub import machine_power
from cloudjhub.config import ClusterConfig
from cloudjhub.ec2_values import Image
from cloudjhub.fleet import Fleet, FleetSettings
from cloudjhub.fleet import view as view_module
from cloudjhub.fleet.view import View
from cloudjhub.launch_spec import launch_spec


@pytest.fixture(autouse=True)
def patient_looks(monkeypatch):
    """Whoever waits for a listing gets one, however long this computer pauses."""
    monkeypatch.setattr(view_module, "_LONGEST_LISTING_SECONDS", 60.0)


@pytest.fixture
def ec2():
    """An EC2 without machines."""
    return FakeEC2()


@pytest.fixture
def quick_settings():
    """Intervals short enough for tests that wait for several listings."""
    return FleetSettings(
        batch_window_seconds=0.01, busy_interval_seconds=0.02, quiet_interval_seconds=0.05
    )


@pytest.fixture
async def fleet(ec2, quick_settings):
    """A real fleet on that EC2, with one listing behind it."""
    fleet = Fleet(ec2, quick_settings)
    await fleet.view.refreshed()
    yield fleet
    await fleet.aclose()


@pytest.fixture
def unlimited(fleet):
    """The fleet without the pauses that EC2's limits make."""
    fleet._calls.limits = NoLimits()


@pytest.fixture
def gate(ec2):
    """Holds calls of one action until the test lets them go."""

    def hold(action):
        ec2.gates[action] = threading.Event()
        return ec2.gates[action]

    yield hold
    for gate in ec2.gates.values():
        gate.set()


@pytest.fixture
def may_answer(ec2, monkeypatch):
    """EC2 launches at once and answers launches when this is set."""
    told, run = threading.Event(), ec2.run

    def answer_late(arguments):
        launched = run(arguments)
        assert told.wait(60)
        return launched

    monkeypatch.setattr(ec2, "run", answer_late)
    yield told
    told.set()


@pytest.fixture
def look(fleet):
    """Lets the view see what the test made."""

    async def look_twice():
        await fleet.view.next_listing()
        await fleet.view.next_listing()

    return look_twice


@pytest.fixture
async def world(fleet, ec2, config, image, monkeypatch):
    """One user's start on that EC2, with short times."""
    monkeypatch.setattr(machine_module, "_PROBE_SECONDS", 0.005)
    clock = Clock()
    monkeypatch.setattr(machine_module, "time", clock)
    monkeypatch.setattr(machine_power, "time", clock)
    return World(fleet, ec2, quick_plan(config, image), clock)


@pytest.fixture
async def pool(fleet, ec2, config_values, image, unlimited):
    """A pool of two on that EC2, which nobody has filled yet."""
    pool = Pool(fleet, ec2, dict(config_values), image)
    yield pool
    await pool.keeper.aclose()
    await pool.upkeep.aclose()


class HurriedAsyncio:
    """asyncio for one module, whose sleeps end soon."""

    def __init__(self, longest_seconds=0.01):
        self.longest_seconds = longest_seconds
        self.slept: list[float] = []

    def __getattr__(self, name):
        return getattr(asyncio, name)

    async def sleep(self, seconds):
        self.slept.append(seconds)
        await asyncio.sleep(min(seconds, self.longest_seconds))


@pytest.fixture
def hurry(monkeypatch):
    """Makes one module's sleeps short; gives what it would have slept."""

    def hurried(module):
        stand_in = HurriedAsyncio()
        monkeypatch.setattr(module, "asyncio", stand_in)
        return stand_in.slept

    return hurried


@pytest.fixture
def config_values(tmp_path):
    """What server_config.json holds at least."""
    key_file = tmp_path / "worker.pem"
    key_file.write_text("key")
    return {
        "CLUSTER_NAME": "class",
        "REGION": "us-east-1",
        "WORKER_AMI": "ami-0123456789abcdef0",
        "WORKER_INSTANCE_TYPE": "t3.medium",
        "SUBNET_ID": "subnet-0123456789abcdef0",
        "WORKER_SECURITY_GROUPS": ["sg-0123456789abcdef0"],
        "KEY_NAME": "workers",
        "WORKER_KEY_FILE": str(key_file),
    }


@pytest.fixture
def config(config_values):
    """A valid configuration."""
    return ClusterConfig.model_validate(config_values)


@pytest.fixture
def two_zones(config_values, ec2):
    """A configuration with several types in two zones."""
    ec2.subnets = {Z: "z", Y: "y"}
    return ClusterConfig.model_validate(
        {
            **config_values,
            "WORKER_INSTANCE_TYPE": TYPES,
            "WORKER_INSTANCE_TYPE_CHOICES": ["g5.xlarge"],
            "SUBNET_ID": [Z, Y],
        }
    )


@pytest.fixture
def image():
    """The AMI of that configuration."""
    return Image("ami-0123456789abcdef0", "available", "/dev/sda1", 8)


@pytest.fixture
def spec(config, image):
    """The kind of machine that configuration launches."""
    return launch_spec(config, image)


@pytest.fixture(scope="module")
def credentials():
    """An account of nobody's for boto3, wherever the tests run."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_MAX_ATTEMPTS"):
            patch.delenv(name, raising=False)
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            patch.setenv(name, os.devnull)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "local")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield


@pytest.fixture
def listings():
    """What EC2 lists to ``view`` and ``running``."""
    return Listings()


@pytest.fixture
async def view(listings):
    """A view whose looks are the test's: ``await view._fetch_once()``."""
    return View(listings.fetch, busy_seconds=1.0, quiet_seconds=30.0)


@pytest.fixture
async def running(listings):
    """Starts views that look by themselves and ends them after the test."""
    tasks = []

    def run(**seconds):
        view = View(listings.fetch, **{"busy_seconds": 0.005, "quiet_seconds": 600.0, **seconds})
        tasks.append(asyncio.ensure_future(view.run()))
        return view

    yield run
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
def clock(monkeypatch):
    """Lets the view believe that time has passed."""
    clock = Clock()
    monkeypatch.setattr(view_module, "time", clock)
    return clock
