"""One user's start of a machine on the EC2 in memory."""

import asyncio
from dataclasses import replace

from cloudjhub.hearing import Hearing
from cloudjhub.launch_spec import launch_kinds
from cloudjhub.machine import Machine
from cloudjhub.machine_plan import Patience, Plan
from cloudjhub.naming import Owner
from cloudjhub.progress import StartReport, UsualTimes

ADA, BOB = Owner("ada"), Owner("bob")
#: what the configuration ``two_zones`` has: types, and subnets in the zones z and y
TYPES = ["t3.medium", "t3a.medium", "t2.medium"]
Z, Y = "subnet-00000001", "subnet-00000002"


class World:
    """One user's start on the EC2 in memory. Machines answer while they run, unless deaf.

    Waiting for a deaf one does not take long: with every question the clock jumps ahead.
    """

    def __init__(self, fleet, ec2, plan, clock):
        self.fleet, self.ec2, self.plan, self.clock = fleet, ec2, plan, clock
        self.deaf: set[str] = set()
        self.all_deaf = False
        self.report = StartReport(UsualTimes())
        self.hearing = Hearing()
        self.machine = self.another()

    def another(self, owner=None) -> Machine:
        """Another start, of the same owner if no other is named."""
        plan = replace(self.plan, owner=owner or self.plan.owner)
        return Machine(self.fleet, plan, self.report, self.answers, hearing=self.hearing)

    async def answers(self, instance):
        """Whether its sshd would."""
        actual = self.ec2.machines.get(instance.id)
        running = actual is not None and actual.state == "running"
        if not (self.all_deaf or instance.id in self.deaf):
            return running
        if running or instance.id in self.ec2.held:
            self.clock.ahead += self.plan.patience.boot_seconds / 10
        return False

    async def see(self):
        """Let the view see what the test made."""
        await self.fleet.view.next_listing()
        await self.fleet.view.next_listing()

    async def start(self, known_id=None, machine=None):
        """A machine that answers, or what went wrong, within a reasonable time."""
        self.fleet.view._listed_at = None  # the last listing was long before the login
        return await asyncio.wait_for((machine or self.machine).answering(known_id), 60)


def quick_plan(config, image, owner=ADA) -> Plan:
    """The owner's start, with little patience on a clock that is the test's."""

    async def kinds():
        return launch_kinds(config, image, {config.subnet_id: "z", Z: "z", Y: "y"})

    return Plan(
        owner=owner,
        kinds=kinds,
        patience=Patience(boot_seconds=5.0, running_seconds=1.0, stop_seconds=60.0),
    )


def homes_asked_for(ec2) -> list[bool]:
    """Of each launch, whether it made a home volume."""
    return [len(arguments["BlockDeviceMappings"]) == 2 for (arguments,) in ec2.made("run")]


class NoLimits:
    """EC2's limits, not kept."""

    def is_free(self, action):
        return True

    async def reserve(self, action):
        pass

    async def admit(self, action, resources=0):
        pass
