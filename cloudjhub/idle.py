"""Machines of idle users are stopped: jupyterhub-idle-culler as a service of the hub.

``python -m cloudjhub.idle`` is that service. JUPYTER_NOTEBOOK_TIMEOUT is read again at every look,
so that a change in server_config.json takes effect without a restart.
"""

import os
import sys
import time
from datetime import timedelta
from typing import Any

from cloudjhub.config_file import ConfigFile

SERVICE = "idle"
LOOK_SECONDS = 30
# A hub that was away is not to stop everybody for what it did not hear. It reads the proxy's times
# within a minute; single-user servers report every five, which a shorter limit does not wait for.
FIRST_WORDS_SECONDS = 90
HEARING_SECONDS = 400


def service() -> dict[str, Any]:
    """For c.JupyterHub.services."""
    config = os.environ.get("CLOUDJHUB_CONFIG", "/etc/jupyterhub/server_config.json")
    return {
        "name": SERVICE,
        "command": [sys.executable, "-m", "cloudjhub.idle"],
        "environment": {"CLOUDJHUB_CONFIG": config},
    }


def role() -> dict[str, Any]:
    """For c.JupyterHub.load_roles: what the service must be allowed, and no more."""
    scopes = ["list:users", "read:users:activity", "read:servers", "delete:servers"]
    return {"name": SERVICE, "services": [SERVICE], "scopes": scopes}


class IdleJudge:
    """Who has been idle for too long, by the file as it is now."""

    def __init__(self, file: ConfigFile, hearing_seconds: float):
        self._file = file
        self._begun = time.monotonic()
        self._hearing_seconds = hearing_seconds

    def __call__(
        self, inactive: timedelta | None, inactive_limit: float, server: dict[str, Any]
    ) -> bool:
        """What jupyterhub-idle-culler calls its arbiter; None is a server that nobody knows."""
        limit = self._file.current().idle_timeout_seconds
        listening = min(self._hearing_seconds, max(FIRST_WORDS_SECONDS, limit))
        if inactive is None or time.monotonic() - self._begun < listening:
            return False
        return inactive.total_seconds() >= limit


def main() -> None:
    """Run until the hub ends it."""
    from jupyterhub_idle_culler import IdleCuller
    from traitlets.config import Config

    hearing = float(os.environ.get("CLOUDJHUB_HEARING_SECONDS", HEARING_SECONDS))
    look = int(os.environ.get("CLOUDJHUB_LOOK_SECONDS", LOOK_SECONDS))
    judge = IdleJudge(ConfigFile(os.environ["CLOUDJHUB_CONFIG"]), hearing)
    settings = {"cull_every": look, "timeout": 60, "cull_arbiter_hook": judge}
    # No configuration file of its own: by default it would run one from the current folder.
    culler = IdleCuller(config=Config(IdleCuller=settings | {"config_file": ""}))
    culler.initialize([])
    culler.start()


if __name__ == "__main__":
    main()
