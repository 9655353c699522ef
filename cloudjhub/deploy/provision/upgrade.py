"""A running manager: what it runs, another version of it, another worker AMI in its configuration.

Each step is whole or not at all: a version that does not answer gives way to the former one, and
a configuration that the hub would refuse is not written.
"""

import hashlib
import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any, Literal

from cloudjhub.config import ClusterConfig
from cloudjhub.deploy.provision.hub_files import (
    CONFIG_FOLDER,
    CONFIG_PATH,
    CONFIG_WRITTEN_PATH,
    OWN_IDLE_CONFIG,
    SERVER_CONFIG_PATH,
)
from cloudjhub.deploy.provision.shell import (
    ProvisionError,
    Say,
    Shell,
    digest,
    nobody,
    read_file,
)
from cloudjhub.deploy.provision.versions import JUPYTERHUB_VERSION
from cloudjhub.deploy.provision.wheel import CHECKOUT, Wheel
from cloudjhub.remote import Session

#: as this checkout has it; as it was written before; or as somebody has changed it there
HubConfig = Literal["current", "older", "own"]

_BASE = "/opt/cloudjhub"
_USED = f"{_BASE}/worker-amis"
_REQUIREMENTS = f"{_BASE}/worker-requirements.txt"
_HUB = "jupyterhub:jupyterhub"
_LOOK_SECONDS = 60.0

#: SHA-256 of every jupyterhub_config.py that launches wrote, this checkout's last: clusters of the
#: first version have no copy beside it that would tell whether somebody has changed it
SHIPPED = (
    "fcb255913e6a965049c2783931f5ae231cfbb60806d2e8b8bf59fc306e80b809",
    "6d9ce010dea8fb587bb254b13866206c48f21da8f5b9860805c0098c23d4d2f5",
    "4a528b60ec2083c2279f54ee73ac8300ac4d2710daf2dff2a8b4226e58c93aec",
    "f3f9e8aabb86a132427247099ec92e29108f397a5a4fbb875895816a859b5f6a",
    "8eacbd26f82abb0d15f85e9c4f812ed18d9eb47e6653c4620270415ed11aa46f",
    "cbe5c98f5cbf0e8669534beaeee5de14680d9bcc505d452e181e0e4228bdea33",
)

#: keys of server_config.json that an operator would look for there
NEW_KEYS = (
    "move_homes",
    "max_machines",
    "when_full",
    "pool",
    "pool_state",
    "pool_max",
    "pool_spare_hours",
    "idle_action",
    "keep_hours",
    "max_age_hours",
    "sweep",
)

# Run with the manager's own Python, as the hub's account: what the hub would say of the file.
_CHECK = (
    "import sys; from cloudjhub import config, errors\n"
    "try: config.parse(sys.stdin.read(), 'server_config.json')\n"
    "except errors.ConfigError as error: print(error.message); sys.exit(4)"
)


def installed_version(session: Session) -> str:
    """Of cloudjhub on the manager. ProvisionError where its launch has not come so far."""
    output = session.run(
        f"{_BASE}/venv/bin/python -I -c 'import cloudjhub; print(cloudjhub.__version__)'",
        timeout_seconds=_LOOK_SECONDS,
    )
    if output.exit_code != 0:
        raise ProvisionError(
            "There is no cloudJHub on the manager.",
            "Run the launch again: it goes on where it stopped.",
            log_tail=output.text[-2000:],
        )
    return output.text.split()[-1]


def server_config(session: Session) -> dict[str, Any]:
    """What the manager's server_config.json says. ProvisionError if that is not to be had."""
    text = Shell(session, nobody).get(SERVER_CONFIG_PATH)
    if text is None:
        raise ProvisionError(
            f"The manager has no {SERVER_CONFIG_PATH}.",
            "Run the launch again: it goes on where it stopped.",
        )
    try:
        values = json.loads(text)
    except ValueError as error:
        raise _unusable(f"is not valid JSON: {error}") from None
    if not isinstance(values, dict):
        raise _unusable("is not one JSON object")
    return values


def _unusable(what: str) -> ProvisionError:
    return ProvisionError(
        f"{SERVER_CONFIG_PATH} on the manager {what}.",
        "Correct it there; the hub works from what it said before until then.",
    )


def change_server_config(session: Session, changes: Mapping[str, Any]) -> None:
    """Set these keys and leave the rest; the hub uses them at the next start of a server.

    Raises ProvisionError, with nothing changed, where the hub would refuse the result.
    """
    text = json.dumps({**server_config(session), **changes}, indent=2) + "\n"
    output = session.run(
        f"sudo -n -u jupyterhub {_BASE}/venv/bin/python -I -c {shlex.quote(_CHECK)}",
        stdin=text.encode(),
        timeout_seconds=_LOOK_SECONDS,
    )
    if output.exit_code != 0:
        said = output.text.strip() if output.exit_code == 4 else "it could not be checked"
        raise ProvisionError(
            f"The hub would refuse its new configuration: {said}",
            f"Nothing was changed. Correct {SERVER_CONFIG_PATH} on the manager, then run it again.",
            log_tail=output.text[-2000:],
        )
    Shell(session, nobody).put(SERVER_CONFIG_PATH, text, mode="0600", owner=_HUB)


def keys_it_lacks(config: Mapping[str, Any]) -> dict[str, Any]:
    """Keys that came after the cluster was launched, with the hub's own defaults. Pure."""
    return {
        str(field.alias): field.default
        for name, field in ClusterConfig.model_fields.items()
        if name in NEW_KEYS and field.alias not in config
    }


def used_amis(session: Session) -> list[str]:
    """The worker AMIs that upgrades have brought or taken away, oldest first."""
    return (Shell(session, nobody).get(_USED) or "").split()


def note_used(session: Session, *image_ids: str) -> None:
    """Remember them, so that an AMI that was given up is not taken for one that waits for use."""
    known = dict.fromkeys([*used_amis(session), *image_ids])
    Shell(session, nobody).put(_USED, "".join(f"{image_id}\n" for image_id in known))


def requirements(session: Session) -> str | None:
    """What the class's packages are, in pip's format; None where nobody has noted them."""
    return Shell(session, nobody).get(_REQUIREMENTS)


def note_requirements(session: Session, text: str) -> None:
    """Remember them for the next AMI. They may hold a password, so they are for root only."""
    Shell(session, nobody).put(_REQUIREMENTS, text, mode="0600")


def has_postgresql(session: Session) -> bool:
    """Whether the hub's users are in PostgreSQL, of which the manager makes no copy."""
    text = Shell(session, nobody).get(f"{CONFIG_FOLDER}/10-manager.py") or ""
    return "c.JupyterHub.db_url = 'postgresql" in text


def hub_config(session: Session, checkout: Path = CHECKOUT) -> HubConfig:
    """How jupyterhub_config.py on the manager relates to this checkout's."""
    shell, new = Shell(session, nobody), (checkout / "jupyterhub_config.py").read_text("utf-8")
    there = shell.get(CONFIG_PATH)
    if there == new:
        return "current"
    shipped = hashlib.sha256((there or "").encode()).hexdigest() in SHIPPED
    return "older" if shipped or there == shell.get(CONFIG_WRITTEN_PATH) else "own"


def upgrade_hub(
    session: Session, wheel: Wheel, private_address: str, say: Say = nobody
) -> dict[str, str]:
    """Install the wheel and restart the hub; servers and proxy run on. Gives the versions.

    A version that cannot be installed or does not answer is taken back: ProvisionError then.
    """
    shell = Shell(session, say)
    path = f"{_BASE}/incoming/{wheel.name}"
    unit = Template(read_file("jupyterhub.service")).substitute(hub_address=private_address)
    shell.put(path, wheel.content)
    shell.put(f"{_BASE}/unit-new", unit)
    relation = hub_config(session)
    ours = (CHECKOUT / "jupyterhub_config.py").read_text("utf-8")
    config = ours if relation == "older" else ""
    shell.put(f"{_BASE}/config-new", config)
    idle = _own_idle_config(shell) if relation == "own" else ""
    shell.put(f"{_BASE}/idle-new", idle)
    state = f"upgraded-{digest(wheel.content, unit, config, idle)}"
    words = (path, "manager", JUPYTERHUB_VERSION, private_address, state)
    try:
        answer = shell.script("upgrade_hub", *words)
    except ProvisionError as error:
        if "runs again" in error.log_tail:
            error.remedy = "The version that ran before runs again; nobody's server was disturbed."
        raise
    if relation == "current":  # perhaps put there by an upgrade that was cut off, then unnoted
        shell.put(CONFIG_WRITTEN_PATH, ours)
    return answer


def _own_idle_config(shell: Shell) -> str:
    """What their jupyterhub_config.py does not say of idle machines; "" if it does."""
    there = shell.get(CONFIG_PATH) or ""
    return "" if "cloudjhub.culler" in there else OWN_IDLE_CONFIG
