"""What jupyterhub_config.py says of the culler: how the hub runs it, and what it may do."""

import copy
import os
import sys
from typing import Any

from traitlets.config.loader import LazyConfigValue

from cloudjhub.culler.pace import VARIABLE
from cloudjhub.ports import free_port

NAME = "culler"
COMMAND = [sys.executable, "-m", "cloudjhub.culler"]
#: what the service ends with; see __main__
HUB_PID = "CLOUDJHUB_HUB_PID"
_WEB_PROXIES = ("http_proxy", "https_proxy", "no_proxy")


def service() -> dict[str, Any]:
    """For c.JupyterHub.services. Its page gets a port that is free at this moment."""
    config = os.environ.get("CLOUDJHUB_CONFIG", "/etc/jupyterhub/server_config.json")
    # JupyterHub hands on next to nothing; the sweep asks EC2 as the hub does.
    handed_on = {name: value for name, value in os.environ.items() if _is_handed_on(name)}
    environment = {**handed_on, "CLOUDJHUB_CONFIG": config, HUB_PID: str(os.getpid())}
    return {
        "name": NAME,
        "command": COMMAND,
        "url": f"http://127.0.0.1:{free_port()}",
        "environment": environment,
        # A hub ends if a service's page does not come up, which on a busy computer takes a while
        # (seconds; default 30).
        "timeout": 180,
        # A part of the hub, which need not ask whether it may know who is there.
        "oauth_no_confirm": True,
    }


def role() -> dict[str, Any]:
    """For c.JupyterHub.load_roles: what the service must be allowed, and no more."""
    scopes = ["list:users", "read:servers", "delete:servers", "list:groups", "read:groups"]
    return {"name": NAME, "services": [NAME], "scopes": scopes}


def add_to(jupyterhub: Any) -> None:
    """To ``c.JupyterHub``; what has the name already is left, as a hub ends where two have it."""
    for name, entry in (("services", service()), ("load_roles", role())):
        entries = getattr(jupyterhub, name)
        names = {each.get("name") for each in _listed(entries) if isinstance(each, dict)}
        if NAME not in names:
            entries.append(entry)


def _listed(entries: Any) -> list[Any]:
    """What the list will hold, which traitlets keeps apart until somebody has set it."""
    if not isinstance(entries, LazyConfigValue):
        return list(entries)
    # The copy, since it takes in nothing more once it was asked.
    return list(copy.deepcopy(entries).get_value([]))


def _is_handed_on(name: str) -> bool:
    return name.startswith("AWS_") or name.lower() in _WEB_PROXIES or name == VARIABLE
