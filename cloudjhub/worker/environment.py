"""The notebook's environment: what is in it, its file, and keeping it out of logs."""

import os
import re
import shutil

from .machine import KEPT_VARIABLES, PROGRAM_FOLDERS, Trouble, under_root

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
UNWRITABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
ASSIGNMENT = re.compile(r'^([A-Za-z_][A-Za-z0-9_]*)="((?:[^"\\]|\\.)*)"$', re.DOTALL | re.MULTILINE)
SECRET_NAME = re.compile("TOKEN|SECRET|PASSW", re.IGNORECASE)
SHORTEST_SECRET = 4


def search_path():
    """PATH for finding and running the server: the session's own, then where AMIs put it."""
    folders = os.environ.get("PATH", "").split(os.pathsep) + list(PROGRAM_FOLDERS)
    return os.pathsep.join(dict.fromkeys(folder for folder in folders if folder))


def find_program(command, path):
    """The absolute path of the server's program. Trouble names what the AMI lacks."""
    found = shutil.which(command, path=path)
    if found is None:
        raise Trouble(
            f"The worker AMI lacks {command}: it is neither on PATH nor in "
            f"{', '.join(PROGRAM_FOLDERS[:4])}."
        )
    return os.path.abspath(found)


def notebook_environment(given, account, runtime_folder):
    """The whole environment of the notebook process, as a dict."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in KEPT_VARIABLES or name.startswith("LC_")
    }
    own = {
        "HOME": account.home,
        "USER": account.name,
        "LOGNAME": account.name,
        "SHELL": account.shell,
        "JUPYTER_RUNTIME_DIR": runtime_folder,
    }
    environment = {**kept, "PATH": search_path(), **given, **own}
    for name, value in environment.items():
        if not NAME.match(name) or UNWRITABLE.search(value):
            raise Trouble(f"The environment variable {name!r} cannot be passed to the notebook.")
    return environment


def quoted(value):
    r"""A value as systemd's EnvironmentFile= reads it back.

    Within double quotes systemd takes newlines as they are, expands nothing, and undoes a
    backslash before " \ ` $ only (systemd.exec(5), src/basic/env-file.c).
    """
    return '"' + re.sub(r'(["\\`$])', r"\\\1", value) + '"'


def unquoted(text):
    """The variables of an environment file that ``file_text`` wrote."""
    return {
        name: re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL)
        for name, value in ASSIGNMENT.findall(text)
    }


def file_text(environment):
    """The environment as an EnvironmentFile."""
    return "".join(f"{name}={quoted(value)}\n" for name, value in sorted(environment.items()))


def redacted(text, environment):
    """Text without the values of variables that hold secrets."""
    secrets = {
        value
        for name, value in environment.items()
        if SECRET_NAME.search(name) and len(value) >= SHORTEST_SECRET
    }
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "[hidden]")
    return text


def skeleton_folder():
    """What a new home is filled from."""
    return under_root("/etc/skel")
