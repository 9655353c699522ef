"""Tags and attributes: CreateTags, DeleteTags, ModifyInstanceAttribute and its metadata options."""

from typing import Any

from moto.core.responses import ActionResult, EmptyResult

from cloudjhub.local.moto_layer import refusals
from cloudjhub.local.moto_layer.base import LocalCalls
from cloudjhub.local.moto_layer.refusals import Refusal

MAX_KEY = 128
MAX_VALUE = 256
MAX_TAGS = 50
#: may only be changed while the instance is stopped
_STOPPED_ONLY = ("InstanceType", "UserData", "EbsOptimized", "Kernel", "Ramdisk")


class AttributeCalls(LocalCalls):
    """CreateTags refuses unknown ids and malformed tags; attributes need the right state."""

    def create_tags(self) -> ActionResult:
        self._check_taggable()
        check_tags({tag["Key"]: tag.get("Value", "") for tag in self.param("Tags", [])})
        return super().create_tags()

    def delete_tags(self) -> ActionResult:
        self._check_taggable()
        if not self.param("Tags"):
            # EC2 deletes all tags then, except its own.
            self.error_on_dryrun()
            for resource_id in self.param("Resources", []):
                self.ec2_backend.tags.pop(resource_id, None)
            return EmptyResult()
        return super().delete_tags()

    def _check_taggable(self) -> None:
        resources = self.param("Resources", [])
        self.ec2_backend.known_instances(r for r in resources if r.startswith("i-"))
        for resource in resources:
            if resource.startswith("vol-"):
                self.ec2_backend.get_volume(resource)

    def _parse_tag_specification(self, expected_type: str | None = None) -> dict[str, Any]:
        parsed = super()._parse_tag_specification(expected_type)
        for tags in parsed.values():
            check_tags(tags)
        return parsed

    def modify_instance_attribute(self) -> ActionResult:
        instance = self.ec2_backend.get_instance(self.param("InstanceId"))
        changes = self._changes()
        if any(name in changes for name in _STOPPED_ONLY) and instance.state != "stopped":
            raise refusals.not_stopped(instance.id)
        if "InstanceType" in changes:
            if instance.hibernated:
                raise refusals.hibernation(f"The instance '{instance.id}' is hibernated.")
            if self.engine.capacity.vcpus_of(changes["InstanceType"]) is None:
                raise refusals.invalid("instanceType", changes["InstanceType"])
        behavior = changes.get("InstanceInitiatedShutdownBehavior")
        if behavior is not None:
            if behavior not in ("stop", "terminate"):
                raise refusals.invalid("InstanceInitiatedShutdownBehavior", behavior)
            self.error_on_dryrun()
            instance.instance_initiated_shutdown_behavior = behavior
            return EmptyResult()
        return super().modify_instance_attribute()

    def _changes(self) -> dict[str, Any]:
        """Attribute name (EC2's spelling, first letter large) -> new value."""
        names = (*_STOPPED_ONLY, "InstanceInitiatedShutdownBehavior")
        values = {name: self.param(f"{name}.Value") for name in names}
        if attribute := self.param("Attribute"):
            values[attribute[0].upper() + attribute[1:]] = self.param("Value")
        return {name: value for name, value in values.items() if value is not None}

    def modify_instance_metadata_options(self) -> ActionResult:
        """moto resets every option that is not named."""
        options = self.ec2_backend.get_instance(self.param("InstanceId")).metadata_options
        for name, present in (
            ("HttpTokens", options.http_tokens),
            ("HttpPutResponseHopLimit", options.http_put_response_hop_limit),
            ("HttpEndpoint", options.http_endpoint),
            ("HttpProtocolIpv6", options.http_protocol_ipv6),
            ("InstanceMetadataTags", options.instance_metadata_tags),
        ):
            if self.param(name) is None:
                self.params[name] = present
        return super().modify_instance_metadata_options()


def check_tags(tags: dict[str, str]) -> None:
    """EC2's rules for tags; https://docs.aws.amazon.com/tag-editor/latest/userguide/tagging.html."""
    if len(tags) > MAX_TAGS:
        raise Refusal("TagLimitExceeded", f"The maximum number of tags is {MAX_TAGS}.")
    for key, value in tags.items():
        if not key or len(key) > MAX_KEY:
            raise refusals.invalid("tag key (1 to 128 characters)", key)
        if value is not None and len(value) > MAX_VALUE:
            raise refusals.invalid("tag value (up to 256 characters)", value)
        if key.lower().startswith("aws:"):
            raise Refusal(
                "InvalidParameterValue",
                f"Value ( {key} ) for parameter key is invalid. Tag keys starting with 'aws:' are "
                "reserved for internal use",
            )
