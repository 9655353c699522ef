"""What the manager's server_config.json says, for verbs that only look: one try over SSH."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloudjhub import remote
from cloudjhub.account import images
from cloudjhub.account.inventory import MachineFound
from cloudjhub.deploy import login_names
from cloudjhub.deploy.desk import Desk
from cloudjhub.deploy.provision import upgrade as provision
from cloudjhub.deploy.settings import ManagerLogin
from cloudjhub.errors import CloudJHubError
from cloudjhub.naming import HOST_KEY_TAG
from cloudjhub.remote_values import Target

_SSH_PORT = 22
_TRY_SECONDS = 8.0


@dataclass(frozen=True)
class Said:
    """The file's keys; None: not known, and ``why`` says why, as the end of a sentence."""

    config: dict[str, Any] | None = None
    why: str = ""


def server_config(at: Desk, account: ManagerLogin, manager: MachineFound | None) -> Said:
    """Never raises and never waits long: whoever only looks need not be able to log in."""
    if manager is None or manager.state != "running":
        return Said(why="the manager does not run")
    key = Path(account.key_path).expanduser() if account.key_path else None
    if key is None or not key.is_file():
        return Said(why="it is on the manager, and KEY_PATH names no file to log in with")
    if not (pinned := manager.tags.get(HOST_KEY_TAG)):
        return Said(why="the manager's host key was never pinned")
    try:
        image = images.image(at.clients.ec2, manager.image_id)
        login = login_names.of_server(account.server_username, image)
        host = manager.public_ip or manager.private_ip or ""
        with connect(Target(host, _SSH_PORT, login, str(key)), pinned) as session:
            return Said(provision.server_config(session))
    except CloudJHubError as error:
        return Said(why=f"the manager was asked: {error.message.rstrip('.')}")


def connect(target: Target, pinned: str) -> remote.Session:
    """A login to the manager."""
    return remote.connect(target, pinned, _TRY_SECONDS)
