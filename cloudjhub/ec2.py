"""EC2 in about twenty short blocking calls.

Values go in, values come out, errors are ours. Nothing here waits, and only reads are retried:
botocore's retry quota belongs to a client, and a launch without capacity would use it up for
the describes (botocore/retries/standard.py). Writes are repeated by the fleet, which knows more.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from cloudjhub import ec2_errors
from cloudjhub.aws import Access, Session, Told
from cloudjhub.ec2_listing import take_reservations
from cloudjhub.ec2_values import (
    Image,
    Instance,
    Snapshot,
    Volume,
    image_from,
    instance_from,
    snapshot_from,
    tag_list,
    volume_from,
)
from cloudjhub.errors import BadLaunch
from cloudjhub.naming import CLUSTER_TAG, DISK_ROLE, HOME_MOVE_ROLE, ROLE_TAG, WORKER_ROLE

_PAGE_SIZE = 1000  # the most that DescribeInstances takes
_READ_ATTEMPTS = 3


class EC2:
    """The calls that one cluster makes. Thread-safe, as boto3's clients are."""

    def __init__(
        self,
        *,
        cluster: str,
        region: str,
        endpoint_url: str | None,
        threads: int = 16,
        told: Told | None = None,
    ):
        self.cluster = cluster
        session = Session(Access(region, endpoint_url), ec2_errors)
        self._read = session.service(
            "ec2", attempts=_READ_ATTEMPTS, read_seconds=10, threads=threads, told=told
        )
        self._read.read_by_hand("describe_instances", take_reservations)
        self._write = session.service(
            "ec2", attempts=1, read_seconds=30, threads=threads, told=told
        )

    # -- reading

    def instances(self) -> list[Instance]:
        """Every worker of the cluster in any state; terminated ones while EC2 shows them."""
        pages = self._pages("describe_instances", WORKER_ROLE)
        return [
            instance_from(raw)
            for page in pages
            for reservation in page["Reservations"]
            for raw in reservation["Instances"]
        ]

    def volumes(self) -> list[Volume]:
        """Every volume of the cluster: root disks, homes (they carry an owner), unused homes."""
        pages = self._pages("describe_volumes", DISK_ROLE)
        return [volume_from(raw) for page in pages for raw in page["Volumes"]]

    def image(self, image_id: str) -> Image:
        """One AMI. Raises BadLaunch where there is none."""
        answer = self._read.ask("describe_images", ImageIds=[image_id])
        if not answer["Images"]:
            raise BadLaunch(
                f"The AMI WORKER_AMI {image_id} does not exist in this region.",
                action="DescribeImages",
            )
        return image_from(answer["Images"][0])

    def snapshots(self) -> list[Snapshot]:
        """Every snapshot that the cluster's hub made of a home, to move it."""
        pages = self._pages("describe_snapshots", HOME_MOVE_ROLE, OwnerIds=["self"])
        return [snapshot_from(raw) for page in pages for raw in page["Snapshots"]]

    def zones(self, subnet_ids: Iterable[str]) -> dict[str, str]:
        """Availability zone of each subnet; those that do not exist are left out."""
        named = [{"Name": "subnet-id", "Values": list(subnet_ids)}]
        pages = self._read.pages("describe_subnets", Filters=named)
        found = [raw for page in pages for raw in page["Subnets"]]
        return {raw["SubnetId"]: raw["AvailabilityZone"] for raw in found}

    def console_output(self, instance_id: str) -> str:
        """The machine's own log, up to 64 kB; "" while EC2 has none."""
        answer = self._read.ask("get_console_output", InstanceId=instance_id)
        return answer.get("Output", "")

    # -- writing: one attempt each

    def run(self, arguments: Mapping[str, Any]) -> list[Instance]:
        """RunInstances with what launch_spec built; between MinCount and MaxCount machines."""
        answer = self._write.ask("run_instances", **arguments)
        return [instance_from(raw) for raw in answer["Instances"]]

    def start(self, instance_ids: list[str]) -> dict[str, str]:
        """StartInstances, all or none. Gives each id's new state."""
        answer = self._write.ask("start_instances", InstanceIds=instance_ids)
        return _new_states(answer["StartingInstances"])

    def stop(self, instance_ids: list[str], *, force: bool = False) -> dict[str, str]:
        """StopInstances, all or none; ``force`` gives the machine's own shutdown less time."""
        answer = self._write.ask("stop_instances", InstanceIds=instance_ids, Force=force)
        return _new_states(answer["StoppingInstances"])

    def hibernate(self, instance_ids: list[str]) -> dict[str, str]:
        """StopInstances, all or none, with the memory written to the disk. Raises CannotHibernate.

        EC2's word is not the machine's: one that fails to write it shuts down.
        """
        answer = self._write.ask("stop_instances", InstanceIds=instance_ids, Hibernate=True)
        return _new_states(answer["StoppingInstances"])

    def terminate(self, instance_ids: list[str]) -> dict[str, str]:
        """TerminateInstances, all or none. Volumes that outlive their machine stay."""
        answer = self._write.ask("terminate_instances", InstanceIds=instance_ids)
        return _new_states(answer["TerminatingInstances"])

    def tag(self, resource_ids: list[str], tags: Mapping[str, str]) -> None:
        """CreateTags: the same tags on each resource; existing keys are overwritten."""
        self._write.ask("create_tags", Resources=resource_ids, Tags=tag_list(tags))

    def untag(self, resource_ids: list[str], keys: list[str]) -> None:
        """DeleteTags, whatever the values are."""
        self._write.ask(
            "delete_tags",
            Resources=resource_ids,
            Tags=[{"Key": key} for key in keys],
        )

    def attach(self, volume_id: str, instance_id: str, device: str) -> None:
        """AttachVolume; both must lie in one zone."""
        self._write.ask(
            "attach_volume",
            VolumeId=volume_id,
            InstanceId=instance_id,
            Device=device,
        )

    def detach(self, volume_id: str, instance_id: str, device: str) -> None:
        """DetachVolume."""
        self._write.ask(
            "detach_volume",
            VolumeId=volume_id,
            InstanceId=instance_id,
            Device=device,
        )

    def modify_type(self, instance_id: str, instance_type: str) -> None:
        """ModifyInstanceAttribute: another type for a machine that is stopped."""
        self._write.ask(
            "modify_instance_attribute",
            InstanceId=instance_id,
            InstanceType={"Value": instance_type},
        )

    def create_snapshot(self, arguments: Mapping[str, Any]) -> Snapshot:
        """CreateSnapshot with what copy_spec built; EC2 goes on copying after the answer."""
        return snapshot_from(self._write.ask("create_snapshot", **arguments))

    def create_volume(self, arguments: Mapping[str, Any]) -> Volume:
        """CreateVolume with what copy_spec built."""
        return volume_from(self._write.ask("create_volume", **arguments))

    def delete_snapshot(self, snapshot_id: str) -> None:
        """DeleteSnapshot, for ever. Volumes made from it stay."""
        self._write.ask("delete_snapshot", SnapshotId=snapshot_id)

    def delete_volume(self, volume_id: str) -> None:
        """DeleteVolume, for ever."""
        self._write.ask("delete_volume", VolumeId=volume_id)

    # -- inside

    def _pages(self, operation: str, role: str, **more: Any) -> Iterator[dict[str, Any]]:
        # Filtered and paginated, for the larger of EC2's two describe buckets.
        filters = [
            {"Name": f"tag:{CLUSTER_TAG}", "Values": [self.cluster]},
            {"Name": f"tag:{ROLE_TAG}", "Values": [role]},
        ]
        paging = {"PageSize": _PAGE_SIZE}
        return self._read.pages(operation, Filters=filters, PaginationConfig=paging, **more)


def _new_states(changes: list[dict[str, Any]]) -> dict[str, str]:
    return {change["InstanceId"]: change["CurrentState"]["Name"] for change in changes}
