"""Another way for browsers to a hub that runs: Caddy's part, and the address the hub goes by."""

import ast
import re

from cloudjhub.deploy.provision.https import Https, caddyfile, public_name, public_url, way_of
from cloudjhub.deploy.provision.hub_files import CONFIG_FOLDER
from cloudjhub.deploy.provision.manager import put_certificate
from cloudjhub.deploy.provision.shell import ProvisionError, Say, Shell, nobody
from cloudjhub.remote import Session

_CADDYFILE = "/etc/caddy/Caddyfile"
_HUB = "jupyterhub:jupyterhub"
_URL = re.compile(r"^(c\.JupyterHub\.public_url = )(.*)$", re.MULTILINE)
_CALLBACK = re.compile(r"^(c\.GitHubOAuthenticator\.oauth_callback_url = )(.*)$", re.MULTILINE)


def url_now(session: Session) -> str:
    """The address that the hub goes by; "" where its launch did not say one."""
    found = _URL.search(Shell(session, nobody).get(f"{CONFIG_FOLDER}/10-manager.py") or "")
    return ast.literal_eval(found[2]) if found else ""


def change_https(
    session: Session, https: Https, addresses: tuple[str, str], say: Say = nobody
) -> str:
    """Take it into use; gives the fingerprint of a certificate that nobody vouches for, or "".

    ``addresses``: the manager's public and private one. The hub restarts if its address changed;
    servers run on. What does not answer is taken back: ProvisionError then.
    """
    shell, (public, private) = Shell(session, say), addresses
    shell.script("change_https", "keep")
    _, fingerprint = put_certificate(shell, https, addresses, replace=True)
    shell.put(_CADDYFILE, caddyfile(https, public))
    hub = private if _change_urls(shell, public_url(https, public)) else ""
    try:
        shell.script("change_https", "use", public_name(https, public), way_of(https), hub)
    except ProvisionError as error:
        if "in force again" in error.log_tail:
            error.remedy = "The hub is reached as before. Correct what is named, then try again."
        raise
    return fingerprint


def is_github(session: Session) -> bool:
    """Whether people log in by GitHub, which has to be told of another address."""
    text = Shell(session, nobody).get(f"{CONFIG_FOLDER}/20-login.py") or ""
    return _CALLBACK.search(text) is not None


def _change_urls(shell: Shell, url: str) -> bool:
    """Write the address where the launch wrote the former one; whether that changed a file."""
    changed = False
    for name, pattern, value in (
        ("10-manager.py", _URL, url),
        ("20-login.py", _CALLBACK, f"{url}hub/oauth_callback"),
    ):
        path = f"{CONFIG_FOLDER}/{name}"
        text = shell.get(path) or ""
        new = pattern.sub(lambda found, value=value: f"{found[1]}{value!r}", text)
        if new != text:
            changed = shell.put(path, new, mode="0600", owner=_HUB) or changed
    return changed
