"""Whether the files that are named can be used, and what is said of HTTPS and login fits."""

import re
from datetime import datetime, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from cloudjhub.deploy.checks.world import World
from cloudjhub.deploy.findings import Finding, note

_PUBLIC = (
    serialization.Encoding.DER,
    serialization.PublicFormat.SubjectPublicKeyInfo,
)
_SOON_DAYS = 14
_DATABASE = re.compile(r"^postgresql(\+psycopg2?)?://[^@/\s]+@[^/\s]+/\S+$")


def check(world: World) -> list[Finding]:
    return [
        *_https(world),
        *_certificate(world),
        *_login(world),
        *_readable(world, "WORKER_REQUIREMENTS", world.settings.worker_requirements),
        *_readable(world, "HUB_CONFIG", world.settings.hub_config),
        *_userlist(world),
        *_database(world),
    ]


def _https(world: World) -> list[Finding]:
    """At most one way to HTTPS is named, and whole."""
    settings = world.settings
    files = bool(settings.certificate_file or settings.certificate_key_file)
    ways = {"CERTIFICATE_FILE": files, "PLAIN_HTTP": settings.plain_http}
    named = [key for key, wanted in ways.items() if wanted]
    if len(named) > 1:
        remedy = "Name certificate files, or ask for plain HTTP, not both."
        return [Finding("contradict each other.", " and ".join(named), remedy)]
    if settings.plain_http:
        what = "passwords and files will cross the network readable by others."
        return [note(what, "PLAIN_HTTP", "For trials only.")]
    if files:
        return []
    if settings.domain:
        return _encrypt(settings.email)
    what = "neither a certificate nor a domain is named: the hub gets a self-signed certificate."
    remedy = "Browsers will warn. Say --domain and --email, or name certificate files."
    return [note(what, "HTTPS", remedy)]


def _encrypt(email: str) -> list[Finding]:
    if email:
        return []
    what = "is not set; Let's Encrypt cannot warn anyone before a certificate runs out."
    return [note(what, "EMAIL", "Say --email.")]


def _certificate(world: World) -> list[Finding]:
    settings = world.settings
    pair = {
        "CERTIFICATE_FILE": settings.certificate_file,
        "CERTIFICATE_KEY_FILE": settings.certificate_key_file,
    }
    if not any(pair.values()):
        return []
    missing = [key for key, path in pair.items() if not path]
    if missing:
        return [Finding("is not set.", missing[0], "Certificate and key go together.")]
    unreadable = [found for key, path in pair.items() for found in _readable(world, key, path)]
    return unreadable or _pair_fits(settings.certificate_file, settings.certificate_key_file)


def _pair_fits(certificate_file: str, key_file: str) -> list[Finding]:
    where = f"CERTIFICATE_FILE {certificate_file}"
    try:
        chain = x509.load_pem_x509_certificates(_bytes(certificate_file))
    except ValueError:
        remedy = "Name a PEM file: the certificate first, then its chain."
        return [Finding("holds no certificate.", where, remedy)]
    try:
        key = serialization.load_pem_private_key(_bytes(key_file), password=None)
    except (ValueError, TypeError):
        remedy = "Name its private key, PEM, without a passphrase."
        where_key = f"CERTIFICATE_KEY_FILE {key_file}"
        return [Finding("holds no usable private key.", where_key, remedy)]
    if key.public_key().public_bytes(*_PUBLIC) != chain[0].public_key().public_bytes(*_PUBLIC):
        remedy = "Name the key that the certificate was made for; the certificate comes first."
        return [Finding("does not belong to CERTIFICATE_KEY_FILE.", where, remedy)]
    return _validity(chain[0], where)


def _validity(certificate: x509.Certificate, where: str) -> list[Finding]:
    now = datetime.now(timezone.utc)
    ends = certificate.not_valid_after_utc
    if now > ends:
        return [Finding(f"expired on {ends:%Y-%m-%d}.", where, "Get a new one.")]
    if now < certificate.not_valid_before_utc:
        what = f"is not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC."
        return [Finding(what, where, "Check this computer's clock.")]
    if (ends - now).days < _SOON_DAYS:
        return [note(f"expires on {ends:%Y-%m-%d}.", where, "Renew it soon.")]
    return []


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
    path = world.settings.userlist
    if not path:
        if world.settings.authenticator == "own":
            return []
        if world.settings.authenticator == "native":
            what = "is not set: the launch makes one admin, called admin."
            return [note(what, "USERLIST", "Or name a file with lines such as: ada admin")]
        remedy = 'Name a file with your own login in it: "name admin".'
        return [Finding("is not set: nobody could be an admin.", "USERLIST", remedy)]
    if findings := _readable(world, "USERLIST", path):
        return findings
    lines = _bytes(path).decode("utf-8", "replace").splitlines()
    entries = [(number, line.split()) for number, line in enumerate(lines, 1) if _counts(line)]
    findings = [
        Finding(f'line {number}: {" ".join(words)!r} is not "name" or "name admin".', path, "")
        for number, words in entries
        if len(words) > 2 or (len(words) == 2 and words[1] != "admin")
    ]
    if not findings and not any(len(words) == 2 for _, words in entries):
        remedy = "Add the word admin after one name, so that somebody can let others in."
        findings.append(Finding("names no admin.", f"USERLIST {path}", remedy))
    return findings


def _counts(line: str) -> bool:
    return bool(line.strip()) and not line.strip().startswith("#")


def _database(world: World) -> list[Finding]:
    if not world.settings.db_url or _DATABASE.match(world.settings.db_url):
        return []
    remedy = "Write postgresql://USER:PASSWORD@HOST/DATABASE, or leave it empty for SQLite."
    return [Finding("is not the address of a PostgreSQL database.", "DB_URL", remedy)]


def _readable(world: World, key: str, path: str) -> list[Finding]:
    if not path:
        return []
    try:
        _bytes(path)
    except OSError as error:
        return [Finding(f"cannot be read: {error.strerror}.", f"{key} {path}", "Correct it.")]
    return []


def _bytes(path: str) -> bytes:
    return Path(path).expanduser().read_bytes()
