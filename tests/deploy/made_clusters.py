"""Clusters as a launch leaves them, on a local EC2 without machines, and whoever lives beside."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3

from cloudjhub.ec2_values import HOME_DEVICE, tag_list
from cloudjhub.local import LocalEC2, LocalSettings
from cloudjhub.naming import (
    LAUNCHED_TAG,
    Owner,
    instance_name,
    owner_tags,
    resource_name,
    role_tags,
)

CHECKOUT = Path(__file__).resolve().parents[2]
QUICK = LocalSettings(
    variant="standin",
    pending_seconds=0.05,
    boot_seconds=0.0,
    stopping_seconds=0.05,
    shutting_down_seconds=0.05,
    volume_seconds=0.02,
)
LIVE = ["pending", "running", "stopping", "stopped", "shutting-down"]


@dataclass
class Made:
    """What a test made of one cluster."""

    name: str
    ids: dict[str, str] = field(default_factory=dict)
    workers: dict[str, str] = field(default_factory=dict)  # owner -> instance id
    homes: dict[str, str] = field(default_factory=dict)  # owner -> volume id


class Place:
    """One account and region with its clusters."""

    def __init__(self, ec2: LocalEC2):
        self.ec2 = ec2
        self.operator_key = "local"  # that of the account itself, which may do everything
        self.config = ec2.seed()
        self.api = self._client("ec2")
        self.iam = self._client("iam")

    def _client(self, service: str) -> Any:
        return boto3.client(
            service,
            region_name="us-east-1",
            endpoint_url=self.ec2.endpoint_url,
            aws_access_key_id="local",
            aws_secret_access_key="local",
        )

    @property
    def vpc(self) -> str:
        (subnet,) = self.api.describe_subnets(SubnetIds=[self.config["SUBNET_ID"]])["Subnets"]
        return subnet["VpcId"]

    # -- making

    def cluster(self, name: str, owners: Sequence[str] = ("ada", "bob")) -> Made:
        """Everything that a launch makes, and machines of users."""
        made = Made(name)
        self._network(made)
        self._access(made)
        made.ids["manager"] = self.machine(name, "manager", group=made.ids["manager-group"])
        self._address(made)
        launched = [{"Key": LAUNCHED_TAG, "Value": "2026-11-23T12:00:00+00:00"}]
        self.api.create_tags(Resources=[made.ids["manager"]], Tags=launched)
        made.ids["image"] = self._image(made)
        for owner in owners:
            self.worker(made, owner)
        return made

    def _network(self, made: Made) -> None:
        for role in ("manager", "manager2", "worker"):
            answer = self.api.create_security_group(
                GroupName=resource_name(made.name, role),
                Description=f"{role} of {made.name}",
                VpcId=self.vpc,
                TagSpecifications=tags_of("security-group", role_tags(made.name, role)),
            )
            made.ids[f"{role}-group"] = answer["GroupId"]
        self._admit(made, "worker", "manager2", 22)
        self._admit(made, "worker", "manager2", 8888)
        self._admit(made, "manager", "worker", 8081)
        answer = self.api.create_key_pair(
            KeyName=resource_name(made.name, "worker"),
            TagSpecifications=tags_of("key-pair", role_tags(made.name, "worker-key")),
        )
        made.ids["key-pair"] = answer["KeyPairId"]

    def _admit(self, made: Made, group: str, source: str, port: int) -> None:
        rule = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port}
        pairs = [{"GroupId": made.ids[f"{source}-group"]}]
        self.api.authorize_security_group_ingress(
            GroupId=made.ids[f"{group}-group"], IpPermissions=[{**rule, "UserIdGroupPairs": pairs}]
        )

    def _access(self, made: Made) -> None:
        name, tags = resource_name(made.name, "manager"), tag_list(role_tags(made.name, "manager"))
        self.iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}", Tags=tags)
        right = '{"Effect": "Allow", "Action": "ec2:DescribeInstances", "Resource": "*"}'
        policy = f'{{"Version": "2012-10-17", "Statement": [{right}]}}'
        self.iam.put_role_policy(RoleName=name, PolicyName=name, PolicyDocument=policy)
        self.iam.create_instance_profile(InstanceProfileName=name, Tags=tags)
        self.iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)

    def _address(self, made: Made) -> None:
        answer = self.api.allocate_address(
            Domain="vpc", TagSpecifications=tags_of("elastic-ip", role_tags(made.name, "manager"))
        )
        made.ids["address"] = answer["AllocationId"]
        self.until_running(made.ids["manager"])
        self.api.associate_address(
            AllocationId=answer["AllocationId"], InstanceId=made.ids["manager"]
        )

    def _image(self, made: Made) -> str:
        tags = role_tags(made.name, "worker-image")
        image = self.api.create_image(InstanceId=made.ids["manager"], Name=f"{made.name}-worker")
        (described,) = self.api.describe_images(ImageIds=[image["ImageId"]])["Images"]
        snapshots = [d["Ebs"]["SnapshotId"] for d in described["BlockDeviceMappings"]]
        self.api.create_tags(Resources=[image["ImageId"], *snapshots], Tags=tag_list(tags))
        made.ids["image-snapshot"] = snapshots[0]
        return image["ImageId"]

    def machine(self, cluster: str, role: str, *, group: str, home: bool = False) -> str:
        """An instance that nobody owns yet."""
        disk = {"worker": "disk"}.get(role, f"{role}-disk")
        disks = [{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 8, "DeleteOnTermination": True}}]
        if home:
            ebs = {"VolumeSize": 4, "VolumeType": "gp3", "DeleteOnTermination": False}
            disks.append({"DeviceName": HOME_DEVICE, "Ebs": ebs})
        answer = self.api.run_instances(
            ImageId=self.config["WORKER_AMI"],
            InstanceType="t3.small",
            MinCount=1,
            MaxCount=1,
            SubnetId=self.config["SUBNET_ID"],
            SecurityGroupIds=[group],
            BlockDeviceMappings=disks,
            TagSpecifications=[
                *tags_of("instance", role_tags(cluster, role)),
                *tags_of("volume", role_tags(cluster, disk)),
            ],
        )
        return answer["Instances"][0]["InstanceId"]

    def worker(self, made: Made, owner: str) -> str:
        """A user's machine with a home, running."""
        group = made.ids["worker-group"]
        machine = self.machine(made.name, "worker", group=group, home=True)
        self.until_running(machine)
        home = self.home_of(machine)
        whose = Owner(owner)
        tags = {**owner_tags(whose), "Name": instance_name(made.name, whose)}
        self.api.create_tags(Resources=[machine, home], Tags=tag_list(tags))
        made.workers[owner], made.homes[owner] = machine, home
        return machine

    def stranger(self) -> dict[str, str]:
        """Somebody else's machine, volume and security group, without any tag of ours."""
        group = self.api.create_security_group(
            GroupName="strangers", Description="x", VpcId=self.vpc
        )["GroupId"]
        volume = self.api.create_volume(Size=1, AvailabilityZone="us-east-1a")["VolumeId"]
        machine = self.api.run_instances(
            ImageId=self.config["WORKER_AMI"],
            InstanceType="t3.small",
            MinCount=1,
            MaxCount=1,
            SubnetId=self.config["SUBNET_ID"],
            SecurityGroupIds=[group],
        )["Instances"][0]["InstanceId"]
        self.until_running(machine)
        return {"group": group, "volume": volume, "machine": machine}

    # -- looking

    def home_of(self, machine: str) -> str:
        """The volume at the home device."""
        raw = self.instance(machine)
        volumes = {d["DeviceName"]: d["Ebs"]["VolumeId"] for d in raw["BlockDeviceMappings"]}
        return volumes[HOME_DEVICE]

    def instance(self, machine: str) -> dict[str, Any]:
        """As EC2 describes it."""
        answer = self.api.describe_instances(InstanceIds=[machine])
        return answer["Reservations"][0]["Instances"][0]

    def cluster_manager(self, cluster: str) -> str:
        """Id of its manager."""
        tags = [
            {"Name": "tag:cloudjhub:cluster", "Values": [cluster]},
            {"Name": "tag:cloudjhub:role", "Values": ["manager"]},
        ]
        (reservation,) = self.api.describe_instances(Filters=tags)["Reservations"]
        return reservation["Instances"][0]["InstanceId"]

    def state(self, machine: str) -> str:
        """EC2's word for its state."""
        return self.instance(machine)["State"]["Name"]

    def until_running(self, machine: str) -> None:
        """Wait for it."""
        self.until(lambda: self.state(machine) == "running", f"{machine} to run")

    def until(self, holds: Any, what: str, seconds: float = 60.0) -> None:
        """Wait, with a deadline."""
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
            time.sleep(0.02)

    def everything(self) -> dict[str, Any]:
        """Ids of all that exists, whoever's it is, by kind; ended instances left out."""
        live = [{"Name": "instance-state-name", "Values": LIVE}]
        reservations = self.api.describe_instances(Filters=live)["Reservations"]
        call = self.api
        return {
            "machines": {i["InstanceId"] for r in reservations for i in r["Instances"]},
            "volumes": {v["VolumeId"] for v in call.describe_volumes()["Volumes"]},
            "images": {i["ImageId"] for i in call.describe_images(Owners=["self"])["Images"]},
            "snapshots": {
                s["SnapshotId"] for s in call.describe_snapshots(OwnerIds=["self"])["Snapshots"]
            },
            "addresses": {a["AllocationId"] for a in call.describe_addresses()["Addresses"]},
            "keys": {k["KeyPairId"] for k in call.describe_key_pairs()["KeyPairs"]},
            "groups": {g["GroupId"] for g in call.describe_security_groups()["SecurityGroups"]},
            "rules": {
                r["SecurityGroupRuleId"]
                for r in call.describe_security_group_rules()["SecurityGroupRules"]
            },
            "roles": {r["RoleName"] for r in self.iam.list_roles()["Roles"]},
            "profiles": {
                p["InstanceProfileName"]
                for p in self.iam.list_instance_profiles()["InstanceProfiles"]
            },
        }

    # -- the operator

    def environment(self) -> dict[str, str]:
        """What an operator's shell says."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "CLOUDJHUB_REGION": "us-east-1",
            "CLOUDJHUB_EC2_ENDPOINT_URL": self.ec2.endpoint_url,
            "AWS_ACCESS_KEY_ID": self.operator_key,
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def command(self, script: str, *arguments: str) -> list[str]:
        """The script as a program of this computer."""
        return [sys.executable, str(CHECKOUT / "scripts" / script), *arguments]

    def run(
        self, script: str, *arguments: str, typed: str = "", seconds: float = 120.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a script to its end, as an operator would."""
        return subprocess.run(
            self.command(script, *arguments),
            env=self.environment(),
            input=typed,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def killed_at(self, text: str, script: str, *arguments: str) -> bool:
        """Run a script, kill it once a line says the text; False: it ended without saying it."""
        process = subprocess.Popen(
            self.command(script, *arguments),
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdout is not None
        try:
            return any(text in line for line in process.stdout)
        finally:
            process.kill()
            process.wait(30)
            process.stdout.close()


def tags_of(kind: str, tags: dict[str, str]) -> list[dict[str, Any]]:
    """TagSpecifications of one kind."""
    return [{"ResourceType": kind, "Tags": tag_list(tags)}]


def gone(before: dict[str, set[str]], after: dict[str, set[str]]) -> dict[str, set[str]]:
    """What is missing, by kind."""
    return {kind: ids - after[kind] for kind, ids in before.items() if ids - after[kind]}
