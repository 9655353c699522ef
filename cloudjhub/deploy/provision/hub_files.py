"""The files of a manager, as text: units, Caddy's configuration, the hub's. Nothing is sent."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from string import Template
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit, urlunsplit

from cloudjhub.deploy.provision.https import Https, caddyfile, public_url
from cloudjhub.deploy.provision.login import SIGNUP_WORD_PATH, Login, login_config
from cloudjhub.deploy.provision.shell import read_file
from cloudjhub.errors import ConfigError

HUB_PORT = 8081
WORKER_KEY_FILE = "/var/lib/jupyterhub/worker_key"
SERVER_CONFIG_PATH = "/etc/jupyterhub/server_config.json"
CONFIG_PATH = "/etc/jupyterhub/jupyterhub_config.py"
#: as a launch or an upgrade wrote it: where the two are the same, nobody has changed it
CONFIG_WRITTEN_PATH = "/opt/cloudjhub/jupyterhub_config-written.py"
CONFIG_FOLDER = "/etc/jupyterhub/jupyterhub_config.d"
PGPASS_PATH = "/etc/jupyterhub/pgpass"
ONE_TIME_PROGRAM = "/usr/local/sbin/cloudjhub-one-time-password"
SQLITE_URL = "sqlite:////var/lib/jupyterhub/jupyterhub.sqlite"

# Which services a changed file concerns.
HUB, PROXY, CADDY = "hub", "proxy", "caddy"


@dataclass(frozen=True)
class MachineFile:
    """A file of the manager. ``secret``: only the hub's account (and root) may read it."""

    path: str
    text: str
    concerns: str = ""
    secret: bool = False
    program: bool = False

    @property
    def mode(self) -> str:
        """Its mode on the manager."""
        return "0600" if self.secret else "0755" if self.program else "0644"

    @property
    def owner(self) -> str:
        """Its owner on the manager."""
        return "jupyterhub:jupyterhub" if self.secret else "root:root"


@dataclass(frozen=True)
class Database:
    """Where the hub keeps its users: a URL without password, and libpq's password file."""

    url: str
    pgpass: str = ""


#: what libpq takes for a secret: https://www.postgresql.org/docs/current/libpq-connect.html
_PASSWORDS = frozenset({"password", "sslpassword"})


def database_of(db_url: str) -> Database:
    """The database of ``--db_url``; SQLite for "". ConfigError for anything but PostgreSQL.

    The password goes to a file that libpq reads, since JupyterHub logs the URL of a database that
    it cannot reach.
    """
    if not db_url:
        return Database(SQLITE_URL)
    parts = urlsplit(db_url)
    if parts.scheme not in ("postgresql", "postgresql+psycopg") or not parts.hostname:
        raise ConfigError(["DB_URL: must be postgresql://USER:PASSWORD@HOST:PORT/NAME."])
    try:
        port = parts.port or 5432
    except ValueError:
        raise ConfigError(["DB_URL: the port is not a number."]) from None
    user, name = unquote(parts.username or ""), unquote(parts.path.lstrip("/"))
    if not user or not name:
        raise ConfigError(["DB_URL: must name a user and a database."])
    if _PASSWORDS & parse_qs(parts.query, keep_blank_values=True).keys():
        raise ConfigError(["DB_URL: a password stands before the @, not behind the question mark."])
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    login = parts.netloc.rpartition("@")[0].partition(":")[0]
    # The driver by name: SQLAlchemy's default differs between its minor versions.
    url = urlunsplit(parts._replace(scheme="postgresql+psycopg", netloc=f"{login}@{host}:{port}"))
    if parts.password is None:
        return Database(url)
    words = (parts.hostname, str(port), name, user, unquote(parts.password))
    return Database(url, ":".join(map(_escaped, words)) + "\n")


def _escaped(word: str) -> str:
    """As a password file wants it (https://www.postgresql.org/docs/current/libpq-pgpass.html)."""
    return word.replace("\\", "\\\\").replace(":", "\\:")


@dataclass(frozen=True, kw_only=True)
class HubPlan:
    """What the files say; see ManagerPlan."""

    server_config: Mapping[str, Any]
    private_address: str
    public_address: str
    https: Https
    login: Login
    database: Database
    userlist: str
    jupyterhub_config: str
    signup_word: str = field(default="", repr=False)


def manager_files(plan: HubPlan) -> list[MachineFile]:
    """Every file but the operator's own, the certificate and what is made on the manager."""
    url = public_url(plan.https, plan.public_address)
    server_config = {**plan.server_config, "WORKER_KEY_FILE": WORKER_KEY_FILE}
    folder = CONFIG_FOLDER
    return [
        # Read again by the hub whenever it changes: no reason to restart it.
        MachineFile(SERVER_CONFIG_PATH, json.dumps(server_config, indent=2) + "\n", secret=True),
        MachineFile(CONFIG_PATH, plan.jupyterhub_config, HUB),
        MachineFile(CONFIG_WRITTEN_PATH, plan.jupyterhub_config),
        MachineFile("/etc/jupyterhub/userlist", plan.userlist, HUB, secret=True),
        MachineFile(SIGNUP_WORD_PATH, f"{plan.signup_word}\n", HUB, secret=True),
        MachineFile(PGPASS_PATH, plan.database.pgpass, HUB, secret=True),
        MachineFile(f"{folder}/10-manager.py", manager_config(plan, url), HUB, secret=True),
        MachineFile(f"{folder}/20-login.py", login_config(plan.login, url), HUB, secret=True),
        *_units(plan),
        MachineFile("/etc/caddy/Caddyfile", caddyfile(plan.https, plan.public_address), CADDY),
    ]


def _units(plan: HubPlan) -> list[MachineFile]:
    units = "/etc/systemd/system"
    return [
        MachineFile(f"{units}/jupyterhub.service", _unit("jupyterhub.service", plan), HUB),
        MachineFile(
            f"{units}/jupyterhub-proxy.service", _unit("jupyterhub-proxy.service", plan), PROXY
        ),
        MachineFile(f"{units}/caddy.service.d/cloudjhub.conf", read_file("caddy.conf"), CADDY),
        MachineFile(f"{units}/cloudjhub-metadata.service", read_file("cloudjhub-metadata.service")),
        MachineFile(ONE_TIME_PROGRAM, read_file("cloudjhub-one-time-password"), program=True),
        MachineFile("/etc/jupyterhub/metadata.nft", read_file("metadata.nft")),
    ]


def _unit(name: str, plan: HubPlan) -> str:
    return Template(read_file(name)).substitute(hub_address=plan.private_address)


def manager_config(plan: HubPlan, url: str) -> str:
    """The text of jupyterhub_config.d/10-manager.py."""
    settings: dict[str, Any] = {
        "JupyterHub.public_url": url,
        "JupyterHub.bind_url": "http://127.0.0.1:8000",
        "JupyterHub.hub_port": HUB_PORT,
        "JupyterHub.db_url": plan.database.url,
        # After an upgrade of JupyterHub; a copy of an SQLite database is kept beside it.
        "JupyterHub.upgrade_db": True,
        "JupyterHub.cookie_secret_file": "/var/lib/jupyterhub/jupyterhub_cookie_secret",
        "ConfigurableHTTPProxy.should_start": False,
        "ConfigurableHTTPProxy.api_url": "http://127.0.0.1:8001",
    }
    lines = [f"c.{name} = {value!r}" for name, value in settings.items()]
    head = '"""This manager. Written by the launch; put your own settings into another file."""'
    return "\n".join([head, "", "c = get_config()", "", *lines, ""])


#: jupyterhub_config.d/30-idle.py beside a jupyterhub_config.py of somebody's own, which lacks this
OWN_IDLE_CONFIG = '''"""Machines of idle users are stopped. Written by the upgrade.

jupyterhub_config.py is your own, so what that of this version says of idle machines stands here.
"""

from cloudjhub.culler import service as culler
from cloudjhub.hub_api import HANDLERS

c = get_config()

c.JupyterHub.extra_handlers = HANDLERS
c.JupyterHub.proxy_class = "cloudjhub.hub_proxy.WorkOnlyProxy"
culler.add_to(c.JupyterHub)
'''
