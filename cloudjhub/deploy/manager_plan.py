"""What the manager is set up with, from the settings and the files they name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cloudjhub import userlist
from cloudjhub.deploy.provision.https import Acme, CertificateFiles, Https, PlainHttp, SelfSigned
from cloudjhub.deploy.provision.login import GitHubLogin, Login, NativeLogin, OwnLogin
from cloudjhub.deploy.provision.manager import ManagerPlan
from cloudjhub.deploy.settings import Reach, Settings
from cloudjhub.errors import ConfigError

#: where nobody is listed, somebody must still be able to let others in
ONLY_ADMIN = "admin admin"


def plan(
    settings: Settings,
    server_config: Mapping[str, Any],
    *,
    private_address: str,
    public_address: str,
) -> ManagerPlan:
    """Raises OSError or ConfigError for files that the checks refuse too."""
    return ManagerPlan(
        server_config=server_config,
        private_address=private_address,
        public_address=public_address,
        userlist=users_of(settings),
        https=https_of(settings),
        login=login_of(settings),
        db_url=settings.db_url,
        extra_config=_extra_config(settings),
    )


def https_of(settings: Reach) -> Https:
    """How browsers reach the hub."""
    if settings.plain_http:
        return PlainHttp()
    if settings.certificate_file:
        return CertificateFiles(
            content_of(settings.certificate_file),
            content_of(settings.certificate_key_file),
            settings.domain,
        )
    if settings.domain:
        return Acme(settings.domain, settings.email)
    return SelfSigned()


def login_of(settings: Settings) -> Login:
    """Who says who somebody is."""
    if settings.authenticator == "github":
        return GitHubLogin(
            settings.github_client_id,
            settings.github_client_secret,
            settings.github_organization,
        )
    native = settings.authenticator == "native"
    return NativeLogin(settings.signup_word) if native else OwnLogin()


def users_of(settings: Settings) -> tuple[userlist.Listed, ...]:
    """Who is listed. Raises ConfigError with a finding for each line that cannot be read."""
    path = settings.userlist
    text = content_of(path).decode("utf-8-sig", "replace") if path else _default_list(settings)
    people, findings = userlist.parse(text, path)
    if findings:
        raise ConfigError(list(findings))
    return people


def _default_list(settings: Settings) -> str:
    return ONLY_ADMIN if settings.authenticator == "native" else ""


def content_of(path: str) -> bytes:
    """A file that a setting names; ``~`` is the operator's home."""
    return Path(path).expanduser().read_bytes()


def _extra_config(settings: Settings) -> tuple[tuple[str, bytes], ...]:
    if not settings.hub_config:
        return ()
    # Read in order of names: after everything that the launch writes.
    return (("99-own.py", content_of(settings.hub_config)),)
