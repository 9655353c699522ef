"""Whether the key pair exists and the private key file is its other half."""

import stat
from pathlib import Path

from cloudjhub.account import keys
from cloudjhub.deploy import key_file
from cloudjhub.deploy.checks.world import World
from cloudjhub.deploy.findings import Finding

_READABLE_BY_OTHERS = 0o077


def check(world: World) -> list[Finding]:
    settings = world.settings
    if not settings.key_name:
        remedy = "Make a key pair in the EC2 console of this region and name it in secure.py."
        return [Finding("is not set.", "KEY_NAME", remedy), *_file(world)]
    if (pair := keys.named(world.clients.ec2, settings.key_name)) is None:
        what = f"there is no such key pair in {settings.region}."
        remedy = "Key pairs belong to one region: make or import it there."
        return [Finding(what, f"KEY_NAME {settings.key_name}", remedy), *_file(world)]
    findings = _file(world)
    if any(finding.level == "error" for finding in findings):
        return findings
    return findings + _other_half(world, pair)


def _file(world: World) -> list[Finding]:
    """The file itself, without comparing it."""
    if not world.settings.key_path:
        remedy = "Name the file with the private half of KEY_NAME in secure.py."
        return [Finding("is not set.", "KEY_PATH", remedy)]
    path = Path(world.settings.key_path).expanduser()
    where = f"KEY_PATH {path}"
    if not path.is_file():
        return [Finding("there is no such file.", where, "Correct the path.")]
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & _READABLE_BY_OTHERS and not world.settings.ignore_permissions:
        remedy = f"Run: chmod 600 {path} (or say --ignore_permissions true)."
        return [Finding(f"its mode is {mode:04o}; others may read it.", where, remedy)]
    try:
        key_file.read(path)
    except ValueError as error:
        return [Finding(f"{error}.", where, "Name the private key file of KEY_NAME.")]
    return []


def _other_half(world: World, pair: keys.KeyPair) -> list[Finding]:
    path = Path(world.settings.key_path).expanduser()
    if key_file.belongs_to(key_file.read(path), pair.public_key, pair.fingerprint):
        return []
    what = f"is not the private half of {pair.name}."
    remedy = "Name the file that was saved when the key pair was made, or another KEY_NAME."
    return [Finding(what, f"KEY_PATH {path}", remedy)]
