"""Launches on a local EC2 whose machines are none: what is done on them over SSH is left out."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from deploy.networks import Account

from cloudjhub.account.machines import Machine
from cloudjhub.deploy import launch, waiting
from cloudjhub.deploy.provision.manager import ManagerFacts
from cloudjhub.deploy.steps import health, manager, reach, worker_image
from cloudjhub.deploy.steps.site import Site

PUBLIC_KEY = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl manager"
)


class Killed(BaseException):
    """What no handler of the launch sees, like SIGKILL."""


class Machines:
    """Stands for everything that is done over SSH."""

    def __init__(self) -> None:
        self.failure: BaseException | None = None
        self.before_failure: Callable[[], None] = lambda: None
        self.set_up: Counter[str] = Counter()
        self.noted = ""

    @contextmanager
    def session(self, site: Site, machine: Machine, host: str) -> Iterator[str]:
        assert host
        yield machine.id

    def provision_worker(self, session: str, *rest: Any) -> None:
        self.set_up["worker"] += 1
        if self.failure:
            self.before_failure()
            raise self.failure

    def note_requirements(self, session: str, text: str) -> None:
        self.noted = text

    def provision_manager(self, session: str, plan: Any, say: Any) -> ManagerFacts:
        self.set_up["manager"] += 1
        self.config = plan.server_config
        return ManagerFacts(
            url=f"https://{plan.public_address}/",
            versions={},
            one_time_passwords={"ada": "once"},
            signup_word=plan.login.signup_word,
        )


def replaced(account: Account, monkeypatch: pytest.MonkeyPatch, folder: Path) -> Machines:
    """The machines of every launch of this test."""
    made = Machines()
    monkeypatch.setattr(launch, "Clients", lambda _: account.clients)
    monkeypatch.setattr(waiting, "PAUSE_SECONDS", 0.1)
    monkeypatch.setattr(reach, "session", made.session)
    monkeypatch.setattr(worker_image.provision, "provision_worker", made.provision_worker)
    monkeypatch.setattr(worker_image.provision, "clean_for_imaging", lambda *_: None)
    monkeypatch.setattr(worker_image.provision, "check_worker", lambda *_: [])
    monkeypatch.setattr(manager, "make_worker_key", lambda _: PUBLIC_KEY)
    monkeypatch.setattr(manager, "provision_manager", made.provision_manager)
    monkeypatch.setattr(manager, "note_requirements", made.note_requirements)
    monkeypatch.setattr(health, "hub_version", lambda *_: "6.1")
    monkeypatch.chdir(folder)
    return made


def run(account: Account, cluster: str, **changes: str) -> int:
    return launch.main(account.arguments(CLUSTER_NAME=cluster, **changes))


def what_exists(account: Account, cluster: str) -> dict[str, int]:
    """How many of each kind carry the cluster's tag, and are not at their end."""
    mine = [{"Name": "tag:cloudjhub:cluster", "Values": [cluster]}]
    alive = {"Name": "instance-state-name", "Values": ["pending", "running", "stopped"]}
    api, iam = account.api, account.client("iam")
    found = api.describe_instances(Filters=[*mine, alive])["Reservations"]
    roles = [
        tag["Value"]
        for reservation in found
        for instance in reservation["Instances"]
        for tag in instance["Tags"]
        if tag["Key"] == "cloudjhub:role"
    ]
    name = f"cloudjhub-{cluster}-manager"
    return {
        **Counter(roles),
        "groups": len(api.describe_security_groups(Filters=mine)["SecurityGroups"]),
        "images": len(api.describe_images(Owners=["self"], Filters=mine)["Images"]),
        "addresses": len(api.describe_addresses(Filters=mine)["Addresses"]),
        "key pairs": len(api.describe_key_pairs(Filters=mine)["KeyPairs"]),
        "IAM roles": [role["RoleName"] for role in iam.list_roles()["Roles"]].count(name),
    }


ONE_CLUSTER = {
    "manager": 1,
    "groups": 3,
    "images": 1,
    "addresses": 1,
    "key pairs": 1,
    "IAM roles": 1,
}
