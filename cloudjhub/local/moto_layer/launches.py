"""RunInstances: everything EC2 checks before it launches, and how many it then launches."""

import copy
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.models.instances import Reservation
from moto.ec2.models.subnets import Subnet

from cloudjhub.local.moto_layer import refusals, rendering, tokens
from cloudjhub.local.moto_layer.models import LocalInstance
from cloudjhub.local.moto_layer.profiles import ProfileCalls
from cloudjhub.local.moto_layer.refusals import Refusal

DEFAULT_INSTANCE_TYPE = "m1.small"


class LaunchCalls(ProfileCalls):
    """RunInstances."""

    def run_instances(self) -> str:
        subnet = self._launch_subnet()
        token = self.param("ClientToken")
        key = tokens.key("RunInstances", token, subnet.availability_zone)
        fingerprint = tokens.fingerprint(self.params)
        if token and (known := tokens.find(self.ec2_backend, key, fingerprint)):
            # moto calls them pending again, so nothing of this answer may be kept.
            return self._launched(self._launched_before(known), rendering.Pieces())
        self._check_launch(subnet)
        profile = self._asked_profile()
        self.error_on_dryrun()
        self.params.pop("IamInstanceProfile", None)
        self.params["MinCount"] = self._grant(subnet)
        self.params["InstanceType"] = self._instance_type()
        reservation = super().run_instances().result
        if token:
            self.ec2_backend.client_tokens[key] = (fingerprint, reservation.id)
        self._finish_volumes(reservation.instances)
        self._give_profile(reservation.instances, profile)
        self._tag_interfaces(reservation.instances)
        self.engine.lifecycle.launched(reservation.instances)
        return self._launched(reservation, self.engine.pieces)

    def _launched(self, reservation: Reservation, pieces: rendering.Pieces) -> str:
        def write(instance: LocalInstance) -> str:
            alone = copy.copy(reservation)
            alone.instances = [instance]
            return self.serialized(ActionResult(alone))[2]

        inside = pieces.reservation(reservation.instances, write)
        return rendering.document("RunInstances", inside)

    # -- checks --------------------------------------------------------------------------------

    def _instance_type(self) -> str:
        return self.param("InstanceType") or DEFAULT_INSTANCE_TYPE

    def _launch_subnet(self) -> Subnet:
        interfaces = self.param("NetworkInterfaces", [])
        subnet_id = self.param("SubnetId") or next(
            (nic["SubnetId"] for nic in interfaces if nic.get("SubnetId")), None
        )
        if not subnet_id:
            raise Refusal("VPCIdNotSpecified", "No default VPC for this user. Name a SubnetId.")
        subnet = self.ec2_backend.get_subnet(subnet_id)
        if why := self.engine.no_room_in(subnet):
            raise Refusal("Unsupported", why)
        return subnet

    def _check_launch(self, subnet: Subnet) -> None:
        backend = self.ec2_backend
        image_id = self.param("ImageId")
        if not image_id:
            raise refusals.missing("ImageId")
        image = backend.describe_images(ami_ids=[image_id])[0:1]
        if not image or image[0].state != "available":
            raise Refusal("InvalidAMIID.Unavailable", f"The AMI ID '{image_id}' is not available.")
        if self.engine.capacity.vcpus_of(self._instance_type()) is None:
            raise refusals.invalid("InstanceType", self._instance_type())
        key_name = self.param("KeyName")
        if key_name and key_name not in backend.key_pairs:
            raise Refusal("InvalidKeyPair.NotFound", f"The key pair '{key_name}' does not exist")
        zone = self.param("Placement.AvailabilityZone")
        if zone and zone != subnet.availability_zone:
            raise refusals.combination(
                f"The subnet '{subnet.id}' is in {subnet.availability_zone}, not in {zone}."
            )
        self._check_groups(subnet)
        self._check_hibernation(image[0])

    def _check_groups(self, subnet: Subnet) -> None:
        interfaces = self.param("NetworkInterfaces", [])
        wanted = list(self.param("SecurityGroupIds", []))
        wanted += [group for nic in interfaces for group in nic.get("Groups", [])]
        for group_id in wanted:
            group = self.ec2_backend.get_security_group_from_id(group_id)
            if group is None:
                raise Refusal(
                    "InvalidGroup.NotFound", f"The security group '{group_id}' does not exist"
                )
            if group.vpc_id != subnet.vpc_id:
                raise refusals.invalid("SecurityGroupIds (another VPC's)", group_id)

    def _check_hibernation(self, image: Any) -> None:
        if not (self.param("HibernationOptions", {}) or {}).get("Configured"):
            return
        root = next(
            (
                mapping.get("Ebs", {})
                for mapping in self.param("BlockDeviceMappings", [])
                if mapping.get("DeviceName") == image.root_device_name
            ),
            {},
        )
        if not root.get("Encrypted"):
            raise refusals.hibernation("For hibernation, the root device volume must be encrypted.")
        type_, capacity = self._instance_type(), self.engine.capacity
        if not capacity.can_hibernate(type_):
            raise refusals.hibernation(f"The instance type {type_} does not support hibernation.")
        size_gib = root.get("VolumeSize") or image.snapshot_size_gib
        if int(size_gib) * 1024 < capacity.memory_mib_of(type_):
            raise refusals.hibernation(
                "For hibernation, the root device volume must be large enough for the memory."
            )

    def _grant(self, subnet: Subnet) -> int:
        """How many there will be: as many as possible between MinCount and MaxCount."""
        least, most = int(self.param("MinCount", 1)), int(self.param("MaxCount", 1))
        if least < 1 or most < least:
            raise refusals.combination("MinCount must be at least 1 and at most MaxCount.")
        zone, type_ = subnet.availability_zone, self._instance_type()
        capacity = self.engine.capacity
        if (free := subnet.available_ip_address_count) < least:
            raise refusals.no_addresses(subnet.id)
        if (quota := capacity.within_quota(type_)) < least:
            raise refusals.vcpu_limit(capacity.vcpu_quota or 0)
        if (slots := capacity.free_slots(type_, zone)) < least:
            raise refusals.no_capacity(type_, zone)
        return int(min(most, free, quota, slots))

    def _launched_before(self, reservation_id: str) -> Any:
        reservation = self.ec2_backend.reservations.get(reservation_id)
        if reservation is None or all(i.state == "terminated" for i in reservation.instances):
            raise Refusal(
                "IdempotentInstanceTerminated",
                "The instances launched with this client token have been terminated.",
            )
        return reservation

    def _tag_interfaces(self, instances: list[LocalInstance]) -> None:
        """moto tags instances and volumes only."""
        tags = self._parse_tag_specification().get("network-interface", {})
        made = [nic.id for instance in instances for nic in instance.nics.values()]
        if tags and made:
            self.ec2_backend.create_tags(made, tags)

    # -- disks ---------------------------------------------------------------------------------

    def _parse_block_device_mapping(self) -> list[dict[str, Any]]:
        """The root volume is always there, with the image's size unless a larger one is asked."""
        image = self.ec2_backend.amis[self.param("ImageId")]
        root = image.block_device_mappings[0]
        asked = self.param("BlockDeviceMappings", [])
        if all(mapping.get("DeviceName") != root["DeviceName"] for mapping in asked):
            asked = [{"DeviceName": root["DeviceName"], "Ebs": {}}, *asked]
        merged = []
        for mapping in asked:
            ebs = dict(mapping.get("Ebs", {}))
            if mapping["DeviceName"] == root["DeviceName"]:
                _complete_root(ebs, root["Ebs"])
            merged.append({**mapping, "Ebs": ebs})
        self.params["BlockDeviceMappings"] = merged
        return super()._parse_block_device_mapping()

    def _finish_volumes(self, instances: list[LocalInstance]) -> None:
        """moto drops Iops and Throughput of a launch, and what the root volume was made from."""
        image = self.ec2_backend.amis[self.param("ImageId")]
        asked = {m["DeviceName"]: m["Ebs"] for m in self.param("BlockDeviceMappings", [])}
        for instance in instances:
            for name, block in instance.block_device_mapping.items():
                volume, ebs = self.ec2_backend.volumes[block.volume_id], asked.get(name, {})
                if volume.volume_type == "gp3":
                    volume.iops = ebs.get("Iops") or 3000
                    volume.throughput = ebs.get("Throughput") or 125
                if name == instance.root_device_name:
                    volume.snapshot_id = image.ebs_snapshot.id
                volume.set_attachment("attaching")


def _complete_root(ebs: dict[str, Any], image: dict[str, Any]) -> None:
    size = ebs.setdefault("VolumeSize", image["VolumeSize"]) or image["VolumeSize"]
    if int(size) < image["VolumeSize"]:
        raise Refusal(
            "InvalidBlockDeviceMapping",
            f"Volume of size {size}GB is smaller than snapshot '{image['SnapshotId']}', expect "
            f"size >= {image['VolumeSize']}GB",
        )
    ebs.setdefault("DeleteOnTermination", True)
    ebs.setdefault("VolumeType", image["VolumeType"])
