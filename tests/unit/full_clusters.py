"""A cluster or an account that is full: its rules, its logins, and what they wait for."""

import asyncio

import pytest
from prometheus_client import REGISTRY

from cloudjhub.errors import QuotaReached
from cloudjhub.fleet import Fleet
from cloudjhub.fleet import admission as admission_module
from cloudjhub.fleet.admission import Limit
from cloudjhub.naming import Owner
from cloudjhub.progress import StartReport, UsualTimes

ADA, BOB, EVE = Owner("ada"), Owner("bob"), Owner("eve")


class Rules:
    """MAX_MACHINES and WHEN_FULL as the test has them just now."""

    def __init__(self):
        self.limit = Limit()

    def __call__(self):
        return self.limit

    def set(self, machines, when_full="queue"):
        self.limit = Limit(machines, when_full)


@pytest.fixture
def rules():
    return Rules()


@pytest.fixture
async def fleet(ec2, quick_settings, rules, monkeypatch):
    """A real fleet with those rules, which looks at them every few milliseconds."""
    monkeypatch.setattr(admission_module, "_TICK_SECONDS", 0.005)
    monkeypatch.setattr(admission_module, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(admission_module, "_ASK_AGAIN_SECONDS", 0.02)
    fleet = Fleet(ec2, quick_settings, rules)
    await fleet.view.refreshed()
    yield fleet
    await fleet.aclose()


@pytest.fixture
def asked_again_never(monkeypatch):
    """Only a machine that stops makes the account be asked again."""
    monkeypatch.setattr(admission_module, "_ASK_AGAIN_SECONDS", 3600.0)


@pytest.fixture
def login(fleet, spec, unlimited):
    """Begins somebody's login, who needs a new machine."""

    def begin(owner, report=None, kind=None):
        report = report or StartReport(UsualTimes())
        step = Launching(fleet, kind or spec, owner)
        run = fleet.admission.run(owner, report, step, may_take_spare=True)
        return asyncio.ensure_future(run)

    return begin


class Launching:
    def __init__(self, fleet, spec, owner):
        self.fleet, self.spec, self.owner = fleet, spec, owner

    async def __call__(self):
        return await self.fleet.launch(self.spec, self.owner)


async def in_line(fleet, count):
    """Return once so many wait."""
    while fleet.admission.waiting != count:
        await asyncio.sleep(0.001)


async def stopped(fleet, instance_id):
    """Stop the machine as soon as it runs, which EC2 asks for."""
    await fleet.view.until(instance_id, is_running, what="it to run", seconds=60)
    await fleet.stop(instance_id)


def is_running(machine):
    return machine is not None and machine.state == "running"


def up(ec2):
    return [m for m in ec2.machines.values() if m.state in ("pending", "running")]


def quota_reached():
    return QuotaReached("Full.", action="RunInstances", code="VcpuLimitExceeded")


class Starting:
    def __init__(self, fleet, machine):
        self.fleet, self.machine = fleet, machine

    async def __call__(self):
        await self.fleet.start(self.machine)


def account_holds(ec2, most):
    """From now on EC2 refuses what would make more machines than that run."""
    run, start = ec2.run, ec2.start

    def bounded(call, wanted):
        def bounded_call(arguments):
            with ec2._lock:
                if len(up(ec2)) + wanted(arguments) > most:
                    raise quota_reached()
                return call(arguments)

        return bounded_call

    ec2.run = bounded(run, lambda arguments: arguments["MaxCount"])
    ec2.start = bounded(start, len)


def refusals(limit):
    """How many logins that limit has refused, as the metrics say."""
    return REGISTRY.get_sample_value("cloudjhub_limit_refusals_total", {"limit": limit}) or 0
