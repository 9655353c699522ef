"""SSH to builder and manager: waited for, and pinned by a tag at the first contact."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cloudjhub import remote
from cloudjhub.account import machines
from cloudjhub.account.machines import Machine
from cloudjhub.deploy.steps.site import Site
from cloudjhub.deploy.waiting import wait_for
from cloudjhub.errors import EC2Error, HostKeyChanged, LoginRefused, MachineNotAnswering, TimedOut
from cloudjhub.naming import HOST_KEY_TAG
from cloudjhub.remote_values import Target

SSH_PORT = 22
_ANSWERS_SECONDS = 600
_ATTEMPT_SECONDS = 15.0
_FINGERPRINTS = "BEGIN SSH HOST KEY FINGERPRINTS"


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
    """cloud-init writes the keys to the console; where EC2 has that already, it must agree."""
    text = ""
    with suppress(EC2Error):
        text = machines.console(site.ec2, machine.id)
    if _FINGERPRINTS in text and fingerprint not in text:
        raise HostKeyChanged(
            f"The machine {machine.id} shows the host key {fingerprint}, which is none of those "
            "that it wrote to its console.",
            "Somebody may be listening in between: try from another network.",
        )
