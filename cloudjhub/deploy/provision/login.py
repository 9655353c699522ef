"""Who may log in, as the hub's configuration says it."""

import secrets
from dataclasses import dataclass, field
from typing import Any

USERLIST_PATH = "/etc/jupyterhub/userlist"
ONE_TIME_PATH = "/var/lib/jupyterhub/one_time_passwords.json"
SIGNUP_WORD_PATH = "/etc/jupyterhub/signup_word"
#: asked for in the place of a word: listed names are taken by who comes first
NO_WORD = "none"
# No letters and digits that look alike; whoever guesses has one guess for each listed name.
_SIGNS = "abcdefghjkmnpqrstuvwxyz23456789"


@dataclass(frozen=True)
class NativeLogin:
    """Accounts of this hub: listed people sign up with a word, others wait for an admin.

    ``signup_word``: "" for the one that the hub has, or a new one; NO_WORD for none.
    """

    signup_word: str = field(default="", repr=False)


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
    native = _NATIVE if isinstance(login, NativeLogin) else ()
    return "\n".join([*_HEAD, *native, *lines, ""])


def new_word() -> str:
    """A word for the class, short enough for a blackboard."""
    signs = "".join(secrets.choice(_SIGNS) for _ in range(8))
    return f"{signs[:4]}-{signs[4:]}"


_NATIVE = (
    "from cloudjhub import logins",
    "",
    "c.JupyterHub.template_paths = [logins.TEMPLATES]",
    f'with open("{SIGNUP_WORD_PATH}", encoding="utf-8") as file:',
    "    c.ListedAuthenticator.signup_code = file.read().strip()",
)
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
