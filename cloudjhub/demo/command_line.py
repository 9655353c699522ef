"""The demo's command line. Standard library only: it is read before anything is installed."""

import argparse
from functools import partial

from cloudjhub.demo.folder import default_folder
from cloudjhub.local.__main__ import PlainParser, port, seconds, state_folder

# The hub gives up on a machine that takes more than boot_timeout_seconds, 240.
_LONGEST_BOOT_SECONDS = 120


def parser() -> argparse.ArgumentParser:
    """The options; a value that cannot be used ends the command with one sentence."""
    command = PlainParser(
        prog="scripts/demo",
        description="Run the whole of cloudJHub on this computer, without an AWS account: "
        "an EC2 that lives here, JupyterHub, and a machine for everyone who logs in.",
    )
    command.add_argument("--port", type=port, default=8000, help="port of the hub (8000)")
    command.add_argument(
        "--state",
        type=state_folder,
        metavar="DIR",
        help=f"where files are kept ({default_folder()})",
    )
    command.add_argument(
        "--boot-seconds",
        type=partial(seconds, most=_LONGEST_BOOT_SECONDS),
        default=3.0,
        metavar="N",
        help="how long machines take to start, seconds (3)",
    )
    command.add_argument(
        "--machines",
        choices=("auto", "userns", "plain", "booted"),
        default="auto",
        help="kind of machines: in namespaces of their own, plain processes (auto: the first that "
        "works), or Debian machines that boot (root only)",
    )
    command.add_argument(
        "--check",
        action="store_true",
        help="do what a newcomer would, in a fresh folder on a free port, and say what holds",
    )
    return command
