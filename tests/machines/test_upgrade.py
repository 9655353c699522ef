"""A manager with a running hub is upgraded: its software, and the AMI of users' machines."""

import json
import os
import shutil
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from deploy.certificates import certificate
from machines.clouds import BootedCloud

from cloudjhub import remote, userlist
from cloudjhub.deploy.provision import change_https
from cloudjhub.deploy.provision import upgrade as provision
from cloudjhub.deploy.provision.https import Acme, PlainHttp
from cloudjhub.deploy.provision.manager import ManagerPlan, make_worker_key, provision_manager
from cloudjhub.deploy.provision.shell import ProvisionError
from cloudjhub.deploy.provision.wheel import build_wheel
from cloudjhub.ec2_values import tag_list
from cloudjhub.naming import role_tags
from cloudjhub.remote_values import Target

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(1500)]

CHECKOUT = Path(__file__).resolve().parents[2]
CLUSTER = "upgraded"
CHANGES_THE_SCHEMA_AND_FAILS = """import sqlite3

with sqlite3.connect("/var/lib/jupyterhub/jupyterhub.sqlite") as database:
    database.execute("update alembic_version set version_num = 'of_tomorrow'")
raise RuntimeError("broken on purpose")
"""
CONFIG = "/etc/jupyterhub/jupyterhub_config.py"
WRITTEN = "/opt/cloudjhub/jupyterhub_config-written.py"
#: as an earlier launch would have written it
OLDER_CONFIG = f"echo '# older' >>{CONFIG} && cp {CONFIG} {WRITTEN}"


@dataclass
class Manager:
    """A running manager, and how an operator and the hub's proxy see it."""

    cloud: BootedCloud
    id: str
    address: str
    private_address: str
    config: dict[str, Any]

    def session(self) -> remote.Session:
        target = Target(self.address, 22, "admin", self.cloud.config["WORKER_KEY_FILE"])
        return remote.connect(target, self.fingerprint, 15)

    fingerprint: str = ""

    def version(self) -> str:
        """What the hub says, through the proxy."""
        url = f"http://{self.address}/hub/api/"
        with urllib.request.urlopen(url, timeout=20) as answer:
            return json.loads(answer.read())["version"]

    def started(self, unit: str) -> str:
        """When a service was last started; another text after each start."""
        show = f"systemctl show --property=ActiveEnterTimestampMonotonic {unit}"
        return self.cloud.inside(self.id, show).strip()

    def builders(self) -> list[str]:
        """Machines on which an AMI is made."""
        filters = [
            {"Name": "tag:cloudjhub:cluster", "Values": [CLUSTER]},
            {"Name": "tag:cloudjhub:role", "Values": ["builder"]},
            {"Name": "instance-state-name", "Values": ["pending", "running", "stopped"]},
        ]
        found = self.cloud.api.describe_instances(Filters=filters)["Reservations"]
        return [i["InstanceId"] for reservation in found for i in reservation["Instances"]]

    def upgrade(self, *arguments: str, exit_code: int = 0) -> str:
        """scripts/upgrade.py, as an operator runs it."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "CLOUDJHUB_EC2_ENDPOINT_URL": self.cloud.ec2.endpoint_url,
            "CLOUDJHUB_KEY_PATH": self.cloud.config["WORKER_KEY_FILE"],
            "CLOUDJHUB_KEY_NAME": self.cloud.config["KEY_NAME"],
            "CLOUDJHUB_SERVER_USERNAME": "admin",
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        done = subprocess.run(
            [sys.executable, str(CHECKOUT / "scripts/upgrade.py"), CLUSTER, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=900,
            check=False,
        )
        assert done.returncode == exit_code, done.stdout
        return done.stdout


@pytest.fixture(scope="module")
def manager(cloud: BootedCloud) -> Iterator[Manager]:
    """Set up as a launch does it."""
    group = cloud.api.create_security_group(
        GroupName=f"cloudjhub-{CLUSTER}-manager",
        Description="x",
        VpcId=cloud.ec2.engine.backend.seeded["vpc"],
        TagSpecifications=[
            {"ResourceType": "security-group", "Tags": tag_list(role_tags(CLUSTER, "manager"))}
        ],
    )["GroupId"]
    anywhere = [{"CidrIp": "0.0.0.0/0"}]
    cloud.api.authorize_security_group_ingress(
        GroupId=group,
        IpPermissions=[
            {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": anywhere}
            for port in (22, 80, 443)
        ],
    )
    tags = [{"ResourceType": "instance", "Tags": tag_list(role_tags(CLUSTER, "manager"))}]
    (machine,) = cloud.launch(
        SubnetId=cloud.ec2.engine.backend.seeded["subnet-public"],
        SecurityGroupIds=[group],
        TagSpecifications=tags,
    )
    cloud.wait_state(machine, "running")
    allocation = cloud.api.allocate_address(Domain="vpc")
    cloud.api.associate_address(AllocationId=allocation["AllocationId"], InstanceId=machine)
    made = Manager(
        cloud,
        machine,
        allocation["PublicIp"],
        cloud.instance(machine)["PrivateIpAddress"],
        {
            key: value
            for key, value in cloud.config.items()
            if key not in ("WORKER_KEY_FILE", "WORKER_SSH_PORT")
        },
    )
    made.config |= {"CLUSTER_NAME": CLUSTER, "WORKER_INSTANCE_TYPE": "t3.small"}
    with _first_login(made) as session:
        made.fingerprint = session.fingerprint
        make_worker_key(session)
        provision_manager(session, _plan(made))
    tag = [{"Key": "cloudjhub:host-key", "Value": made.fingerprint}]
    cloud.api.create_tags(Resources=[machine], Tags=tag)
    yield made
    cloud.terminate(machine)
    cloud.api.release_address(AllocationId=allocation["AllocationId"])
    cloud.api.delete_security_group(GroupId=group)


def _first_login(made: Manager) -> remote.Session:
    target = Target(made.address, 22, "admin", made.cloud.config["WORKER_KEY_FILE"])
    opened: list[remote.Session] = []

    def answers() -> bool:
        try:
            opened.append(remote.connect(target, None, 10))
        except Exception:
            return False
        return True

    made.cloud.wait(f"a login to {target}", answers)
    return opened[0]


def _plan(made: Manager) -> ManagerPlan:
    people, findings = userlist.parse("teacher admin\n", "userlist")
    assert not findings
    return ManagerPlan(
        server_config=made.config,
        private_address=made.private_address,
        public_address=made.address,
        userlist=people,
        https=PlainHttp(),
    )


def test_the_hub_is_upgraded_and_the_proxy_runs_on(manager: Manager):
    proxy, hub = manager.started("jupyterhub-proxy"), manager.started("jupyterhub")
    manager.cloud.inside(manager.id, OLDER_CONFIG)
    said = manager.upgrade("--yes")
    assert "which nobody has changed there, becomes new too" in said
    ours = (CHECKOUT / "jupyterhub_config.py").read_text()
    assert manager.cloud.inside(manager.id, f"cat {CONFIG}") == ours
    assert manager.cloud.inside(manager.id, f"cat {WRITTEN}") == ours
    assert "becomes this checkout's" in said and "answers." in said
    assert manager.version()
    assert manager.started("jupyterhub") != hub
    assert manager.started("jupyterhub-proxy") == proxy
    wheels = manager.cloud.inside(manager.id, "ls /opt/cloudjhub/wheels /opt/cloudjhub/incoming")
    assert wheels.count(".whl") == 1
    assert "upgraded-" in manager.cloud.inside(
        manager.id, "cat /opt/cloudjhub/running/jupyterhub.service"
    )


def test_a_hub_that_does_not_start_gives_way_to_the_former_one(manager: Manager, tmp_path: Path):
    broken = tmp_path / "checkout"
    broken.mkdir()
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy2(CHECKOUT / name, broken / name)
    shutil.copytree(CHECKOUT / "cloudjhub", broken / "cloudjhub")
    # As a new JupyterHub that changes the schema of the database and then fails.
    (broken / "cloudjhub/spawner.py").write_text(CHANGES_THE_SCHEMA_AND_FAILS)
    manager.cloud.inside(manager.id, OLDER_CONFIG)
    proxy = manager.started("jupyterhub-proxy")
    with manager.session() as session, pytest.raises(ProvisionError) as failed:
        provision.upgrade_hub(session, build_wheel(broken), manager.private_address)
    assert "ran before runs again" in failed.value.remedy
    assert "broken on purpose" in failed.value.log_tail
    assert "database is put back" in failed.value.log_tail
    assert "database-before" not in manager.cloud.inside(manager.id, "ls /opt/cloudjhub")
    assert manager.version()
    assert manager.started("jupyterhub-proxy") == proxy
    spawner = "/opt/cloudjhub/venv/lib/python3*/site-packages/cloudjhub/spawner.py"
    assert "broken on purpose" not in manager.cloud.inside(manager.id, f"cat {spawner}")
    assert manager.cloud.inside(manager.id, f"cat {CONFIG}").endswith("# older\n")
    assert "config-" not in manager.cloud.inside(manager.id, "ls /opt/cloudjhub").replace(
        "jupyterhub_config-written.py", ""
    )
    # And it can be upgraded as if nothing had been.
    assert "answers." in manager.upgrade("--yes")


def test_the_ami_of_users_machines_is_changed_in_the_running_hubs_configuration(manager: Manager):
    hub = manager.started("jupyterhub")
    ami = manager.cloud.api.register_image(Name="another")["ImageId"]
    said = manager.upgrade("--worker-ami", ami, "--yes")
    assert f"The worker AMI is {ami} from now on" in said
    path = "/etc/jupyterhub/server_config.json"
    shown = manager.cloud.inside(manager.id, f"stat -c '%a %U:%G' {path}; cat {path}")
    mode, _, text = shown.partition("\n")
    assert mode == "600 jupyterhub:jupyterhub"
    assert json.loads(text)["WORKER_AMI"] == ami
    assert manager.started("jupyterhub") == hub
    with manager.session() as session:
        assert provision.used_amis(session) == [manager.config["WORKER_AMI"], ami]
        with pytest.raises(ProvisionError, match="would refuse"):
            provision.change_server_config(session, {"WORKER_AMI": "no such thing"})
        assert provision.server_config(session)["WORKER_AMI"] == ami


def test_a_new_worker_ami_is_made_and_used(manager: Manager):
    with manager.session() as session:
        former = provision.server_config(session)["WORKER_AMI"]
    said = manager.upgrade("--rebuild-worker", "--yes")
    with manager.session() as session:
        ami = provision.server_config(session)["WORKER_AMI"]
    assert ami != former and f"The worker AMI is {ami}" in said
    assert f"--worker-ami {former}" in said
    image = manager.cloud.image(ami)
    assert image["State"] == "available"
    tags = {tag["Key"]: tag["Value"] for tag in image["Tags"]}
    assert (tags["cloudjhub:cluster"], tags["cloudjhub:role"]) == (CLUSTER, "worker-image")
    assert not manager.builders()
    machine = manager.cloud.booted(ImageId=ami)
    version = manager.cloud.inside(
        machine, "PATH=$PATH:/opt/cloudjhub/bin jupyterhub-singleuser --version"
    )
    manager.cloud.terminate(machine)
    assert version.strip() == manager.version()


def shown_certificate(manager: Manager) -> str:
    """What a browser would see at the public address."""
    return "".join(ssl.get_server_certificate((manager.address, 443), timeout=20).split())


def test_certificate_files_are_served_and_what_caddy_refuses_is_taken_back(
    manager: Manager, tmp_path: Path
):
    crt, key = certificate(tmp_path, days=90)
    hub, proxy = manager.started("jupyterhub"), manager.started("jupyterhub-proxy")
    said = manager.upgrade("--certificate_file", crt, "--certificate_key_file", key, "--yes")
    assert "answers at https://hub.example.edu/" in said
    given = "".join(Path(crt).read_text().split())
    assert shown_certificate(manager) == given
    assert manager.started("jupyterhub") != hub
    assert manager.started("jupyterhub-proxy") == proxy
    with manager.session() as session:
        assert change_https.url_now(session) == "https://hub.example.edu/"
        bad = Acme("hub.example.edu", "a@b{.edu", "no address")
        with pytest.raises(ProvisionError) as failed:
            change_https.change_https(session, bad, (manager.address, manager.private_address))
        assert "reached as before" in failed.value.remedy, failed.value.log_tail
    assert shown_certificate(manager) == given
    assert "https-before" not in manager.cloud.inside(manager.id, "ls /opt/cloudjhub")
    said = manager.upgrade("--self_signed", "--yes")
    assert f"answers at https://{manager.address}/" in said
    assert shown_certificate(manager) != given
    assert f"answers at http://{manager.address}/" in manager.upgrade("--plain_http", "--yes")
    assert manager.version()
