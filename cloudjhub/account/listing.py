"""Reads what carries one cluster's tag.

What is listed here may be removed by ``cloudjhub.account.removal``, so the tag is checked twice:
EC2 filters by it, and every answer is compared with it, letter by letter. EC2's filters read
``*`` and ``?`` as wildcards
(https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html).
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from cloudjhub.account.inventory import (
    AddressFound,
    DiskFound,
    GroupFound,
    ImageFound,
    Inventory,
    KeyPairFound,
    MachineFound,
    ProfileFound,
    RoleFound,
    SnapshotFound,
    Thing,
)
from cloudjhub.aws import Service
from cloudjhub.ec2_values import HOME_DEVICE, tags_from
from cloudjhub.errors import EC2Error
from cloudjhub.naming import CLUSTER_NAME, CLUSTER_TAG, MANAGER_ROLE, resource_name

_PAGE_SIZE = 1000
_FILTER_VALUES = 200  # the most that EC2 takes for one filter
_ENDING = ("shutting-down", "terminated")

Found = TypeVar("Found", bound=Thing)


def checked_name(cluster: str) -> str:
    """The name, if it can be one: an empty or wild one would mean other people's things.

    Raises ValueError.
    """
    if not re.fullmatch(CLUSTER_NAME, cluster):
        raise ValueError(f"{cluster!r} is not the name of a cluster")
    return cluster


def clusters(ec2: Service) -> list[str]:
    """Names of the clusters of this region. EC2 lists tags of what is gone for a while, so each
    is looked at."""
    filters = [{"Name": "key", "Values": [CLUSTER_TAG]}]
    pages = ec2.pages("describe_tags", Filters=filters)
    names = {tag["Value"] for page in pages for tag in page["Tags"]}
    possible = sorted(name for name in names if re.fullmatch(CLUSTER_NAME, name))
    return [name for name in possible if Listing(name, ec2).everything()]


class Listing:
    """Reads what one cluster has. ``iam`` None: roles and profiles are not looked for."""

    def __init__(self, cluster: str, ec2: Service, iam: Service | None = None):
        self.cluster = checked_name(cluster)
        self._ec2 = ec2
        self._iam = iam
        #: IAM was asked and did not allow it: whether there is a role is not known
        self.iam_is_closed = False

    def everything(self) -> Inventory:
        """All of it. Raises EC2Error."""
        return Inventory(
            self.cluster,
            machines=self.machines(),
            disks=self.disks(),
            images=self.images(),
            snapshots=self.snapshots(),
            addresses=self.addresses(),
            key_pairs=self._unpaged("describe_key_pairs", "KeyPairs", _key_pair),
            groups=self._ours(self._pages("describe_security_groups", "SecurityGroups"), _group),
            profiles=self._profiles(),
            roles=self.roles(),
        )

    def machines(self) -> tuple[MachineFound, ...]:
        """Every instance that has not ended."""
        reservations = self._pages("describe_instances", "Reservations")
        raws = (raw for reservation in reservations for raw in reservation["Instances"])
        return tuple(m for m in self._ours(raws, _machine) if m.state != "terminated")

    def disks(self) -> tuple[DiskFound, ...]:
        """Every volume that is not being deleted."""
        found = self._ours(self._pages("describe_volumes", "Volumes"), _disk)
        return tuple(disk for disk in found if disk.state not in ("deleting", "deleted"))

    def images(self) -> tuple[ImageFound, ...]:
        """Worker AMIs."""
        found = self._ours(self._pages("describe_images", "Images", Owners=["self"]), _image)
        return tuple(image for image in found if image.state != "deregistered")

    def snapshots(self) -> tuple[SnapshotFound, ...]:
        """Snapshots of homes and of worker AMIs."""
        raws = self._pages("describe_snapshots", "Snapshots", OwnerIds=["self"])
        return self._ours(raws, _snapshot)

    def addresses(self) -> tuple[AddressFound, ...]:
        """Elastic IPs, those that nothing uses too."""
        return self._unpaged("describe_addresses", "Addresses", _address)

    def staying(self, instance_ids: Iterable[str]) -> set[str]:
        """Those of the machines, whoever's they are, that have not ended and are not about to."""
        wanted = sorted(instance_ids)
        found: set[str] = set()
        for first in range(0, len(wanted), _FILTER_VALUES):
            of_ids = [{"Name": "instance-id", "Values": wanted[first : first + _FILTER_VALUES]}]
            pages = self._ec2.pages("describe_instances", Filters=of_ids)
            raws = [i for page in pages for each in page["Reservations"] for i in each["Instances"]]
            found |= {raw["InstanceId"] for raw in raws if raw["State"]["Name"] not in _ENDING}
        return found

    def users_of(self, group: GroupFound) -> list[str]:
        """Ids of what keeps a security group from being deleted, whoever's it is."""
        of_group = [{"Name": "group-id", "Values": [group.id]}]
        faces = self._ec2.ask("describe_network_interfaces", Filters=of_group)
        naming = [{"Name": "ip-permission.group-id", "Values": [group.id]}]
        groups = self._ec2.ask("describe_security_groups", Filters=naming)
        users = [
            face.get("Attachment", {}).get("InstanceId") or face["NetworkInterfaceId"]
            for face in faces["NetworkInterfaces"]
        ]
        return sorted({*users, *(other["GroupId"] for other in groups["SecurityGroups"])})

    # -- inside

    def _pages(self, operation: str, key: str, **arguments: Any) -> Iterable[Mapping[str, Any]]:
        paging = {"PageSize": _PAGE_SIZE}
        pages = self._ec2.pages(
            operation, Filters=self._filters(), PaginationConfig=paging, **arguments
        )
        return (raw for page in pages for raw in page[key])

    def _unpaged(
        self, operation: str, key: str, make: Callable[[Mapping[str, Any]], Found]
    ) -> tuple[Found, ...]:
        return self._ours(self._ec2.ask(operation, Filters=self._filters())[key], make)

    def _ours(
        self, raws: Iterable[Mapping[str, Any]], make: Callable[[Mapping[str, Any]], Found]
    ) -> tuple[Found, ...]:
        found = (make(raw) for raw in raws)
        return tuple(thing for thing in found if thing.tags.get(CLUSTER_TAG) == self.cluster)

    def _filters(self) -> list[dict[str, Any]]:
        return [{"Name": f"tag:{CLUSTER_TAG}", "Values": [self.cluster]}]

    # IAM has no listing by tag: the one name that a launch gives, and then the tag.

    def _profiles(self) -> tuple[ProfileFound, ...]:
        answer = self._named("get_instance_profile", "InstanceProfileName")
        return self._ours(filter(None, [answer.get("InstanceProfile")]), _profile)

    def roles(self) -> tuple[RoleFound, ...]:
        """The manager's, if the launch made one."""
        raw = self._named("get_role", "RoleName").get("Role")
        if raw is None or self._iam is None or tags_from(raw).get(CLUSTER_TAG) != self.cluster:
            return ()
        name = {"RoleName": raw["RoleName"]}
        inline = self._iam.ask("list_role_policies", **name)["PolicyNames"]
        attached = self._iam.ask("list_attached_role_policies", **name)["AttachedPolicies"]
        arns = tuple(policy["PolicyArn"] for policy in attached)
        return (RoleFound(raw["RoleName"], tags_from(raw), tuple(inline), arns),)

    def _named(self, operation: str, key: str) -> dict[str, Any]:
        if self._iam is None:
            return {}
        try:
            return self._iam.ask(operation, **{key: resource_name(self.cluster, MANAGER_ROLE)})
        except EC2Error as error:
            # A policy for a cluster whose role somebody else made does not name the usual one.
            self.iam_is_closed |= error.code == "AccessDenied"
            if error.code in ("NoSuchEntity", "AccessDenied"):
                return {}
            raise


def _machine(raw: Mapping[str, Any]) -> MachineFound:
    volumes = {
        mapping["DeviceName"]: mapping.get("Ebs", {}).get("VolumeId")
        for mapping in raw.get("BlockDeviceMappings", [])
    }
    reason = raw.get("StateReason", {}).get("Code", "")
    return MachineFound(
        id=raw["InstanceId"],
        tags=tags_from(raw),
        state=raw["State"]["Name"],
        instance_type=raw.get("InstanceType", ""),
        zone=raw.get("Placement", {}).get("AvailabilityZone", ""),
        image_id=raw.get("ImageId", ""),
        launched_at=raw.get("LaunchTime"),
        public_ip=raw.get("PublicIpAddress"),
        private_ip=raw.get("PrivateIpAddress"),
        home_volume_id=volumes.get(HOME_DEVICE),
        hibernated=reason == "Client.UserInitiatedHibernate",
        disk_ids=tuple(filter(None, volumes.values())),
    )


def _disk(raw: Mapping[str, Any]) -> DiskFound:
    attached = [a for a in raw.get("Attachments", []) if a.get("State") != "detached"]
    first = attached[0] if attached else {}
    return DiskFound(
        id=raw["VolumeId"],
        tags=tags_from(raw),
        state=raw["State"],
        zone=raw["AvailabilityZone"],
        size_gib=raw["Size"],
        kind=raw.get("VolumeType", ""),
        attached_to=first.get("InstanceId"),
        goes_with=first.get("InstanceId") if first.get("DeleteOnTermination") else None,
        from_snapshot=bool(raw.get("SnapshotId")),
        created_at=raw.get("CreateTime"),
    )


def _image(raw: Mapping[str, Any]) -> ImageFound:
    disks = (mapping.get("Ebs", {}) for mapping in raw.get("BlockDeviceMappings", []))
    return ImageFound(
        id=raw["ImageId"],
        tags=tags_from(raw),
        title=raw.get("Name", ""),
        state=raw.get("State", ""),
        snapshot_ids=tuple(disk["SnapshotId"] for disk in disks if disk.get("SnapshotId")),
    )


def _snapshot(raw: Mapping[str, Any]) -> SnapshotFound:
    return SnapshotFound(
        id=raw["SnapshotId"],
        tags=tags_from(raw),
        state=raw.get("State", ""),
        volume_id=raw.get("VolumeId", ""),
        size_gib=raw.get("VolumeSize", 0),
        started_at=raw.get("StartTime"),
        progress=raw.get("Progress", ""),
    )


def _address(raw: Mapping[str, Any]) -> AddressFound:
    association = raw.get("AssociationId") or None
    return AddressFound(raw["AllocationId"], tags_from(raw), raw.get("PublicIp", ""), association)


def _key_pair(raw: Mapping[str, Any]) -> KeyPairFound:
    return KeyPairFound(raw["KeyPairId"], tags_from(raw), raw["KeyName"])


def _group(raw: Mapping[str, Any]) -> GroupFound:
    return GroupFound(
        id=raw["GroupId"],
        tags=tags_from(raw),
        group_name=raw.get("GroupName", ""),
        references=tuple(map(_reference, filter(_names_groups, raw.get("IpPermissions", [])))),
    )


def _names_groups(permission: Mapping[str, Any]) -> bool:
    return bool(permission.get("UserIdGroupPairs"))


def _reference(permission: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a rule that names groups, as RevokeSecurityGroupIngress takes it."""
    kept = {
        key: permission[key] for key in ("IpProtocol", "FromPort", "ToPort") if key in permission
    }
    pairs = [
        {key: pair[key] for key in ("GroupId", "UserId") if pair.get(key)}
        for pair in permission["UserIdGroupPairs"]
    ]
    return {**kept, "UserIdGroupPairs": pairs}


def _profile(raw: Mapping[str, Any]) -> ProfileFound:
    roles = tuple(role["RoleName"] for role in raw.get("Roles", []))
    return ProfileFound(raw["InstanceProfileName"], tags_from(raw), roles)
