"""AWS's error codes as an operator reads them; a translation for ``cloudjhub.aws``.

AWS's own code stays in the error. Codes:
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
"""

from cloudjhub import errors

_THROTTLES = {"RequestLimitExceeded", "Throttling", "ThrottlingException", "SlowDown"}
_TROUBLES = {"InternalError", "InternalFailure", "Unavailable", "ServiceUnavailable"}
# botocore's code for an answer without a body it can read.
_TROUBLES |= {"500", "502", "503", "504"}

_REFUSED = {"UnauthorizedOperation", "AccessDenied", "AccessDeniedException"}
_BAD_CREDENTIALS = {
    "AuthFailure",
    "InvalidClientTokenId",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
_OLD_CREDENTIALS = {"RequestExpired", "ExpiredToken", "ExpiredTokenException"}

_CREDENTIALS = "Correct the access key and its secret, or leave both empty for boto3's usual chain."

_KINDS: dict[str, type[errors.EC2Error]] = {
    "InsufficientInstanceCapacity": errors.NoCapacity,
    "InsufficientHostCapacity": errors.NoCapacity,
    "InstanceLimitExceeded": errors.QuotaReached,
    "VcpuLimitExceeded": errors.QuotaReached,
    "VolumeLimitExceeded": errors.QuotaReached,
    "AddressLimitExceeded": errors.QuotaReached,
    "SecurityGroupLimitExceeded": errors.QuotaReached,
    "LimitExceeded": errors.QuotaReached,
    "InsufficientFreeAddressesInSubnet": errors.NoFreeAddress,
    "IncorrectInstanceState": errors.WrongState,
    "IncorrectState": errors.WrongState,
    "DependencyViolation": errors.WrongState,
    "DeleteConflict": errors.WrongState,
    "VolumeInUse": errors.WrongState,
    "NoSuchEntity": errors.NotFound,
    "NoSuchResourceException": errors.NotFound,
}

_REMEDIES: dict[type[errors.EC2Error], str] = {
    errors.NoCapacity: "Try again later, or choose another instance type or a subnet elsewhere.",
    errors.QuotaReached: "Ask for more in the Service Quotas console of this region.",
    errors.NoFreeAddress: "Name a larger subnet, or free addresses in this one.",
    errors.WrongState: "Run the same command again in a minute.",
    errors.EC2Error: "Nothing else was changed by this call.",
}


def from_code(action: str, code: str, text: str, request_id: str) -> errors.EC2Error:
    """The error for what AWS answered; ``text`` is AWS's own sentence."""
    kind, message, remedy = _words(action, code, text)
    error = kind(message, action=action, code=code, request_id=request_id)
    error.remedy = remedy or error.remedy
    return error


def _words(action: str, code: str, text: str) -> tuple[type[errors.EC2Error], str, str]:
    if code in _THROTTLES:
        remedy = "Run the same command again in a minute."
        return errors.EC2Throttled, "AWS is being asked too often just now.", remedy
    if code in _TROUBLES:
        remedy = "Run the same command again in a few minutes."
        return errors.EC2Unavailable, f"AWS has trouble of its own just now ({action}).", remedy
    if code in _REFUSED:
        remedy = f"Add {action} to your policy; docs/install.md has the whole of it."
        return errors.NotPermitted, f"You are not allowed to call {action}.", remedy
    if code in _BAD_CREDENTIALS:
        return errors.NotPermitted, "AWS does not accept these credentials.", _CREDENTIALS
    if code in _OLD_CREDENTIALS:
        remedy = "Log in again, and check this computer's clock."
        return errors.NotPermitted, "The credentials or this computer's clock are old.", remedy
    kind = errors.NotFound if ".NotFound" in code else _KINDS.get(code, errors.EC2Error)
    return kind, f"AWS refused {action}: {text}", _REMEDIES.get(kind, "")


def unreachable(action: str) -> errors.EC2Unreachable:
    """The error for no answer at all."""
    error = errors.EC2Unreachable(f"AWS cannot be reached ({action}).", action=action)
    error.remedy = "Check the network, the region and EC2_ENDPOINT_URL; then run it again."
    return error


def no_credentials(action: str) -> errors.NotPermitted:
    """The error for an operator without credentials."""
    error = errors.NotPermitted("No usable AWS credentials were found.", action=action)
    error.remedy = (
        "Fill in launch_cluster/secure.py, set AWS_PROFILE, or run 'aws configure'; "
        "where you log in to AWS by SSO, 'aws sso login'."
    )
    return error


def unusable(action: str, reason: str) -> errors.EC2Error:
    """The error for a call that boto3 does not even send."""
    error = errors.EC2Error(
        f"{action} cannot be asked of AWS: {reason.rstrip('.')}.", action=action
    )
    error.remedy = "Correct what it names."
    return error
