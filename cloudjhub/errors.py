"""What can go wrong, as one tree.

::

    CloudJHubError                 one calm sentence, and what the reader can do next
    ├── ConfigError                server_config.json or a trait holds something unusable
    ├── UnknownOption              a user asked for something that is not on offer
    ├── ClusterFull                as many machines run as MAX_MACHINES allows
    ├── TimedOut                   a wait reached its deadline
    ├── EC2Error                   EC2 answered with an error code
    │   ├── EC2Unreachable         no answer at all; what we know grows old, nothing more
    │   │   └── EC2Unavailable     an answer that says EC2 itself is in trouble
    │   ├── EC2Throttled           asked too often; the same call later succeeds
    │   ├── NoCapacity             EC2 has no such machine left in that zone
    │   │   └── HomeHeldUp         nor where the user's home is; the home could be moved
    │   ├── QuotaReached           the account may not have more
    │   ├── NoFreeAddress          the subnet is full
    │   ├── NotPermitted           credentials or policy refuse
    │   │   └── PolicyRefuses      the policy does: also said of what is gone, with its tags
    │   ├── NotFound               that id is unknown (perhaps not known yet)
    │   ├── CannotHibernate        it can be launched or stopped, but not so that it wakes up again
    │   ├── WrongState             the machine or volume is in a state that forbids this
    │   └── BadLaunch              AMI, type, subnet, group or key pair of the launch is wrong
    ├── MachineError               EC2 says running, the machine says otherwise
    │   ├── MachineNotAnswering    nothing, or not a word, from its sshd
    │   ├── LoginRefused           sshd does not take our key
    │   ├── HostKeyChanged         another key than the one we pinned
    │   └── LaunchFailed           EC2 took the machine away while it started
    └── NotebookError              the single-user server did not start; carries its last words
"""


class CloudJHubError(Exception):
    """An error a person can act on.

    ``message`` is one sentence for whoever sees it; ``remedy`` is what to do next.
    """

    remedy = "Try again; if it happens again, tell your administrator."

    def __init__(self, message: str, remedy: str | None = None):
        super().__init__(message)
        self.message = message
        if remedy is not None:
            self.remedy = remedy

    @property
    def advice(self) -> str:
        """Message and remedy as they are shown to a person."""
        return f"{self.message} {self.remedy}".strip()


class ConfigError(CloudJHubError):
    """Unusable configuration. ``findings`` has one sentence for each thing found."""

    remedy = "Your administrator can mend this; then try again. No restart is needed."

    def __init__(self, findings: list[str]):
        super().__init__(" ".join(findings))
        self.findings = findings


class UnknownOption(CloudJHubError):
    """A user option that this cluster does not offer."""

    remedy = "Choose again from what the page offers."


class ClusterFull(CloudJHubError):
    """MAX_MACHINES are up, and WHEN_FULL says that nobody waits."""

    remedy = (
        "Try again when somebody has stopped their server. Your administrator can stop servers "
        "that nobody needs, or raise MAX_MACHINES in server_config.json; no restart is needed."
    )


class TimedOut(CloudJHubError):
    """A wait reached its deadline. The message names what was waited for."""


class EC2Error(CloudJHubError):
    """EC2 refused a call.

    ``action`` is the API's name of the call, ``code`` the error code and ``request_id``
    what AWS support asks for; ``code`` and ``request_id`` are "" where there was no answer.
    """

    remedy = "Your administrator finds the details in the hub's log."

    def __init__(self, message: str, *, action: str, code: str = "", request_id: str = ""):
        super().__init__(message)
        self.action = action
        self.code = code
        self.request_id = request_id

    def __str__(self) -> str:
        code, request = self.code or "no answer", self.request_id or "none"
        return f"{self.action}: {code}: {self.message} [request {request}]"


class EC2Unreachable(EC2Error):
    """No answer from the EC2 endpoint."""

    remedy = "Nothing is lost. Try again in a minute."


class EC2Unavailable(EC2Unreachable):
    """EC2 answered that it cannot answer."""


class EC2Throttled(EC2Error):
    """The account's request budget is used up for the moment."""

    remedy = "Nothing is lost. Try again in a minute."


class NoCapacity(EC2Error):
    """Amazon has no machine of this type left in this zone."""

    remedy = "Try again in a few minutes, or ask your administrator for another machine type."


class HomeHeldUp(NoCapacity):
    """Amazon has no machine where the home is; with the user's word the home may be moved."""

    def __init__(self, message: str, remedy: str, *, refusal: EC2Error):
        super().__init__(
            message, action=refusal.action, code=refusal.code, request_id=refusal.request_id
        )
        self.remedy = remedy


class QuotaReached(EC2Error):
    """The account's quota of machines, vCPUs or volumes is used up."""

    remedy = (
        "Your administrator can stop servers that nobody needs; whoever pays for the cluster can "
        "ask for a higher quota in the Service Quotas console of AWS. Then try again."
    )

    instance_type = ""  # of the launch that was refused, where it was one

    @property
    def is_of_machines(self) -> bool:
        """Whether another machine that stops makes room; for volumes it does not."""
        return self.code in ("InstanceLimitExceeded", "VcpuLimitExceeded")


class NoFreeAddress(EC2Error):
    """The workers' subnet has no address left."""

    remedy = (
        "Your administrator can name another subnet in SUBNET_ID of server_config.json, no restart "
        "is needed, or remove machines that nobody needs: stopped ones keep their address too."
    )


class NotPermitted(EC2Error):
    """The hub's credentials do not allow the call."""

    remedy = "Ask your administrator to check the manager's credentials and its EC2 policy."


class PolicyRefuses(NotPermitted):
    """The policy does not allow the call on one of the resources.

    A policy that goes by tags refuses what has none, and what does not exist has none: EC2
    answers this and not "not found" (https://github.com/aws/karpenter-provider-aws/issues/2100).
    """

    def of_what_is_gone(self, resource_id: str) -> "NotFound":
        """The error that it is where a listing showed that the resource is gone."""
        return NotFound(
            f"{resource_id} is gone.",
            action=self.action,
            code=self.code,
            request_id=self.request_id,
        )


class NotFound(EC2Error):
    """The id does not exist, or is too new to be known everywhere."""


class WrongState(EC2Error):
    """The resource's present state forbids the call."""

    remedy = "Try again in a minute."


class CannotHibernate(EC2Error):
    """EC2 refuses to hibernate a machine, or to launch one for it."""


class BadLaunch(EC2Error):
    """What the launch asks for does not exist or does not fit together."""

    remedy = (
        "Ask your administrator to correct server_config.json; then try again. "
        "No restart is needed."
    )


class MachineError(CloudJHubError):
    """A machine that EC2 calls running does not behave like one."""


class MachineNotAnswering(MachineError):
    """No SSH banner in time, connection refused, or silence in the middle."""


class LoginRefused(MachineError):
    """The machine's sshd refuses the manager's key."""

    remedy = (
        "Ask your administrator to check WORKER_KEY_FILE and WORKER_USERNAME "
        "against the worker AMI."
    )


class HostKeyChanged(MachineError):
    """The machine shows another host key than at the first contact."""

    remedy = (
        "Nothing was sent to it. Ask your administrator: if the change was intended, "
        "remove the machine's cloudjhub:host-key tag; otherwise replace the machine."
    )


class LaunchFailed(MachineError):
    """The machine ended or stopped again while it was starting."""


class NotebookError(CloudJHubError):
    """The single-user server did not come up. ``log_tail``: its last lines, for the log only."""

    remedy = "Try again; your administrator finds its last words in the hub's log."

    def __init__(self, message: str, *, log_tail: str = ""):
        super().__init__(message)
        self.log_tail = log_tail
