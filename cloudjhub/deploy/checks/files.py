"""Whether the files that are named can be used, and what is said of HTTPS and login fits."""

import re

from cloudjhub.deploy.checks.world import World
from cloudjhub.deploy.findings import Finding, note
from cloudjhub.deploy.manager_plan import content_of, https_of, users_of
from cloudjhub.deploy.provision.https import check_https
from cloudjhub.deploy.provision.hub_files import database_of
from cloudjhub.deploy.settings import Reach
from cloudjhub.errors import ConfigError

# What a line of a requirements file may begin with before it names something.
_OPTION = re.compile(
    r"(?:(-r|-c|-f|--requirement|--constraint|--find-links|-e|--editable)[\s=]*)?(.*)"
)
_OWN_FILE = re.compile(r"(\.{1,2}/|/|~|file:|\.$)|.*@\s*file:|[^:]*\.(whl|zip|tar\.gz)\b", re.I)


def check(world: World) -> list[Finding]:
    return [
        *https_findings(world.settings),
        *_login(world),
        *_requirements(world.settings.worker_requirements),
        *_text("HUB_CONFIG", world.settings.hub_config),
        *_userlist(world),
        *_database(world),
    ]


def https_findings(settings: Reach) -> list[Finding]:
    """One way to HTTPS is named, and whole; and its certificate is good."""
    files = {
        "CERTIFICATE_FILE": settings.certificate_file,
        "CERTIFICATE_KEY_FILE": settings.certificate_key_file,
    }
    if settings.plain_http and any(files.values()):
        remedy = "Name certificate files, or ask for plain HTTP, not both."
        return [Finding("contradict each other.", "CERTIFICATE_FILE and PLAIN_HTTP", remedy)]
    if any(files.values()) and not all(files.values()):
        missing = next(key for key, path in files.items() if not path)
        return [Finding("is not set.", missing, "Certificate and key go together.")]
    if unreadable := [each for item in files.items() for each in _readable(*item)]:
        return unreadable
    if settings.domain and not settings.certificate_file and not settings.plain_http:
        found = [] if settings.email else [_no_email()]
        return [*found, *check_https(https_of(settings))]
    return check_https(https_of(settings))


def _no_email() -> Finding:
    what = "is not set, but Let's Encrypt needs somebody to write to before a certificate ends."
    return Finding(what, "EMAIL", "Say --email.")


def _login(world: World) -> list[Finding]:
    settings = world.settings
    if settings.authenticator == "own" and not settings.hub_config:
        remedy = "Name the file that configures your authenticator."
        return [Finding("is not set, but AUTHENTICATOR is own.", "HUB_CONFIG", remedy)]
    if settings.authenticator != "github":
        return []
    wanted = {
        "GITHUB_CLIENT_ID": settings.github_client_id,
        "GITHUB_CLIENT_SECRET": settings.github_client_secret,
    }
    remedy = "Copy it from the OAuth app on GitHub (Settings, Developer settings)."
    what = "is not set, but AUTHENTICATOR is github."
    findings = [Finding(what, key, remedy) for key, value in wanted.items() if not value]
    if not settings.domain:
        what = "GitHub needs the hub's address, which is only known after the launch."
        remedy = "Then enter https://ADDRESS/hub/oauth_callback in the OAuth app, or use --domain."
        findings.append(note(what, "DOMAIN", remedy))
    return findings


def _userlist(world: World) -> list[Finding]:
    settings = world.settings
    if settings.userlist and (findings := _readable("USERLIST", settings.userlist)):
        return findings
    try:
        users = users_of(settings)
    except ConfigError as error:
        return [Finding(each, "USERLIST", "") for each in error.findings]
    where = f"USERLIST {settings.userlist}".strip()
    if not settings.userlist and settings.authenticator == "native":
        what = "is not set: the launch makes one admin, called admin."
        return [note(what, where, "Or name a file with lines such as: ada admin")]
    if settings.authenticator != "own" and not any(user.admin for user in users):
        remedy = "Add the word admin after one name, so that somebody can let others in."
        return [Finding("names no admin.", where, remedy)]
    return []


def _database(world: World) -> list[Finding]:
    try:
        database_of(world.settings.db_url)
    except ConfigError as error:
        remedy = "Or leave it empty for SQLite on the manager."
        return [Finding(each.removeprefix("DB_URL: "), "DB_URL", remedy) for each in error.findings]
    return []


def _requirements(path: str) -> list[Finding]:
    """Only what the builder can reach can be installed: it has no file of this computer."""
    if findings := _text("WORKER_REQUIREMENTS", path):
        return findings
    if not path:
        return []
    return [
        Finding(
            f"names a file of this computer, which the builder does not have: {line.strip()}.",
            f"WORKER_REQUIREMENTS {path} line {number}",
            "Write the packages themselves, or an address that begins with https://.",
        )
        for number, line in enumerate(content_of(path).decode("utf-8-sig").splitlines(), 1)
        if _names_own_file(line.strip())
    ]


def _names_own_file(line: str) -> bool:
    said = line.partition(" #")[0].strip()
    option, rest = _OPTION.match(said).groups()  # type: ignore[union-attr]
    if said.startswith("#"):
        return False
    if option not in (None, "-e", "--editable"):
        return not rest.startswith(("http://", "https://"))
    return bool(_OWN_FILE.match(rest))


def _text(key: str, path: str) -> list[Finding]:
    if findings := _readable(key, path):
        return findings
    try:
        text = content_of(path) if path else b""
        text.decode("utf-8")
    except UnicodeDecodeError as error:
        what = f"is not text in UTF-8, from byte {error.start} on."
        return [Finding(what, f"{key} {path}", "Save it as UTF-8.")]
    return []


def _readable(key: str, path: str) -> list[Finding]:
    if not path:
        return []
    try:
        content_of(path)
    except OSError as error:
        return [Finding(f"cannot be read: {error.strerror}.", f"{key} {path}", "Correct it.")]
    return []
