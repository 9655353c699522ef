"""CreateImage, DeregisterImage, CreateSnapshot, DeleteSnapshot."""

from typing import Any

from moto.core.responses import ActionResult

from cloudjhub.local.moto_layer import refusals
from cloudjhub.local.moto_layer.base import LocalCalls
from cloudjhub.local.moto_layer.refusals import Refusal

NAME_LENGTHS = range(3, 129)


class ImageCalls(LocalCalls):
    """Checks moto leaves out, and the stages."""

    def create_image(self) -> ActionResult:
        name = self.param("Name", "")
        if len(name) not in NAME_LENGTHS:
            raise Refusal(
                "InvalidAMIName.Malformed", "AMI names must be between 3 and 128 characters long."
            )
        for image in self.ec2_backend.amis.values():
            if image.name == name and image.state in ("pending", "available"):
                raise Refusal(
                    "InvalidAMIName.Duplicate", f"AMI name {name} is already in use by {image.id}"
                )
        instance = self.ec2_backend.get_instance(self.param("InstanceId"))
        if instance.state not in ("running", "stopped") or not instance.root_volume_id:
            raise refusals.wrong_state(instance.id, "made an image of")
        self.error_on_dryrun()
        image = self.ec2_backend.create_image(
            instance.id,
            name,
            self.param("Description", ""),
            tag_specifications=self._tags_of("image"),
        )
        for tag in (tag for each in self._tags_of("snapshot") for tag in each["Tags"]):
            image.ebs_snapshot.add_tag(tag["Key"], tag.get("Value", ""))
        reboot = not self._get_bool_param("NoReboot", False)
        self.engine.images.image_made(image, instance, reboot=reboot)
        return ActionResult({"ImageId": image.id})

    def deregister_image(self) -> ActionResult:
        result = super().deregister_image()
        self.engine.images.removed()
        return result

    def create_snapshot(self) -> ActionResult:
        result = super().create_snapshot()
        snapshot: Any = result.result
        self.engine.images.snapshot_made(snapshot)
        return result

    def create_snapshots(self) -> ActionResult:
        result = super().create_snapshots()
        made: Any = result.result
        for snapshot in made["Snapshots"]:
            self.engine.images.snapshot_made(snapshot)
        return result

    def delete_snapshot(self) -> ActionResult:
        result = super().delete_snapshot()
        self.engine.images.removed()
        return result

    def _tags_of(self, kind: str) -> list[dict[str, Any]]:
        """moto knows tags of images only, and refuses a call that names others."""
        # Checks them, too.
        self._parse_tag_specification()
        asked = self.param("TagSpecifications", [])
        return [each for each in asked if each.get("ResourceType") == kind]
