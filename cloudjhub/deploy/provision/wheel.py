"""This checkout as a wheel, built where the launch runs."""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from cloudjhub.deploy.provision.shell import ProvisionError

CHECKOUT = Path(__file__).resolve().parents[3]
# What the build reads; a copy of it is built, so that nothing is left in the checkout and nothing
# that was removed from it lives on in build/.
_SOURCES = ("pyproject.toml", "setup.py", "README.md", "LICENSE", "cloudjhub")
_SETUPTOOLS = (77,)
BUILD_SECONDS = 300
# Of all files in the wheel: two builds of one source are one wheel, and the second restarts nothing
# (https://reproducible-builds.org/specs/source-date-epoch/). A zip's earliest date is in 1980.
_DATE = "315532800"


@dataclass(frozen=True)
class Wheel:
    """A wheel's file name and contents."""

    name: str
    content: bytes = field(repr=False)


def build_wheel(checkout: Path = CHECKOUT) -> Wheel:
    """Build with pip. Needs no network where setuptools is installed and recent enough."""
    with tempfile.TemporaryDirectory(prefix="cloudjhub-wheel-") as folder:
        source, target = Path(folder, "source"), Path(folder, "wheels")
        _copy(checkout, source)
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
        command += ["--disable-pip-version-check", "--no-input", "--wheel-dir", str(target)]
        if _has_setuptools():
            command.append("--no-build-isolation")
        done = _run([*command, str(source)])
        wheels = sorted(target.glob("cloudjhub-*.whl")) if done.returncode == 0 else []
        if not wheels:
            raise ProvisionError(
                "pip could not build cloudjhub from this checkout.",
                "Run pip install -r launch_cluster/requirements.txt, then the same command again.",
                log_tail=(done.stdout + done.stderr)[-3000:],
            )
        return Wheel(wheels[0].name, wheels[0].read_bytes())


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=BUILD_SECONDS,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "SOURCE_DATE_EPOCH": _DATE},
        )
    except subprocess.TimeoutExpired:
        raise ProvisionError(
            f"pip did not build cloudjhub from this checkout within {BUILD_SECONDS} s.",
            "Install setuptools 77 or newer, so that it needs no network; run the command again.",
        ) from None


def _copy(checkout: Path, source: Path) -> None:
    source.mkdir()
    for name in _SOURCES:
        path = checkout / name
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(path, source / name)


def _has_setuptools() -> bool:
    try:
        version = importlib.metadata.version("setuptools")
    except importlib.metadata.PackageNotFoundError:
        return False
    return tuple(int(part) for part in version.split(".")[:1]) >= _SETUPTOOLS
