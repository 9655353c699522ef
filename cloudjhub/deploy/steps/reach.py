"""SSH to builder and manager: waited for, and pinned by a tag at the first contact.

At that contact nothing that is secret is sent before the key was compared with the machine's
console, where cloud-init writes it in the last stage of the first boot.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cloudjhub import remote
from cloudjhub.account import machines
from cloudjhub.account.machines import Machine
from cloudjhub.deploy.steps.site import Site
from cloudjhub.deploy.waiting import wait_for
from cloudjhub.errors import (
    EC2Error,
    HostKeyChanged,
    LoginRefused,
    MachineNotAnswering,
    NotPermitted,
    TimedOut,
)
from cloudjhub.naming import HOST_KEY_TAG
from cloudjhub.remote_values import Target

SSH_PORT = 22
_ANSWERS_SECONDS = 600
_ATTEMPT_SECONDS = 15.0
_BOOT_SECONDS = 600
_CONSOLE_SECONDS = 180.0  # EC2 shows a console some time after it was written
_FINGERPRINTS = "END SSH HOST KEY FINGERPRINTS"
_WAIT_FOR_BOOT = (
    "if command -v cloud-init >/dev/null; then "
    f"timeout {_BOOT_SECONDS} cloud-init status --wait >/dev/null 2>&1 || true; fi"
)


@contextmanager
def session(site: Site, machine: Machine, host: str) -> Iterator[remote.Session]:
    """A login as SERVER_USERNAME, as soon as the machine takes it."""
    target = Target(
        host, SSH_PORT, _login(site, machine), str(Path(site.settings.key_path).expanduser())
    )
    site.say(f"logs in at {target} as {target.username}")
    attempt = _Attempt(target, machine.tags.get(HOST_KEY_TAG))
    try:
        opened = wait_for(f"The login at {target}", attempt, seconds=_ANSWERS_SECONDS)
    except TimedOut as error:
        raise TimedOut(f"{error.message} {attempt.said}", _remedy(attempt)) from attempt.error
    with opened:
        if HOST_KEY_TAG not in machine.tags:
            site.say("waits for the end of its first boot, to compare its key with its console")
            opened.run(_WAIT_FOR_BOOT, timeout_seconds=_BOOT_SECONDS + 30.0)
            _compare_with_console(site, machine, opened.fingerprint)
            machines.tag(site.ec2, machine.id, {HOST_KEY_TAG: opened.fingerprint})
        yield opened


def _login(site: Site, machine: Machine) -> str:
    """A worker AMI of the class's own admits the account that the hub will use."""
    custom = machine.image_id == site.settings.custom_worker_ami
    return site.settings.worker_username if custom else site.settings.server_username


class _Attempt:
    """One login. Refusals are taken for a first boot that has not come to our key yet."""

    def __init__(self, target: Target, fingerprint: str | None):
        self._target, self._fingerprint = target, fingerprint
        self.error: Exception | None = None
        self.said = ""

    def __call__(self) -> remote.Session | None:
        try:
            return remote.connect(self._target, self._fingerprint, _ATTEMPT_SECONDS)
        except (MachineNotAnswering, LoginRefused) as error:
            self.error, self.said = error, error.message
            return None


def _remedy(attempt: _Attempt) -> str:
    if isinstance(attempt.error, LoginRefused):
        return "Check SERVER_USERNAME, KEY_NAME and KEY_PATH; then run the same command again."
    return (
        "Check that this computer's address may reach port 22 (--ssh_from) and that the public "
        "subnet leads to an internet gateway; then run the same command again."
    )


def _compare_with_console(site: Site, machine: Machine, fingerprint: str) -> None:
    """Raises HostKeyChanged where the console shows other keys; says where it shows none."""
    console = _Console(site, machine.id)
    try:
        wait_for(f"The console of {machine.id}", console, seconds=_CONSOLE_SECONDS)
    except (TimedOut, NotPermitted):
        site.say(
            f"note: EC2 does not show the host keys of {machine.id} on its console, so its key "
            f"{fingerprint} is believed as it was seen."
        )
        return
    if fingerprint not in console.text:
        raise HostKeyChanged(
            f"The machine {machine.id} shows the host key {fingerprint}, which is none of those "
            "that it wrote to its console.",
            "Somebody may be listening in between: try from another network.",
        )


class _Console:
    """Whether the console shows the host keys yet."""

    def __init__(self, site: Site, instance_id: str):
        self._site, self._id = site, instance_id
        self.text = ""

    def __call__(self) -> bool:
        try:
            self.text = machines.console(self._site.ec2, self._id)
        except NotPermitted:
            raise
        except EC2Error:  # the next look may be answered
            return False
        return _FINGERPRINTS in self.text
