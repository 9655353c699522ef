"""CreateVolume, AttachVolume, DetachVolume, DeleteVolume, ModifyVolume."""

from typing import Any

from moto.core.responses import ActionResult

from cloudjhub.local.moto_layer import refusals, tokens
from cloudjhub.local.moto_layer.base import LocalCalls
from cloudjhub.local.moto_layer.models import LocalInstance, LocalVolume
from cloudjhub.local.moto_layer.refusals import Refusal


class VolumeCalls(LocalCalls):
    """Checks moto leaves out, and the stages."""

    def get_ebs_default_kms_key_id(self) -> ActionResult:
        return ActionResult({"KmsKeyId": self.ec2_backend.ebs_default_key})

    def modify_ebs_default_kms_key_id(self) -> ActionResult:
        self.error_on_dryrun()
        self.ec2_backend.ebs_default_key = self.param("KmsKeyId")
        return ActionResult({"KmsKeyId": self.ec2_backend.ebs_default_key})

    def create_volume(self) -> ActionResult:
        zone = self.param("AvailabilityZone")
        if not zone:
            raise refusals.missing("AvailabilityZone")
        if self.ec2_backend.get_zone_by_name(zone) is None:
            raise Refusal("InvalidZone.NotFound", f"The zone '{zone}' does not exist.")
        token = self.param("ClientToken")
        key = tokens.key("CreateVolume", token, zone)
        fingerprint = tokens.fingerprint(self.params)
        if token and (known := tokens.find(self.ec2_backend, key, fingerprint)):
            return ActionResult(self.ec2_backend.get_volume(known))
        result = super().create_volume()
        volume: Any = result.result
        if volume.volume_type == "gp3":
            volume.throughput = volume.throughput or 125
        if token:
            self.ec2_backend.client_tokens[key] = (fingerprint, volume.id)
        self.engine.volumes.created(volume)
        return result

    def delete_volume(self) -> ActionResult:
        volume = self.ec2_backend.get_volume(self.param("VolumeId"))
        if volume.attachment:
            raise Refusal(
                "VolumeInUse",
                f"Volume {volume.id} is currently attached to {volume.attachment.instance.id}",
            )
        return super().delete_volume()

    def attach_volume(self) -> ActionResult:
        volume = self.ec2_backend.get_volume(self.param("VolumeId"))
        instance = self.ec2_backend.get_instance(self.param("InstanceId"))
        device = self.param("Device")
        if not device:
            raise refusals.missing("device")
        if volume.attachment:
            raise refusals.volume_in_use(volume.id, volume.attachment.instance.id)
        if volume.status != "available":
            raise refusals.volume_state(volume.id, volume.status, "available")
        if instance.state not in ("running", "stopped", "stopping"):
            raise Refusal(
                "IncorrectState", f"Instance '{instance.id}' is not 'running' or 'stopped'."
            )
        if volume.zone.name != instance.placement.zone:
            raise Refusal(
                "InvalidVolume.ZoneMismatch",
                f"The volume '{volume.id}' is not in the same availability zone as instance "
                f"'{instance.id}'",
            )
        if device in instance.block_device_mapping:
            raise refusals.invalid("unixDevice (already in use)", device)
        result = super().attach_volume()
        self.engine.volumes.attach(volume)
        return result

    def detach_volume(self) -> ActionResult:
        volume, instance = self._detachable()
        self.error_on_dryrun()
        attachment = volume.attachment
        answer = {
            "VolumeId": volume.id,
            "InstanceId": instance.id,
            "Device": attachment.device,
            "State": "detaching",
            "AttachTime": attachment.attach_time,
        }
        if attachment.status == "attached":
            self.engine.volumes.detach(volume, force=bool(self._get_bool_param("Force", False)))
        return ActionResult(answer)

    def _detachable(self) -> tuple[LocalVolume, LocalInstance]:
        volume = self.ec2_backend.get_volume(self.param("VolumeId"))
        attachment = volume.attachment
        if attachment is None:
            raise refusals.volume_state(volume.id, "available", "in-use")
        instance = attachment.instance
        asked_instance, asked_device = self.param("InstanceId"), self.param("Device")
        if asked_instance and self.ec2_backend.get_instance(asked_instance) is not instance:
            raise Refusal(
                "InvalidAttachment.NotFound",
                f"Volume '{volume.id}' is not attached to instance '{asked_instance}'.",
            )
        if asked_device and asked_device != attachment.device:
            raise Refusal(
                "InvalidAttachment.NotFound",
                f"Volume '{volume.id}' is not attached as '{asked_device}'.",
            )
        if volume.id == instance.root_volume_id:
            raise Refusal(
                "OperationNotPermitted",
                f"Unable to detach root volume '{volume.id}' from instance '{instance.id}'",
            )
        return volume, instance

    def modify_volume(self) -> ActionResult:
        volume = self.ec2_backend.get_volume(self.param("VolumeId"))
        size = self.param("Size")
        if size and int(size) < volume.size:
            raise Refusal("InvalidParameterValue", "New size cannot be smaller than existing size")
        result = super().modify_volume()
        self.engine.volumes.grown(volume)
        return result
