"""Running one machine of a role, once, however often it is asked for."""

import hashlib
from collections.abc import Callable

from cloudjhub.account import machines
from cloudjhub.account.machines import GONE, Machine, Request
from cloudjhub.deploy.steps.site import Site
from cloudjhub.deploy.waiting import wait_for
from cloudjhub.errors import CloudJHubError, EC2Error, LaunchFailed
from cloudjhub.naming import MANAGER_ROLE

_ATTEMPTS = 20
_RUNNING_SECONDS = 600
_PROFILE_SECONDS = 180
_OTHER_REMEDY = "Run the same command again; if it happens again, choose another type or subnet."
_KEY_REMEDY = (
    "Disks are encrypted with the account's default EBS key. Where that is a key of your own, its "
    "policy must let you and the manager's role use it (kms:CreateGrant, kms:Decrypt, "
    "kms:DescribeKey, kms:GenerateDataKeyWithoutPlaintext, kms:ReEncrypt*); see docs/security.md."
)
# The token was used: by a machine that is gone, or by a launch with other settings.
_USED_TOKEN = {"IdempotentInstanceTerminated", "IdempotentParameterMismatch"}


def run(site: Site, role: str, request: Request) -> Machine:
    """A new machine; or the one that a call made whose answer nobody heard.

    Tokens are told apart by the cluster's own security group, which only a teardown ends, and by
    a count that passes those whose machine is gone.
    """
    birth = f"{site.cluster}/{role}/{site.group_id(MANAGER_ROLE)}"
    for attempt in range(_ATTEMPTS):
        token = hashlib.sha256(f"{birth}/{attempt}".encode()).hexdigest()
        try:
            machine = _once_all_is_known(site, request, token)
        except EC2Error as error:
            if error.code in _USED_TOKEN:
                continue
            raise
        # The answer to a token that was used may show the machine as it was then.
        now = machines.machine(site.ec2, machine.id) or machine
        if now.state not in GONE:
            return now
    raise CloudJHubError(
        f"{_ATTEMPTS} machines with the role {role} were made and are gone.",
        f"Look at them in the EC2 console; then run scripts/teardown.py {site.cluster}.",
    )


def wait_running(site: Site, machine: Machine) -> Machine:
    """The machine as EC2 shows it when it runs. Switches one on that is stopped."""
    return wait_for(
        f"The start of {machine.id}",
        _Look(site, machine.id, "running", on_stopped=machines.start),
        seconds=_RUNNING_SECONDS,
    )


def wait_stopped(site: Site, machine: Machine) -> Machine:
    """Stop it and wait for that."""
    machines.stop(site.ec2, machine.id)
    look = _Look(site, machine.id, "stopped")
    return wait_for(f"The stop of {machine.id}", look, seconds=_RUNNING_SECONDS)


class _Look:
    """Whether a machine is in a state yet. Raises LaunchFailed where it never will be."""

    def __init__(
        self,
        site: Site,
        instance_id: str,
        state: str,
        on_stopped: Callable[..., None] | None = None,
    ):
        self._site, self._id, self._state = site, instance_id, state
        self._on_stopped = on_stopped

    def __call__(self) -> Machine | None:
        machine = machines.machine(self._site.ec2, self._id)
        if machine is None:  # not listed yet
            return None
        if machine.state in GONE:
            why = machine.state_reason or "EC2 gives no reason"
            raise LaunchFailed(
                f"EC2 ended the machine {machine.id}: {why}.",
                remedy_of(machine.state_reason),
            )
        if machine.state == self._state:
            return machine
        if machine.state == "stopped" and self._on_stopped:
            self._on_stopped(self._site.ec2, machine.id)
        return None


def remedy_of(reason: str) -> str:
    """What to do about a machine that EC2 ended, by its own words."""
    about_a_key = any(sign in reason for sign in ("Client.InternalError", "KMSKey", "KMS key"))
    return _KEY_REMEDY if about_a_key else _OTHER_REMEDY


def _once_all_is_known(site: Site, request: Request, token: str) -> Machine:
    """EC2 learns of a new instance profile some seconds after IAM."""
    look = _RunOnce(site, request, token)
    return wait_for("EC2 knowing the new profile and groups", look, seconds=_PROFILE_SECONDS)


class _RunOnce:
    """One attempt of RunInstances; None: a new profile or group is not known yet."""

    def __init__(self, site: Site, request: Request, token: str):
        self._site, self._request, self._token = site, request, token

    def __call__(self) -> Machine | None:
        try:
            return machines.run(self._site.ec2, self._request, self._token)
        except EC2Error as error:
            unknown_profile = self._request.profile and _is_unknown_profile(error)
            if unknown_profile or error.code == "InvalidGroup.NotFound":
                return None
            raise


def _is_unknown_profile(error: EC2Error) -> bool:
    said = error.message.lower().replace(" ", "")
    about_it = "iaminstanceprofile" in said or "instanceprofile" in said
    return error.code in ("InvalidParameterValue", "NoSuchEntity") and about_it
