"""How this computer reaches package registries, so that its machines can as well.

Everything is read from the host when a machine boots. Where the host has no such setting, its
machines get none.
"""

import configparser
import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote, urlsplit

CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
CA_FOLDER = Path("/usr/local/share/ca-certificates")
_APT_KEYS = re.compile(
    r"Acquire::((http|https)::(?!User-Agent|Dl-Limit)\S+|Check-Valid-Until|Check-Date|Retries) "
)
_PIP_FILES = ("/etc/pip.conf", "~/.pip/pip.conf", "~/.config/pip/pip.conf")
_PIP_KEYS = (
    "cert",
    "index-url",
    "extra-index-url",
    "find-links",
    "trusted-host",
    "proxy",
    "timeout",
)
_NPM_FILES = ("/etc/npmrc", "/usr/etc/npmrc", "/usr/local/etc/npmrc", "~/.npmrc")
_NPM_KEYS = ("registry", "cafile", "proxy", "https-proxy", "strict-ssl")


def write(root: Path) -> None:
    """Writes the settings into a machine's root, or into a folder that is copied over it."""
    _copy_authorities(root)
    texts = {
        "etc/pip.conf": _ini("global", pip_settings()),
        "etc/npmrc": "".join(f"{name}={value}\n" for name, value in npm_settings().items()),
        "etc/apt/apt.conf.d/90local-ec2": "".join(f"{line}\n" for line in apt_lines()),
    }
    for name, text in texts.items():
        if text:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)


def folders() -> list[Path]:
    """Folders of this computer that pip reads packages from; machines see them read-only."""
    found: dict[Path, None] = {}
    settings = pip_settings()
    for word in f"{settings.get('index-url', '')} {settings.get('extra-index-url', '')}".split():
        if word.startswith("file:"):
            index = Path(unquote(urlsplit(word).path))
            # Its pages point to files beside it; the whole of a top folder is nobody's index.
            found[index.parent if len(index.parts) > 3 else index] = None
    for word in settings.get("find-links", "").split():
        if "://" not in word or word.startswith("file:"):
            found[Path(unquote(urlsplit(word).path))] = None
    return [path for path in found if path.is_absolute() and path.is_dir()]


def apt_lines() -> list[str]:
    """apt's settings of mirrors and proxies, as apt.conf has them."""
    if shutil.which("apt-config") is None:
        return []
    done = subprocess.run(
        ["apt-config", "dump", "Acquire"], capture_output=True, text=True, check=False
    )
    lines = [line for line in done.stdout.splitlines() if _APT_KEYS.match(line)]
    return [line for line in lines if not line.endswith(' "";')]


def pip_settings() -> dict[str, str]:
    """pip's settings of this computer and account; the environment's come last, as for pip."""
    found: dict[str, str] = {}
    files = [*_PIP_FILES, os.environ.get("PIP_CONFIG_FILE", "")]
    for name in filter(None, files):
        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read(os.path.expanduser(name))
        except configparser.Error:
            continue
        if parser.has_section("global"):
            found |= dict(parser.items("global"))
    for key in _PIP_KEYS:
        if value := os.environ.get(f"PIP_{key.upper().replace('-', '_')}"):
            found[key] = value
    return _with_authority({key: found[key] for key in _PIP_KEYS if key in found}, "cert")


def npm_settings() -> dict[str, str]:
    """npm's settings of this computer and account."""
    found: dict[str, str] = {}
    for name in _NPM_FILES:
        for line in _read(os.path.expanduser(name)).splitlines():
            key, _, value = (part.strip() for part in line.partition("="))
            if key in _NPM_KEYS and value:
                found[key] = value
    if os.environ.get("NODE_EXTRA_CA_CERTS"):
        found.setdefault("cafile", str(CA_BUNDLE))
    return _with_authority(found, "cafile")


def _with_authority(settings: dict[str, str], key: str) -> dict[str, str]:
    """A certificate file of the host is, in a machine, the bundle it was copied to."""
    if key in settings:
        settings[key] = str(CA_BUNDLE)
    return settings


def _copy_authorities(root: Path) -> None:
    own = sorted(CA_FOLDER.glob("*.crt")) if CA_FOLDER.is_dir() else []
    if not own or not CA_BUNDLE.is_file():
        return
    for source in (*own, CA_BUNDLE):
        target = root / source.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def _ini(section: str, settings: dict[str, str]) -> str:
    lines: Iterable[str] = (
        f"{name} = {' '.join(value.split())}\n" for name, value in settings.items()
    )
    return f"[{section}]\n{''.join(lines)}" if settings else ""


def _read(name: str) -> str:
    try:
        return Path(name).read_text(errors="replace")
    except OSError:
        return ""
