"""How many vCPUs the account may run at once, and how many Elastic IPs it may have.

https://docs.aws.amazon.com/ec2/latest/instancetypes/ec2-instance-quotas.html
"""

from cloudjhub.account import machines, types
from cloudjhub.aws import Service
from cloudjhub.ec2_values import Tags
from cloudjhub.errors import EC2Error

STANDARD = "L-1216C47A"
ELASTIC_IPS = "L-0263D0A3"
_CODES = {
    **dict.fromkeys(("g", "vt"), "L-DB2E81BA"),
    "p": "L-417A185B",
    "inf": "L-1945791B",
    "trn": "L-2C3B7624",
    "x": "L-7295265B",
    "f": "L-74FC7D96",
    "u": "L-43DA4232",
    "dl": "L-6E869C2A",
    "hpc": "L-F7808C92",
}
_STANDARD_FAMILIES = frozenset("acdhimrtz")


def quota_code(instance_type: str) -> str:
    """The on-demand quota that a type counts against; "" where it is not known."""
    family = instance_type.partition(".")[0]
    letters = family[: next((at for at, sign in enumerate(family) if sign.isdigit()), len(family))]
    if letters in _STANDARD_FAMILIES or letters == "im":
        return STANDARD
    return _CODES.get(letters.rstrip("-"), "")


def where_to_ask(code: str, region: str) -> str:
    """Where the account's owner asks for more of a quota, in words."""
    return (
        f"Ask for more in the Service Quotas console of {region}: AWS services, Amazon Elastic "
        f"Compute Cloud (Amazon EC2), {code}, Request increase at account level. New accounts "
        "often wait a day, large steps a week or more."
    )


def quota(quotas: Service, code: str) -> int | None:
    """The most that the account may have; None where it may not read that or AWS does not say."""
    for operation in ("get_service_quota", "get_aws_default_service_quota"):
        try:
            answer = quotas.ask(operation, ServiceCode="ec2", QuotaCode=code)
        except EC2Error:
            continue
        return int(answer["Quota"]["Value"])
    return None


def used(ec2: Service, code: str, without: Tags | None = None) -> int:
    """vCPUs that run in the account already and count against the same quota.

    ``without``: machines that carry all of these tags are not counted.
    """
    types_on = machines.running_types(ec2, without)
    running = [name for name in types_on if quota_code(name) == code]
    if not running:
        return 0
    known = types.instance_types(ec2, running)
    return sum(known[name].vcpus for name in running if name in known)
