"""AWS error codes as our errors: one table, the sentences that people read.

Codes: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
"""

from cloudjhub import errors

_THROTTLES = {"RequestLimitExceeded", "Throttling", "ThrottlingException", "SlowDown"}

_TROUBLES = {"InternalError", "InternalFailure", "Unavailable", "ServiceUnavailable"}
# botocore's code for an answer without a body it can read.
_TROUBLES |= {"500", "502", "503", "504"}

_BY_CODE: dict[str, tuple[type[errors.EC2Error], str]] = {
    "InsufficientInstanceCapacity": (
        errors.NoCapacity,
        "Amazon has no more machines of this type in this zone just now.",
    ),
    "InsufficientHostCapacity": (
        errors.NoCapacity,
        "Amazon has no free host in this zone just now.",
    ),
    "Unsupported": (errors.BadLaunch, "This zone does not offer WORKER_INSTANCE_TYPE."),
    "InstanceLimitExceeded": (errors.QuotaReached, "The account's quota of machines is used up."),
    "VcpuLimitExceeded": (errors.QuotaReached, "The account's quota of vCPUs is used up."),
    "VolumeLimitExceeded": (errors.QuotaReached, "The account's quota of volumes is used up."),
    "MaxIOPSLimitExceeded": (errors.QuotaReached, "The account's quota of disk speed is used up."),
    "InsufficientFreeAddressesInSubnet": (
        errors.NoFreeAddress,
        "The subnet SUBNET_ID has no free address left.",
    ),
    "UnauthorizedOperation": (errors.PolicyRefuses, "The hub is not allowed to do this in AWS."),
    "AuthFailure": (errors.NotPermitted, "AWS does not accept the hub's credentials."),
    "InvalidClientTokenId": (errors.NotPermitted, "AWS does not accept the hub's credentials."),
    "SignatureDoesNotMatch": (errors.NotPermitted, "AWS does not accept the hub's credentials."),
    "RequestExpired": (errors.NotPermitted, "The hub's clock or credentials are out of date."),
    "ExpiredToken": (errors.NotPermitted, "The hub's credentials have expired."),
    "InvalidInstanceID.NotFound": (errors.NotFound, "EC2 does not know this machine."),
    "InvalidInstanceID.Malformed": (errors.NotFound, "EC2 does not know this machine."),
    "InvalidVolume.NotFound": (errors.NotFound, "EC2 does not know this volume."),
    "InvalidSnapshot.NotFound": (errors.NotFound, "EC2 does not know this snapshot."),
    "IncorrectInstanceState": (errors.WrongState, "The machine is busy changing its state."),
    "IncorrectState": (errors.WrongState, "The machine or its disk is busy changing its state."),
    "VolumeInUse": (errors.WrongState, "The home volume is still attached elsewhere."),
    "InvalidVolume.ZoneMismatch": (
        errors.BadLaunch,
        "The home volume lies in another zone than the subnet SUBNET_ID.",
    ),
    "UnsupportedHibernationConfiguration": (
        errors.CannotHibernate,
        "This machine cannot hibernate.",
    ),
    "InvalidAMIID.NotFound": (
        errors.BadLaunch,
        "The AMI WORKER_AMI does not exist in this region.",
    ),
    "InvalidAMIID.Malformed": (errors.BadLaunch, "WORKER_AMI is not an AMI id."),
    "InvalidAMIID.Unavailable": (errors.BadLaunch, "The AMI WORKER_AMI is not available (yet)."),
    "InvalidSubnetID.NotFound": (errors.BadLaunch, "The subnet SUBNET_ID does not exist."),
    "InvalidGroup.NotFound": (errors.BadLaunch, "One of WORKER_SECURITY_GROUPS does not exist."),
    "InvalidKeyPair.NotFound": (errors.BadLaunch, "The key pair KEY_NAME does not exist."),
    "InvalidInstanceType": (errors.BadLaunch, "WORKER_INSTANCE_TYPE does not exist."),
    "InvalidParameterValue": (errors.BadLaunch, "EC2 refuses a value of the launch."),
    "InvalidParameterCombination": (errors.BadLaunch, "EC2 refuses a combination of the launch."),
    "InvalidBlockDeviceMapping": (errors.BadLaunch, "EC2 refuses the disks of the launch."),
}


_DISKS = (
    "Your administrator can delete homes that nobody needs any more; whoever pays for the cluster "
    "can ask for a higher quota in the Service Quotas console of AWS. Then try again."
)
_REMEDIES = {"VolumeLimitExceeded": _DISKS, "MaxIOPSLimitExceeded": _DISKS}


def from_code(action: str, code: str, text: str, request_id: str) -> errors.EC2Error:
    """The error for what EC2 answered; ``text`` is EC2's own sentence."""
    if code in _THROTTLES:
        kind, message = errors.EC2Throttled, "EC2 is being asked too often just now."
    elif code in _TROUBLES:
        kind, message = errors.EC2Unavailable, "Amazon EC2 has trouble of its own just now."
    elif code in _BY_CODE:
        kind, message = _BY_CODE[code]
        if kind in (errors.BadLaunch, errors.CannotHibernate):
            message = f"{message} EC2 says: {text}"
    else:
        kind, message = errors.EC2Error, f"EC2 refused {action}: {text}"
    if kind in (errors.EC2Error, errors.BadLaunch) and "hibernat" in text.lower():
        # EC2 has said so by more than one code.
        kind, message = errors.CannotHibernate, f"This machine cannot hibernate. EC2 says: {text}"
    error = kind(message, action=action, code=code, request_id=request_id)
    error.remedy = _REMEDIES.get(code, error.remedy)
    return error


def outcome(code: str | None) -> str:
    """An answer in one word, for counting: "" is a good one, None is none at all."""
    if code is None:
        return "no_answer"
    return "throttled" if code in _THROTTLES else code or "ok"


def unreachable(action: str) -> errors.EC2Unreachable:
    """The error for no answer at all."""
    return errors.EC2Unreachable("Amazon EC2 cannot be reached.", action=action)


def no_credentials(action: str) -> errors.NotPermitted:
    """The error for a hub that has nothing to sign its calls with."""
    return errors.NotPermitted("The hub has no usable AWS credentials.", action=action)


def unusable(action: str, reason: str) -> errors.EC2Error:
    """The error for a call that boto3 does not even send."""
    return errors.EC2Error(f"The hub cannot ask EC2 for this: {reason}", action=action)
