"""Who may log in, as the hub's configuration says it."""

from dataclasses import dataclass, field
from typing import Any

USERLIST_PATH = "/etc/jupyterhub/userlist"
ONE_TIME_PATH = "/var/lib/jupyterhub/one_time_passwords.json"


@dataclass(frozen=True)
class NativeLogin:
    """Accounts of this hub: listed people sign up, others wait for an admin."""


@dataclass(frozen=True)
class GitHubLogin:
    """GitHub says who somebody is; the userlist and the organization say who may in."""

    client_id: str
    client_secret: str = field(repr=False)
    organization: str = ""


@dataclass(frozen=True)
class OwnLogin:
    """An authenticator that the operator configures in jupyterhub_config.d."""


Login = NativeLogin | GitHubLogin | OwnLogin


def login_config(login: Login, url: str) -> str:
    """The text of jupyterhub_config.d/20-login.py; "" where that is the operator's own."""
    if isinstance(login, OwnLogin):
        return ""
    settings = _native() if isinstance(login, NativeLogin) else _github(login, url)
    lines = [f"c.{name} = {value!r}" for name, value in settings.items()]
    pages = _PAGES if isinstance(login, NativeLogin) else ()
    return "\n".join([*_HEAD, *pages, *lines, ""])


_PAGES = ("from cloudjhub import logins", "", "c.JupyterHub.template_paths = [logins.TEMPLATES]")
# Listed, bulk-added in the admin page, or let in before: JupyterHub's database keeps the last two.
_HEAD = (
    '"""Who may log in. Written by the launch; put your own settings into another file."""',
    "",
    "from cloudjhub import userlist",
    "",
    "c = get_config()",
    "",
    "# Read at each start of the hub.",
    f'everybody, admins = userlist.names("{USERLIST_PATH}")',
    "c.Authenticator.allowed_users = everybody",
    "c.Authenticator.admin_users = admins",
    "c.Authenticator.allow_existing_users = True",
)


def _native() -> dict[str, Any]:
    return {
        "JupyterHub.authenticator_class": "cloudjhub-listed",
        "ListedAuthenticator.one_time_file": ONE_TIME_PATH,
    }


def _github(login: GitHubLogin, url: str) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "JupyterHub.authenticator_class": "github",
        "GitHubOAuthenticator.client_id": login.client_id,
        "GitHubOAuthenticator.client_secret": login.client_secret,
        "GitHubOAuthenticator.oauth_callback_url": callback_url(url),
    }
    if login.organization:
        settings["GitHubOAuthenticator.allowed_organizations"] = {login.organization}
        # Memberships that are not public are seen with this scope only.
        settings["GitHubOAuthenticator.scope"] = ["read:org"]
    return settings


def callback_url(url: str) -> str:
    """What the OAuth app at GitHub is told."""
    return f"{url}hub/oauth_callback"
