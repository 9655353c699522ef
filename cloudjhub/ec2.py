"""EC2 in about fifteen short blocking calls; the only importer of boto3.

Values go in, values come out, errors are ours. Nothing here waits, and only reads are retried:
botocore's retry quota belongs to a client, and a launch without capacity would use it up for
the describes (botocore/retries/standard.py). Writes are repeated by the fleet, which knows more.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
)
from botocore.exceptions import ConnectionError as NoConnection
from botocore.parsers import ResponseParserError

from cloudjhub import ec2_errors
from cloudjhub.ec2_values import (
    Image,
    Instance,
    Volume,
    image_from,
    instance_from,
    tag_list,
    volume_from,
)
from cloudjhub.errors import BadLaunch, EC2Error, NotPermitted
from cloudjhub.naming import CLUSTER_TAG, DISK_ROLE, ROLE_TAG, WORKER_ROLE

_PAGE_SIZE = 1000  # the most that DescribeInstances takes
_READ_ATTEMPTS = 3


class EC2:
    """The calls that one cluster makes. Thread-safe, as boto3's clients are."""

    def __init__(self, *, cluster: str, region: str, endpoint_url: str | None, threads: int = 16):
        self.cluster = cluster
        session = boto3.session.Session(region_name=region)

        def client(attempts: int, read_seconds: int) -> Any:
            return session.client(
                "ec2",
                endpoint_url=endpoint_url,
                config=Config(
                    retries={"mode": "standard", "total_max_attempts": attempts},
                    connect_timeout=5,
                    read_timeout=read_seconds,
                    max_pool_connections=threads,
                ),
            )

        self._read, self._write = client(_READ_ATTEMPTS, 10), client(1, 30)

    # -- reading

    def instances(self) -> list[Instance]:
        """Every worker of the cluster in any state; terminated ones while EC2 shows them."""
        pages = self._pages("describe_instances", Filters=self._filters(WORKER_ROLE))
        return [
            instance_from(raw)
            for page in pages
            for reservation in page["Reservations"]
            for raw in reservation["Instances"]
        ]

    def volumes(self) -> list[Volume]:
        """Every volume of the cluster: root disks, homes (they carry an owner), unused homes."""
        pages = self._pages("describe_volumes", Filters=self._filters(DISK_ROLE))
        return [volume_from(raw) for page in pages for raw in page["Volumes"]]

    def image(self, image_id: str) -> Image:
        """One AMI. Raises BadLaunch where there is none."""
        answer = _asked(self._read.describe_images, "DescribeImages", ImageIds=[image_id])
        if not answer["Images"]:
            raise BadLaunch(
                f"The AMI WORKER_AMI {image_id} does not exist in this region.",
                action="DescribeImages",
            )
        return image_from(answer["Images"][0])

    def console_output(self, instance_id: str) -> str:
        """The machine's own log, up to 64 kB; "" while EC2 has none."""
        answer = _asked(self._read.get_console_output, "GetConsoleOutput", InstanceId=instance_id)
        return answer.get("Output", "")

    # -- writing: one attempt each

    def run(self, arguments: Mapping[str, Any]) -> list[Instance]:
        """RunInstances with what launch_spec built; between MinCount and MaxCount machines."""
        answer = _asked(self._write.run_instances, "RunInstances", **arguments)
        return [instance_from(raw) for raw in answer["Instances"]]

    def start(self, instance_ids: list[str]) -> dict[str, str]:
        """StartInstances, all or none. Gives each id's new state."""
        answer = _asked(self._write.start_instances, "StartInstances", InstanceIds=instance_ids)
        return _new_states(answer["StartingInstances"])

    def stop(self, instance_ids: list[str], *, force: bool = False) -> dict[str, str]:
        """StopInstances, all or none; ``force`` gives the machine's own shutdown less time."""
        answer = _asked(
            self._write.stop_instances, "StopInstances", InstanceIds=instance_ids, Force=force
        )
        return _new_states(answer["StoppingInstances"])

    def terminate(self, instance_ids: list[str]) -> dict[str, str]:
        """TerminateInstances, all or none. Volumes that outlive their machine stay."""
        answer = _asked(
            self._write.terminate_instances, "TerminateInstances", InstanceIds=instance_ids
        )
        return _new_states(answer["TerminatingInstances"])

    def tag(self, resource_ids: list[str], tags: Mapping[str, str]) -> None:
        """CreateTags: the same tags on each resource; existing keys are overwritten."""
        _asked(self._write.create_tags, "CreateTags", Resources=resource_ids, Tags=tag_list(tags))

    def untag(self, resource_ids: list[str], keys: list[str]) -> None:
        """DeleteTags, whatever the values are."""
        _asked(
            self._write.delete_tags,
            "DeleteTags",
            Resources=resource_ids,
            Tags=[{"Key": key} for key in keys],
        )

    def attach(self, volume_id: str, instance_id: str, device: str) -> None:
        """AttachVolume; both must lie in one zone."""
        _asked(
            self._write.attach_volume,
            "AttachVolume",
            VolumeId=volume_id,
            InstanceId=instance_id,
            Device=device,
        )

    def detach(self, volume_id: str, instance_id: str, device: str) -> None:
        """DetachVolume."""
        _asked(
            self._write.detach_volume,
            "DetachVolume",
            VolumeId=volume_id,
            InstanceId=instance_id,
            Device=device,
        )

    def delete_volume(self, volume_id: str) -> None:
        """DeleteVolume, for ever."""
        _asked(self._write.delete_volume, "DeleteVolume", VolumeId=volume_id)

    # -- inside

    def _filters(self, role: str) -> list[dict[str, Any]]:
        return [
            {"Name": f"tag:{CLUSTER_TAG}", "Values": [self.cluster]},
            {"Name": f"tag:{ROLE_TAG}", "Values": [role]},
        ]

    def _pages(self, operation: str, **arguments: Any) -> Iterator[Any]:
        # Filtered and paginated, for the larger of EC2's two describe buckets.
        paginator = self._read.get_paginator(operation)
        pages = iter(paginator.paginate(**arguments, PaginationConfig={"PageSize": _PAGE_SIZE}))
        action = "".join(word.capitalize() for word in operation.split("_"))
        while (page := _asked(next, action, pages, None)) is not None:
            yield page


def _asked(call: Callable[..., Any], action: str, *positional: Any, **arguments: Any) -> Any:
    """Make the call; AWS's errors become ours, chained."""
    try:
        return call(*positional, **arguments)
    except ClientError as error:
        said = error.response.get("Error", {})
        request_id = error.response.get("ResponseMetadata", {}).get("RequestId", "")
        raise ec2_errors.from_code(
            action, said.get("Code", ""), said.get("Message", ""), request_id
        ) from error
    except (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError) as error:
        raise NotPermitted("The hub has no usable AWS credentials.", action=action) from error
    except (NoConnection, HTTPClientError, ResponseParserError) as error:
        raise ec2_errors.unreachable(action) from error
    except BotoCoreError as error:
        raise EC2Error(f"The hub cannot ask EC2 for this: {error}", action=action) from error


def _new_states(changes: list[dict[str, Any]]) -> dict[str, str]:
    return {change["InstanceId"]: change["CurrentState"]["Name"] for change in changes}
