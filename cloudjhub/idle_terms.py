"""What a machine is told of when it is idle: where to ask the hub, and what holds without it."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from urllib.parse import quote

from cloudjhub.culler.policy import terms_of
from cloudjhub.idle_config import IdleConfig
from cloudjhub.notebook import Watch

#: of the server's environment: where it asks the hub for its terms; see hub_api
URL_VARIABLE = "CLOUDJHUB_IDLE_URL"
#: of the server's environment: seconds between two of JupyterHub's own reports of activity. Its 300
#: are too many for short limits where our part of the server, which says nothing twice, is missing.
_REPORTS_VARIABLE = "JUPYTERHUB_ACTIVITY_INTERVAL"
_REPORT_SECONDS = "60"


def with_idle(environment: dict[str, str], escaped_user: str, server: str) -> dict[str, str]:
    """The environment of a server with what it needs to tell and to hear of being idle."""
    asked_at = idle_url(environment["JUPYTERHUB_API_URL"], escaped_user, server)
    return {_REPORTS_VARIABLE: _REPORT_SECONDS, **environment, URL_VARIABLE: asked_at}


def idle_url(api_url: str, escaped_user: str, server: str) -> str:
    """``api_url``: of JupyterHub's REST API. ``server``: its name, "" is the default one."""
    which = f"servers/{quote(server, safe='')}" if server else "server"
    return f"{api_url.rstrip('/')}/cloudjhub/users/{escaped_user}/{which}/idle"


def idle_terms(
    config: IdleConfig, user: str, groups: Iterable[str], now: datetime
) -> dict[str, Any]:
    """What a machine must know to say when it stops; ``quiet_until`` is None outside the hours."""
    terms = terms_of(config, user, groups)
    quiet_until = config.quiet_until(now)
    return {
        "timeout_seconds": terms.timeout_seconds,
        "action": terms.action,
        "keep_seconds": terms.keep_seconds,
        "max_age_seconds": terms.max_age_seconds,
        "quiet_until": quiet_until.isoformat() if quiet_until else None,
        "busy_cpu_percent": config.busy_cpu_percent,
        "busy_gpu_percent": config.busy_gpu_percent,
        "busy_minutes": config.busy_minutes,
    }


def watch_over(config: IdleConfig, user: str, groups: Iterable[str]) -> Watch:
    """When the machine powers itself off, should no hub look after it any more."""
    return Watch(
        limit_seconds=terms_of(config, user, groups).timeout_seconds,
        grace_seconds=config.sweep_grace_seconds,
        busy_cpu_percent=config.busy_cpu_percent,
        busy_gpu_percent=config.busy_gpu_percent,
        busy_minutes=config.busy_minutes,
    )
