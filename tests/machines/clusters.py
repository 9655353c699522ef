"""A cluster that was launched from a laptop, and what tests look at in it."""

import re
from dataclasses import dataclass, field
from typing import Any

from local import identities
from local.clouds import wait_for
from machines.clouds import BootedCloud
from machines.laptops import Laptop

from cloudjhub.policy import documents

ADMIN = "grace"
USERLIST = f"{ADMIN} admin\nada\n"
_STEP = re.compile(r"^done: (.+) \(.*\)$", re.MULTILINE)


@dataclass
class Cluster:
    """Run by an operator who may do what the policy of this cluster allows, and no more.

    ``secure``: more lines of secure.py; ``said``: what the launch printed.
    """

    cloud: BootedCloud
    laptop: Laptop
    name: str
    secure: dict[str, str] = field(default_factory=dict)
    said: str = ""
    _key: str = field(init=False)

    def __post_init__(self) -> None:
        document = documents.operator(identities.place(self.name))
        self._key = identities.user_with(self.cloud, document)

    @property
    def arguments(self) -> list[str]:
        """What a launch must be given."""
        seeded = self.cloud.ec2.engine.backend.seeded
        return [self.name, seeded["image"], seeded["subnet-a"], seeded["subnet-public"]]

    @property
    def url(self) -> str:
        return re.search(r"is ready: (\S+)", self.said)[1].rstrip("/")

    @property
    def public_address(self) -> str:
        return self.url.removeprefix("https://")

    @property
    def one_time_password(self) -> str:
        return re.search(rf"^  {ADMIN} +(\S+)$", self.said, re.MULTILINE)[1]

    @property
    def signup_word(self) -> str:
        return re.search(r"^Listed students sign up with .+: (\S+)$", self.said, re.MULTILINE)[1]

    @property
    def steps(self) -> list[str]:
        """Names of the steps that were said to be done."""
        return _STEP.findall(self.said)

    def run(self, *command: str, exit_code: int = 0) -> str:
        """What a command printed, given by this cluster's operator."""
        self._be_operator()
        return self.laptop.run(*command, exit_code=exit_code)

    def launch(self, *flags: str, exit_code: int = 0) -> None:
        """Keeps what it says."""
        command = ("./launch_cluster/launch.py", *self.arguments, *flags)
        self.said = self.run(*command, exit_code=exit_code)

    def launch_killed_after(self, step: str, *flags: str) -> None:
        """SIGKILL as soon as it says that the step is done."""
        self._be_operator()
        command = ("./launch_cluster/launch.py", *self.arguments, *flags)
        self.laptop.killed_after(f"done: {step} (", *command)

    def _be_operator(self) -> None:
        self.laptop.write_secure(
            AWS_ACCESS_KEY_ID=self._key,
            AWS_SECRET_KEY="not-checked",
            KEY_NAME=self.cloud.config["KEY_NAME"],
            KEY_PATH=self.cloud.config["WORKER_KEY_FILE"],
            **self.secure,
        )

    # -- what EC2 says of it

    def instances(self, role: str) -> list[dict[str, Any]]:
        """Those that have not ended."""
        return [each for each in self._instances(role) if each["State"]["Name"] != "terminated"]

    def manager(self) -> dict[str, Any]:
        (found,) = self.instances("manager")
        return found

    def machine_of(self, user: str) -> dict[str, Any]:
        (found,) = [each for each in self.instances("worker") if tags_of(each)[USER] == user]
        return found

    def wait_machine(self, user: str, state: str, seconds: float) -> None:
        """Shows the hub's log where it does not come to that."""
        try:
            wait_for(
                f"the machine of {user} to be {state}",
                lambda: self.machine_of(user)["State"]["Name"] == state,
                seconds,
            )
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.hub_log()}") from error

    def hub_log(self) -> str:
        return self.on_manager("journalctl --unit jupyterhub --no-pager --lines 200")

    def on_manager(self, script: str) -> str:
        """As root on the manager, not over the network."""
        return self.cloud.inside(self.manager()["InstanceId"], script)

    def tagged(self) -> dict[str, list[str]]:
        """Ids of everything in EC2 with the cluster's tag, by kind."""
        api, found = self.cloud.api, {}
        filters = [{"Name": f"tag:{CLUSTER}", "Values": [self.name]}]
        for kind, (call, answer, key) in _LISTINGS.items():
            ids = [each[key] for each in getattr(api, call)(Filters=filters)[answer]]
            found[kind] = sorted(ids)
        found["instance"] = sorted(
            each["InstanceId"]
            for role in ("manager", "worker", "builder")
            for each in self.instances(role)
        )
        return {kind: ids for kind, ids in found.items() if ids}

    def roles(self) -> list[str]:
        """Names of IAM roles and instance profiles of this cluster."""
        iam = identities.client(self.cloud, "iam")
        names = [each["RoleName"] for each in iam.list_roles()["Roles"]]
        listed = iam.list_instance_profiles()["InstanceProfiles"]
        names += [each["InstanceProfileName"] for each in listed]
        return [name for name in names if name.startswith(f"cloudjhub-{self.name}-")]

    def _instances(self, role: str) -> list[dict[str, Any]]:
        filters = [
            {"Name": f"tag:{CLUSTER}", "Values": [self.name]},
            {"Name": "tag:cloudjhub:role", "Values": [role]},
        ]
        pages = self.cloud.api.describe_instances(Filters=filters)["Reservations"]
        return [instance for page in pages for instance in page["Instances"]]


CLUSTER, USER = "cloudjhub:cluster", "cloudjhub:user"
_LISTINGS = {
    "volume": ("describe_volumes", "Volumes", "VolumeId"),
    "snapshot": ("describe_snapshots", "Snapshots", "SnapshotId"),
    "image": ("describe_images", "Images", "ImageId"),
    "group": ("describe_security_groups", "SecurityGroups", "GroupId"),
    "address": ("describe_addresses", "Addresses", "AllocationId"),
    "key": ("describe_key_pairs", "KeyPairs", "KeyPairId"),
}


def tags_of(thing: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in thing.get("Tags", [])}
