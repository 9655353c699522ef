"""Our part of the notebook's Jupyter Server (``idle/``): put where that server finds it.

It is told by one more folder of configuration. A server that is too old looks for other files,
and one that cannot load it says so in its log and runs without.
"""

import json
import os
import shutil

from .machine import under_root

# Beside the run folder's private files: the notebook's account reads these, root writes them.
FOLDER = "/run/cloudjhub/extension"
PACKAGE = "cloudjhub_idle"
PAGE = "cloudjhub-idle"
CONFIG_PATH = "JUPYTER_CONFIG_PATH"


def install(files, environment):
    """Write the files anew and add to the environment what makes the server load them.

    ``files``: {"python/NAME" or "page/NAME": text}. Returns a sentence if that failed, else "".
    """
    if not files:
        return ""
    folder = under_root(FOLDER)
    try:
        shutil.rmtree(folder, ignore_errors=True)
        for name, text in {**dict(_placed(files)), **_configuration(folder)}.items():
            _write(folder, name, text)
    except OSError as error:
        return f"Without a sight of work, as its part of the server could not be written: {error}"
    others = environment.get(CONFIG_PATH)
    own = os.path.join(folder, "etc")
    environment[CONFIG_PATH] = own + os.pathsep + others if others else own
    return ""


def _placed(files):
    places = {"python": f"python/{PACKAGE}/", "page": f"labextensions/{PAGE}/"}
    for name, text in files.items():
        kind, _, rest = name.partition("/")
        yield places[kind] + rest, text


def _configuration(folder):
    """Where Python finds the package is said in a file: a variable would reach every kernel."""
    python = os.path.join(folder, "python")
    enabled = {"ServerApp": {"jpserver_extensions": {PACKAGE: True}}}
    return {
        "etc/jupyter_server_config.py": f"import sys\n\nsys.path.append({python!r})\n",
        f"etc/jupyter_server_config.d/{PACKAGE}.json": json.dumps(enabled),
    }


def _write(folder, name, text):
    path = os.path.join(folder, name)
    _make_folders(folder, os.path.dirname(name))
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, 0o644)


def _make_folders(folder, names):
    """Folders that everybody may read, whatever sudo's umask is."""
    path = folder
    for name in ["", *names.split("/")]:
        path = os.path.join(path, name)
        os.makedirs(path, exist_ok=True)
        os.chmod(path, 0o755)
