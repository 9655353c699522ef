"""Ways to talk to a local EC2 and to its machines."""

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from cloudjhub.local import LocalEC2, LocalSettings

INSTANT = LocalSettings(
    pending_seconds=0.05,
    boot_seconds=0.0,
    stopping_seconds=0.05,
    shutting_down_seconds=0.05,
    volume_seconds=0.02,
)


def client_of(endpoint_url: str, region: str = "us-east-1", **options: Any) -> Any:
    """A client that tries once."""
    return boto3.client(
        "ec2",
        endpoint_url=endpoint_url,
        region_name=region,
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=Config(
            retries={"total_max_attempts": 1}, connect_timeout=30, read_timeout=60, **options
        ),
    )


def wait_for(what: str, check: Callable[[], Any], seconds: float = 60.0) -> Any:
    """The first true value of ``check()``."""
    deadline = time.monotonic() + seconds
    while not (value := check()):
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.02)
    return value


def code_of(call: Callable[[], Any]) -> tuple[str, int]:
    """EC2's error code and the HTTP status of a call that must fail."""
    with pytest.raises(ClientError) as caught:
        call()
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


@dataclass
class Cloud:
    """A local EC2 as a test uses it."""

    ec2: LocalEC2
    config: dict[str, Any] = field(init=False)
    api: Any = field(init=False)
    #: how long the waits below wait
    patience_seconds: float = 60.0

    def __post_init__(self) -> None:
        self.config = self.ec2.seed()
        self.api = client_of(self.ec2.endpoint_url)

    def launch(self, count: int = 1, **changes: Any) -> list[str]:
        """Ids of new instances, not waited for."""
        return [i["InstanceId"] for i in self.run(count, **changes)["Instances"]]

    def run(self, count: int = 1, **changes: Any) -> dict[str, Any]:
        request = {
            "ImageId": self.config["WORKER_AMI"],
            "InstanceType": "t3.small",
            "MinCount": count,
            "MaxCount": count,
            "SubnetId": self.config["SUBNET_ID"],
            "KeyName": self.config["KEY_NAME"],
            "SecurityGroupIds": self.config["WORKER_SECURITY_GROUPS"],
        } | changes
        return self.api.run_instances(**{k: v for k, v in request.items() if v is not None})

    def instance(self, instance_id: str) -> dict[str, Any]:
        found = self.api.describe_instances(InstanceIds=[instance_id])
        return found["Reservations"][0]["Instances"][0]

    def state(self, instance_id: str) -> str:
        return self.instance(instance_id)["State"]["Name"]

    def wait(self, what: str, check: Callable[[], Any]) -> Any:
        return wait_for(what, check, self.patience_seconds)

    def wait_state(self, instance_id: str, state: str) -> None:
        self.wait(f"{instance_id} {state}", lambda: self.state(instance_id) == state)

    def volume(self, volume_id: str) -> dict[str, Any]:
        return self.api.describe_volumes(VolumeIds=[volume_id])["Volumes"][0]

    def wait_volume(self, volume_id: str, state: str) -> None:
        self.wait(f"{volume_id} {state}", lambda: self.volume(volume_id)["State"] == state)

    def wait_attached(self, volume_id: str) -> None:
        def attached() -> bool:
            attachments = self.volume(volume_id)["Attachments"]
            return bool(attachments) and attachments[0]["State"] == "attached"

        self.wait(f"{volume_id} attached", attached)

    def volume_at(self, instance_id: str, device: str) -> str:
        mappings = self.instance(instance_id)["BlockDeviceMappings"]
        return next(m["Ebs"]["VolumeId"] for m in mappings if m["DeviceName"] == device)

    def ssh(self, instance_id: str, command: str, timeout_seconds: float = 60.0) -> str:
        """One login over the real ssh client. Raises CalledProcessError."""
        address = self.instance(instance_id)["PrivateIpAddress"]
        options = ["BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null"]
        options += ["LogLevel=ERROR", "IdentitiesOnly=yes", "ConnectTimeout=20"]
        destination = f"{self.config['WORKER_USERNAME']}@{address}"
        finished = subprocess.run(
            [
                "ssh",
                "-F",
                "none",
                *(part for option in options for part in ("-o", option)),
                "-i",
                self.config["WORKER_KEY_FILE"],
                "-p",
                str(self.config["WORKER_SSH_PORT"]),
                destination,
                command,
            ],
            check=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
        )
        return finished.stdout

    def wait_ssh(self, instance_id: str) -> None:
        def answers() -> bool:
            try:
                return self.ssh(instance_id, "echo up") == "up\n"
            except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
                return False

        self.wait(f"ssh of {instance_id}", answers)
