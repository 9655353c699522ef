"""Removes what carries the cluster's tag, and nothing else. Of what is gone already: done.

Each function is one or a few short calls; waiting and order are the caller's. Before each call
the resource's own tag is compared with the cluster: ValueError where it is another's.
"""

from collections.abc import Sequence
from typing import Any

from cloudjhub.account.inventory import (
    AddressFound,
    DiskFound,
    GroupFound,
    ImageFound,
    KeyPairFound,
    MachineFound,
    ProfileFound,
    RoleFound,
    SnapshotFound,
    Thing,
)
from cloudjhub.account.listing import checked_name
from cloudjhub.aws import Service
from cloudjhub.ec2_values import tag_list
from cloudjhub.errors import EC2Error, EC2Throttled, EC2Unreachable
from cloudjhub.naming import (
    CLUSTER_TAG,
    HOME_SNAPSHOT_ROLE,
    HOST_KEY_TAG,
    LAST_OF_TAG,
    NAME_TAG,
    RETIRED_TAG,
    ROLE_TAG,
    SERVER_TAG,
    USER_TAG,
)

#: the most that TerminateInstances takes
BATCH = 1000
# So many refusals one after the other, for one reason, speak for the rest.
_ENOUGH_REFUSALS = 10

_OWNERS = (USER_TAG, SERVER_TAG, HOST_KEY_TAG, RETIRED_TAG, NAME_TAG)
_GONE = {
    "InvalidAllocationID.NotFound",
    "InvalidAMIID.NotFound",
    "InvalidAMIID.Unavailable",
    "InvalidAssociationID.NotFound",
    "InvalidGroup.NotFound",
    "InvalidInstanceID.NotFound",
    "InvalidKeyPair.NotFound",
    "InvalidPermission.NotFound",
    "InvalidSnapshot.NotFound",
    "InvalidVolume.NotFound",
    "NoSuchEntity",
}


class Removal:
    """Removes things of one cluster."""

    def __init__(self, cluster: str, ec2: Service, iam: Service):
        self.cluster = checked_name(cluster)
        self._ec2 = ec2
        self._iam = iam

    # -- machines

    def terminate(self, machines: Sequence[MachineFound]) -> dict[str, EC2Error]:
        """Terminate all of them; gives the ids that EC2 refused, each with its reason.

        EC2 refuses a call on many as a whole, so it is halved until the culprits are alone.
        Raises EC2Error only for what is nobody's fault: no answer, throttling.
        """
        ids = [self._own(machine).id for machine in machines]
        parts = [ids[first : first + BATCH] for first in range(0, len(ids), BATCH)]
        refused: dict[str, EC2Error] = {}
        row: list[str] = []
        while parts:
            part = parts.pop(0)
            try:
                self._ec2.ask("terminate_instances", InstanceIds=part)
                row = []
            except (EC2Throttled, EC2Unreachable):
                raise
            except EC2Error as error:
                if len(part) > 1 and len(row) < _ENOUGH_REFUSALS:
                    middle = len(part) // 2
                    parts = [part[:middle], part[middle:], *parts]
                elif error.code not in _GONE:
                    row = [*row, error.code] if not row or row[-1] == error.code else [error.code]
                    refused |= dict.fromkeys(part, error)
        return refused

    # -- disks

    def mark_home(self, disk: DiskFound, machine: MachineFound) -> None:
        """Give a home that lost its tags those of its machine, which is about to end."""
        owner = {key: value for key, value in self._own(machine).tags.items() if key in _OWNERS}
        self._ec2.ask("create_tags", Resources=[self._own(disk).id], Tags=tag_list(owner))

    def snapshot(self, disk: DiskFound) -> str:
        """Begin a snapshot of a home that carries its owner's tags; gives its id."""
        kept = {key: value for key, value in self._own(disk).tags.items() if key[:4] != "aws:"}
        own = {ROLE_TAG: HOME_SNAPSHOT_ROLE, LAST_OF_TAG: disk.id}
        answer = self._ec2.ask(
            "create_snapshot",
            VolumeId=disk.id,
            Description=f"Home of {disk.owner} of cluster {self.cluster}, before its removal",
            TagSpecifications=[{"ResourceType": "snapshot", "Tags": tag_list({**kept, **own})}],
        )
        return answer["SnapshotId"]

    def delete_disk(self, disk: DiskFound) -> None:
        """Delete a volume, for ever."""
        self._quietly(self._ec2, "delete_volume", VolumeId=self._own(disk).id)

    def delete_snapshot(self, snapshot: SnapshotFound) -> None:
        """Delete a snapshot, for ever."""
        self._quietly(self._ec2, "delete_snapshot", SnapshotId=self._own(snapshot).id)

    def deregister(self, image: ImageFound) -> None:
        """Take back an AMI; its snapshots stay until they are deleted."""
        self._quietly(self._ec2, "deregister_image", ImageId=self._own(image).id)

    # -- network

    def release(self, address: AddressFound) -> None:
        """Give an Elastic IP back."""
        self._own(address)
        if address.association_id:
            self._quietly(self._ec2, "disassociate_address", AssociationId=address.association_id)
        self._quietly(self._ec2, "release_address", AllocationId=address.id)

    def revoke_references(self, group: GroupFound) -> None:
        """Remove the group's own rules that name groups, so that none keeps another alive."""
        self._own(group)
        if group.references:
            self._quietly(
                self._ec2,
                "revoke_security_group_ingress",
                GroupId=group.id,
                IpPermissions=[dict(rule) for rule in group.references],
            )

    def delete_group(self, group: GroupFound) -> None:
        """Delete a security group that nothing uses any more."""
        self._quietly(self._ec2, "delete_security_group", GroupId=self._own(group).id)

    def delete_key_pair(self, pair: KeyPairFound) -> None:
        """Delete a key pair."""
        self._quietly(self._ec2, "delete_key_pair", KeyName=self._own(pair).key_name)

    # -- access

    def delete_profile(self, profile: ProfileFound) -> None:
        """Delete an instance profile; its roles leave it first."""
        name = {"InstanceProfileName": self._own(profile).id}
        for role in profile.role_names:
            self._quietly(self._iam, "remove_role_from_instance_profile", **name, RoleName=role)
        self._quietly(self._iam, "delete_instance_profile", **name)

    def delete_role(self, role: RoleFound) -> None:
        """Delete a role with its inline policies; attached ones are only detached."""
        name = {"RoleName": self._own(role).id}
        for policy in role.inline_policies:
            self._quietly(self._iam, "delete_role_policy", **name, PolicyName=policy)
        for arn in role.attached_policies:
            self._quietly(self._iam, "detach_role_policy", **name, PolicyArn=arn)
        self._quietly(self._iam, "delete_role", **name)

    # -- inside

    def _own(self, thing: Thing) -> Any:
        if thing.tags.get(CLUSTER_TAG) != self.cluster:
            raise ValueError(f"{thing.id} is not a resource of cluster {self.cluster}")
        return thing

    def _quietly(self, service: Service, operation: str, **arguments: Any) -> None:
        try:
            service.ask(operation, **arguments)
        except EC2Error as error:
            if error.code not in _GONE:
                raise
