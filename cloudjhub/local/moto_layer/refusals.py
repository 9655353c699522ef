"""EC2's refusals, by EC2's names.

Codes: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
"""

import uuid
from collections.abc import Iterable
from xml.sax.saxutils import escape


class Refusal(Exception):
    """An error answer: HTTP ``status``, EC2 ``code`` and ``message``."""

    def __init__(self, code: str, message: str, *, status: int = 400):
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


def error_xml(code: str, message: str) -> bytes:
    """EC2's error document."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<Response><Errors><Error>'
        f"<Code>{escape(code)}</Code><Message>{escape(message)}</Message>"
        f"</Error></Errors><RequestID>{uuid.uuid4()}</RequestID></Response>"
    ).encode()


def throttled() -> Refusal:
    return Refusal("RequestLimitExceeded", "Request limit exceeded.", status=503)


def internal() -> Refusal:
    return Refusal("InternalError", "An internal error has occurred", status=500)


def no_capacity(instance_type: str, zone: str) -> Refusal:
    return Refusal(
        "InsufficientInstanceCapacity",
        f"We currently do not have sufficient {instance_type} capacity in the Availability Zone "
        f"you requested ({zone}).",
        status=500,
    )


def vcpu_limit(quota: int) -> Refusal:
    return Refusal(
        "VcpuLimitExceeded",
        f"You have requested more vCPU capacity than your current vCPU limit of {quota} allows "
        "for the instance bucket that the specified instance type belongs to.",
    )


def no_addresses(subnet_id: str) -> Refusal:
    return Refusal(
        "InsufficientFreeAddressesInSubnet",
        f"There are not enough free addresses in subnet '{subnet_id}' to satisfy the request.",
    )


def unknown_instances(ids: Iterable[str]) -> Refusal:
    names = ", ".join(ids)
    if "," in names:
        return Refusal("InvalidInstanceID.NotFound", f"The instance IDs '{names}' do not exist")
    return Refusal("InvalidInstanceID.NotFound", f"The instance ID '{names}' does not exist")


def malformed_instance(instance_id: str) -> Refusal:
    return Refusal("InvalidInstanceID.Malformed", f'Invalid id: "{instance_id}"')


def wrong_state(instance_id: str, verb: str) -> Refusal:
    return Refusal(
        "IncorrectInstanceState",
        f"The instance '{instance_id}' is not in a state from which it can be {verb}.",
    )


def not_stopped(instance_id: str) -> Refusal:
    return Refusal(
        "IncorrectInstanceState", f"The instance '{instance_id}' is not in the 'stopped' state."
    )


def unknown_volume(volume_id: str) -> Refusal:
    return Refusal("InvalidVolume.NotFound", f"The volume '{volume_id}' does not exist.")


def malformed_volume(volume_id: str) -> Refusal:
    return Refusal("InvalidParameterValue", f"Value ({volume_id}) for parameter volume is invalid.")


def volume_in_use(volume_id: str, instance_id: str) -> Refusal:
    return Refusal("VolumeInUse", f"{volume_id} is already attached to {instance_id}")


def volume_state(volume_id: str, state: str, wanted: str) -> Refusal:
    return Refusal(
        "IncorrectState", f"Volume '{volume_id}' is in the '{state}' state, not {wanted}."
    )


def token_mismatch() -> Refusal:
    return Refusal(
        "IdempotentParameterMismatch",
        "Arguments on this idempotent request are inconsistent with arguments used in previous "
        "request(s).",
    )


def invalid(parameter: str, value: object) -> Refusal:
    return Refusal("InvalidParameterValue", f"Invalid value '{value}' for {parameter}.")


def missing(parameter: str) -> Refusal:
    return Refusal("MissingParameter", f"The request must contain the parameter {parameter}")


def combination(message: str) -> Refusal:
    return Refusal("InvalidParameterCombination", message)


def hibernation(message: str) -> Refusal:
    return Refusal("UnsupportedHibernationConfiguration", message)


def too_young(instance_id: str) -> Refusal:
    """As users of EC2 report it; AWS's pages name no code.

    https://github.com/drone-runners/drone-runner-aws/blob/master/app/drivers/amazon/driver.go
    """
    return Refusal(
        "UnsupportedOperation",
        f"Instance {instance_id} is not ready to hibernate yet, retry in a few minutes.",
    )
