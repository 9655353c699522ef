"""``cloudjhub VERB``: everything an operator does, under one name.

A verb's module is imported when the verb is used: the verbs for AWS need boto3, paramiko,
pydantic and cronsim only, the demo needs the rest.
"""

import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from cloudjhub import __version__

_REFUSED = 2
_OLDEST_PYTHON = (3, 10)


@dataclass(frozen=True)
class Verb:
    """``module`` has ``main(arguments, prog=...) -> int``."""

    name: str
    does: str
    module: str
    needs: tuple[str, ...] = ("boto3", "paramiko", "pydantic", "cronsim")
    install: str = "pip install -r launch_cluster/requirements.txt"


VERBS = (
    Verb("launch", "build a cluster, or go on with a launch that was interrupted", "launch"),
    Verb("check", "say what would keep a launch from succeeding; creates nothing", "launch"),
    Verb("status", "show what runs, whose it is, since when, and what it costs", "status"),
    Verb("upgrade", "give a running cluster new software or a new worker AMI", "upgrade"),
    Verb("terminate-workers", "end users' machines; homes as told", "terminate_workers"),
    Verb("teardown", "remove a cluster; homes as told", "teardown"),
    Verb(
        "demo",
        "the whole system on this computer, without an AWS account",
        "cloudjhub.demo.__main__",
        needs=("jupyterhub", "jupyterlab", "moto"),
        install="pip install 'cloudjhub[local]', or scripts/demo, which installs it by itself",
    ),
)

_EXAMPLE = "cloudjhub launch class1 ami-... subnet-PRIVATE subnet-PUBLIC"


def main(arguments: Sequence[str] | None = None) -> int:
    """The ``cloudjhub`` command; gives its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help", "help"):
        print(overview())
        return 0 if given else _REFUSED
    if given[0] in ("-V", "--version"):
        print(__version__)
        return 0
    for verb in VERBS:
        if verb.name == given[0].replace("_", "-"):
            return run(verb.name, given[1:], prog=f"cloudjhub {verb.name}")
    known = ", ".join(verb.name for verb in VERBS)
    print(f"cloudjhub: there is no verb {given[0]!r}; there are: {known}.", file=sys.stderr)
    return _REFUSED


def overview() -> str:
    """What ``cloudjhub --help`` shows: all there is."""
    width = max(len(verb.name) for verb in VERBS)
    verbs = "\n".join(f"  {verb.name:<{width}}  {verb.does}" for verb in VERBS)
    return (
        "usage: cloudjhub VERB [ARGUMENTS]\n\n"
        "JupyterHub on AWS in which every user has an EC2 machine of their own.\n\n"
        f"{verbs}\n\n"
        "cloudjhub VERB --help says everything about a verb. The same verbs are files of the\n"
        "checkout: launch_cluster/launch.py, scripts/status.py, scripts/upgrade.py,\n"
        "scripts/terminate_all_workers.py, scripts/teardown.py, scripts/demo.\n\n"
        f"example: {_EXAMPLE}"
    )


def run(name: str, arguments: Sequence[str] | None = None, *, prog: str) -> int:
    """One verb; gives its exit code. Says what to install where something is missing."""
    if sys.version_info < _OLDEST_PYTHON:
        wanted = ".".join(map(str, _OLDEST_PYTHON))
        print(f"{prog}: this is Python {sys.version.split()[0]}; it needs {wanted} or newer.")
        return _REFUSED
    verb = next(verb for verb in VERBS if verb.name == name)
    given = list(sys.argv[1:] if arguments is None else arguments)
    module = verb.module if "." in verb.module else f"cloudjhub.deploy.{verb.module}"
    if missing := [each for each in verb.needs if find_spec(each) is None]:
        print(f"{prog}: {', '.join(missing)}: not installed; {verb.install}.", file=sys.stderr)
        return _REFUSED
    loaded = importlib.import_module(module)
    if name == "demo":
        sys.argv = [prog, *given]
        return loaded.main()
    return loaded.main(["--check", *given] if name == "check" else given, prog=prog)
