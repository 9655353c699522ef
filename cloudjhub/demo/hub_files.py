"""What the demo's hub reads: environment and configuration, as plain values and text."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloudjhub.culler.pace import VARIABLE
from cloudjhub.demo.folder import ADMIN, DemoFolder, Secrets

# jupyterhub_config.py stands beside the package, in the checkout.
CHECKOUT = Path(__file__).resolve().parents[2]

# Somebody's AWS account, hub, kernels or web proxy must not reach into the demo.
_FOREIGN = ("AWS_", "BOTO", "JUPYTER", "JPY_", "CONFIGPROXY_", "CLOUDJHUB_")
_WEB_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")

_SCOPES = [
    "access:servers",
    "access:services",
    "admin:groups",
    "admin:server_state",
    "admin:servers",
    "admin:users",
    "list:users",
    "proxy",
    "read:hub",
    "read:metrics",
    "shutdown",
]

_PACE = {"round_seconds": 5, "hole_seconds": 20, "report_seconds": 30}


@dataclass(frozen=True)
class HubPlan:
    """What the hub's own configuration file says in this demo."""

    folder: DemoFolder
    public_port: int
    hub_port: int
    proxy_api_port: int
    users: Sequence[str]
    hub_address: str = "127.0.0.1"
    paces_of_aws: bool = False

    @property
    def url(self) -> str:
        """Where people go."""
        return f"http://127.0.0.1:{self.public_port}"

    @property
    def hub_url(self) -> str:
        """Where the proxy and the machines find the hub."""
        return f"http://{self.hub_address}:{self.hub_port}"


def clean_environment(source: Mapping[str, str]) -> dict[str, str]:
    """The environment without what could lead out of the demo, with credentials of no account."""
    kept = {
        name: value
        for name, value in source.items()
        if not name.startswith(_FOREIGN) and name.lower() not in _WEB_PROXIES
    }
    programs = str(Path(sys.executable).parent)
    return {
        **kept,
        "PATH": f"{programs}{os.pathsep}{source.get('PATH', os.defpath)}",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def hub_environment(plan: HubPlan, secrets: Secrets) -> dict[str, str]:
    """The environment of the hub's process."""
    # Who tries a short limit need not wait for as long as a busy hub may be out of sight.
    pace = {} if plan.paces_of_aws else {VARIABLE: json.dumps(_PACE)}
    return {
        **clean_environment(os.environ),
        "CLOUDJHUB_CONFIG": str(plan.folder / "server_config.json"),
        "CLOUDJHUB_HUB_IP": plan.hub_address,
        "CONFIGPROXY_AUTH_TOKEN": secrets.proxy_token,
        **pace,
    }


def hub_command() -> list[str]:
    """Runs the repository's own jupyterhub_config.py, unchanged."""
    return [sys.executable, "-m", "jupyterhub", "-f", str(CHECKOUT / "jupyterhub_config.py")]


def proxy_command(plan: HubPlan) -> list[str]:
    """The proxy, run apart from the hub, so that the hub's end disturbs nobody's notebook."""
    address = ["--ip", "127.0.0.1", "--port", str(plan.public_port)]
    api = ["--api-ip", "127.0.0.1", "--api-port", str(plan.proxy_api_port)]
    targets = ["--default-target", plan.hub_url, "--error-target", f"{plan.hub_url}/hub/error"]
    return ["configurable-http-proxy", *address, *api, *targets, "--log-level", "warn"]


def hub_config(plan: HubPlan, secrets: Secrets) -> str:
    """The text of jupyterhub_config.d/demo.py."""
    folder = plan.folder.path
    service = {"name": "demo", "api_token": secrets.api_token}
    role = {"name": "demo", "services": ["demo"], "scopes": _SCOPES}
    settings: dict[str, Any] = {
        "JupyterHub.bind_url": plan.url,
        "JupyterHub.hub_port": plan.hub_port,
        "JupyterHub.db_url": f"sqlite:///{folder}/jupyterhub.sqlite",
        "JupyterHub.cookie_secret_file": f"{folder}/jupyterhub_cookie_secret",
        "ConfigurableHTTPProxy.should_start": False,
        "ConfigurableHTTPProxy.api_url": f"http://127.0.0.1:{plan.proxy_api_port}",
        "JupyterHub.authenticator_class": "shared-password",
        "SharedPasswordAuthenticator.user_password": secrets.user_password,
        "SharedPasswordAuthenticator.admin_password": secrets.admin_password,
        "Authenticator.admin_users": {ADMIN},
        "Authenticator.allowed_users": set(plan.users) | {ADMIN},
        "JupyterHub.allow_named_servers": True,
        "JupyterHub.named_server_limit_per_user": 2,
    }
    if not plan.paces_of_aws:
        # A local EC2 may be asked often; what is done behind the hub's back shows in seconds.
        settings["InstanceSpawner.poll_interval"] = 3
        settings["InstanceSpawner.quiet_interval_seconds"] = 2.0
    lines = [f"c.{name} = {value!r}" for name, value in settings.items()]
    lines += [f"c.JupyterHub.services.append({service!r})"]
    lines += [f"c.JupyterHub.load_roles.append({role!r})"]
    head = '"""Written by the demo at each start; changes here are lost."""'
    return "\n".join([head, "", "c = get_config()", *lines, ""])
